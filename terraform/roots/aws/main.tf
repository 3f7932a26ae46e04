locals {
  tags = {
    "runner:cluster" = var.cluster
    "runner:owner"   = var.owner
    "runner:run-id"  = var.run_id
  }
  prefix = "runner-${var.cluster}"
  groups = { server = "${local.prefix}-servers", worker = "${local.prefix}-workers" }
  machine = {
    cluster    = var.cluster
    expires_at = var.expires_at
    tags       = local.tags
    image      = data.aws_ssm_parameter.image.insecure_value
    bucket     = var.bucket
    runner_key = aws_s3_object.binary["runner"].key
    runner_sum = var.binaries["runner"].sha256
    boot_flags = join(" ", concat(["--servers ${var.servers} --idle ${var.idle_minutes}m --driver ${var.driver}"],
    [for name, b in var.binaries : "--program ${name}=${b.sha256}"]))
  }
}

# Amazon publishes the newest image under this name; it has the programs that two lines of user-data need.
data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.architecture}"
}

# The switch comes first: what must end by itself can't be there before what ends it.
module "deadman" {
  source     = "../../modules/deadman"
  cluster    = var.cluster
  region     = var.region
  account    = var.account
  groups     = values(local.groups)
  expires_at = var.expires_at
}

module "network" {
  source     = "../../modules/network"
  cluster    = var.cluster
  region     = var.region
  allow_from = var.allow_from
}

import {
  for_each = var.adopt_bucket ? toset([var.bucket]) : toset([])
  to       = module.storage.aws_s3_bucket.data
  id       = each.value
}

module "storage" {
  source = "../../modules/storage"
  bucket = var.bucket
}

resource "aws_s3_object" "binary" {
  for_each    = var.binaries
  bucket      = module.storage.bucket
  key         = "_runner/bin/${each.key}-${each.value.sha256}"
  source      = each.value.path
  source_hash = each.value.sha256
}

module "identity" {
  source       = "../../modules/identity"
  cluster      = var.cluster
  region       = var.region
  account      = var.account
  bucket       = var.bucket
  groups       = local.groups
  secret_names = var.secret_names
  secrets      = var.secrets
}

module "servers" {
  source          = "../../modules/servers"
  name            = local.groups.server
  machine         = local.machine
  most            = var.servers
  type            = var.server_type
  subnets         = module.network.subnets
  profile         = module.identity.server_profile
  security_groups = [module.network.machines_group, module.network.servers_group]
  depends_on      = [module.deadman]
}

module "workers" {
  source          = "../../modules/workers"
  name            = local.groups.worker
  machine         = local.machine
  most            = var.workers
  types           = var.worker_types
  on_demand       = var.on_demand
  disk_gib        = var.disk_gib
  subnets         = module.network.subnets
  profile         = module.identity.worker_profile
  security_groups = [module.network.machines_group]
  depends_on      = [module.deadman]
}

# It is removed before the groups that it starts.
module "wake" {
  source         = "../../modules/wake"
  cluster        = var.cluster
  region         = var.region
  account        = var.account
  schedule_group = module.deadman.schedule_group
  switch_role    = module.deadman.role
  server_role    = module.identity.server_role
  wakes          = var.wakes
  # Workers come when control asks for some, which it may again.
  groups = {
    servers = { AutoScalingGroupName = module.servers.group, MinSize = 0, MaxSize = var.servers,
    DesiredCapacity = var.servers }
    workers = { AutoScalingGroupName = module.workers.group, MinSize = 0, MaxSize = var.workers }
  }
}
