# Servers of Nomad and Consul, gateway and control: on demand, one group over all zones, which replaces what fails.
variable "name" { type = string }
variable "machine" { type = any }
variable "most" { type = number }
variable "type" { type = string }
variable "subnets" { type = list(string) }
variable "profile" { type = string }
variable "security_groups" { type = list(string) }

module "machines" {
  source          = "../machines"
  name            = var.name
  role            = "server"
  machine         = var.machine
  type            = var.type
  disk_gib        = 20
  profile         = var.profile
  security_groups = var.security_groups
}

# It starts empty: how many there are is set when all of this is there, the switch included.
resource "aws_autoscaling_group" "servers" {
  name                      = var.name
  min_size                  = 0
  max_size                  = var.most
  desired_capacity          = 0
  vpc_zone_identifier       = var.subnets
  health_check_grace_period = 120
  wait_for_capacity_timeout = "0"
  force_delete              = true

  launch_template {
    id      = module.machines.template
    version = module.machines.template_version
  }

  dynamic "tag" {
    for_each = module.machines.group_tags
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = false # the template tags what it starts
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
}

# The second line behind the dead-man switch, which needs no role.
resource "aws_autoscaling_schedule" "end" {
  scheduled_action_name  = var.name
  autoscaling_group_name = aws_autoscaling_group.servers.name
  start_time             = var.machine.expires_at
  min_size               = 0
  max_size               = 0
  desired_capacity       = 0
}

output "group" { value = aws_autoscaling_group.servers.name }
