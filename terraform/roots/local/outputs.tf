output "cluster" { value = var.name }

output "region" { value = "" }

output "bucket" { value = var.cluster.bucket }

output "expires_at" { value = var.expires_at }

output "server_group" { value = "servers" }

output "worker_group" { value = "workers" }

output "secrets_path" { value = "${var.dir}/secrets" }

output "ca" { value = var.ca }

output "servers" { value = [for i in range(var.servers) : "${var.network}.${1 + i}"] }

output "workers" { value = [for i in range(var.workers) : "${var.network}.${11 + i}"] }

output "env" {
  value = {
    AWS_ENDPOINT_URL = "http://${var.network}.9:7070"
    AWS_REGION       = "us-east-1"
  }
}
