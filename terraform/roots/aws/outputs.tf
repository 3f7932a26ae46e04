# The contract with infra/fleet: Outputs there has a field for each.
output "cluster" { value = var.cluster }
output "region" { value = var.region }
output "bucket" { value = module.storage.bucket }
output "expires_at" { value = var.expires_at }
output "server_group" { value = module.servers.group }
output "worker_group" { value = module.workers.group }
output "secrets_path" { value = module.identity.secrets_path }
output "ca" { value = var.ca }
