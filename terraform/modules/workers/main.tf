# Workers: some on demand, the others spot, of whichever type is the least likely to be taken away for its price.
#
# They have no scale-in protection: the dead-man switch could not end a machine that has it. Who scales in chooses idle
# machines instead.
variable "name" { type = string }
variable "machine" { type = any }
variable "most" { type = number }
variable "types" { type = list(string) }
variable "on_demand" { type = number }
variable "disk_gib" { type = number }
variable "subnets" { type = list(string) }
variable "profile" { type = string }
variable "security_groups" { type = list(string) }

module "machines" {
  source          = "../machines"
  name            = var.name
  role            = "worker"
  machine         = var.machine
  type            = var.types[0]
  disk_gib        = var.disk_gib
  profile         = var.profile
  security_groups = var.security_groups
}

# It starts empty: how many there are is set when all of this is there, the switch included.
resource "aws_autoscaling_group" "workers" {
  name                      = var.name
  min_size                  = 0
  max_size                  = var.most
  desired_capacity          = 0
  vpc_zone_identifier       = var.subnets
  capacity_rebalance        = true
  health_check_grace_period = 120
  wait_for_capacity_timeout = "0"
  force_delete              = true

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = var.on_demand
      on_demand_percentage_above_base_capacity = 0
      spot_allocation_strategy                 = "price-capacity-optimized"
    }
    launch_template {
      launch_template_specification {
        launch_template_id = module.machines.template
        version            = module.machines.template_version
      }
      dynamic "override" {
        for_each = var.types
        content {
          instance_type = override.value
        }
      }
    }
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
    # Who scales sets both.
    ignore_changes = [desired_capacity, mixed_instances_policy[0].instances_distribution[0].on_demand_base_capacity]
  }
}

# Time to drain. A machine that says nothing goes when it is over.
resource "aws_autoscaling_lifecycle_hook" "drain" {
  name                   = "drain"
  autoscaling_group_name = aws_autoscaling_group.workers.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  default_result         = "CONTINUE"
  heartbeat_timeout      = 120
}

# The second line behind the dead-man switch, which needs no role.
resource "aws_autoscaling_schedule" "end" {
  scheduled_action_name  = var.name
  autoscaling_group_name = aws_autoscaling_group.workers.name
  start_time             = var.machine.expires_at
  min_size               = 0
  max_size               = 0
  desired_capacity       = 0
}

output "group" { value = aws_autoscaling_group.workers.name }
