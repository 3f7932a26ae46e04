# A fleet whose machines are processes on this host. It has the parts of roots/aws, made in the same order: the dead-man
# switch before any machine, the workers last; they are removed first, since they need the servers to move their work
# elsewhere. All of it is Terraform's built-in terraform_data.

terraform {
  required_version = ">= 1.11.0"
}

locals {
  program = "${var.dir}/bin/runner" # a copy, so that it is there for as long as the cluster is
}

module "depot" {
  source     = "../../modules/localpart"
  name       = "depot"
  dir        = var.dir
  program    = var.program
  generation = var.generations["depot"]
  cluster    = var.cluster
  secrets    = var.secrets
}

module "deadman" {
  source     = "../../modules/localpart"
  name       = "deadman"
  dir        = var.dir
  program    = local.program
  generation = var.generations["deadman"]
  cluster    = var.cluster
  depends_on = [module.depot]
}

module "store" {
  source     = "../../modules/localpart"
  name       = "store"
  dir        = var.dir
  program    = local.program
  size       = 1
  generation = var.generations["store"]
  depends_on = [module.deadman]
}

module "servers" {
  source     = "../../modules/localpart"
  name       = "servers"
  dir        = var.dir
  program    = local.program
  size       = var.servers
  generation = var.generations["servers"]
  depends_on = [module.store]
}

module "workers" {
  source     = "../../modules/localpart"
  name       = "workers"
  dir        = var.dir
  program    = local.program
  size       = var.workers
  generation = var.generations["workers"]
  depends_on = [module.servers]
}
