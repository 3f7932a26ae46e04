# How machines of one role are started. Their group is made by who uses this.
variable "name" { type = string }
variable "role" { type = string }
variable "type" { type = string }
variable "disk_gib" { type = number }
variable "profile" { type = string }
variable "security_groups" { type = list(string) }

variable "machine" {
  description = "What machines of all roles have in common."
  type = object({
    cluster    = string
    expires_at = string
    tags       = map(string)
    image      = string
    bucket     = string
    runner_key = string
    runner_sum = string
    boot_flags = string
  })
}

locals {
  # default_tags reach neither what a template starts nor groups.
  tags = merge(var.machine.tags, { "Name" = var.name, "runner:role" = var.role })
}

resource "aws_launch_template" "machine" {
  name                   = var.name
  image_id               = var.machine.image
  instance_type          = var.type
  update_default_version = true
  user_data = base64encode(templatefile("${path.module}/user-data.tftpl", {
    role = var.role, cluster = var.machine.cluster, bucket = var.machine.bucket, key = var.machine.runner_key,
    sum  = var.machine.runner_sum, flags = var.machine.boot_flags
  }))

  iam_instance_profile {
    name = var.profile
  }

  network_interfaces {
    device_index                = 0
    associate_public_ip_address = true
    delete_on_termination       = true
    security_groups             = var.security_groups
  }

  # One hop: a container with a network of its own can't ask for the machine's rights.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume", "network-interface"]
    content {
      resource_type = tag_specifications.value
      tags          = local.tags
    }
  }
}

output "template" { value = aws_launch_template.machine.id }
output "template_version" { value = tostring(aws_launch_template.machine.latest_version) }
output "group_tags" {
  value = merge(local.tags, { "runner:expires-at" = var.machine.expires_at })
}
