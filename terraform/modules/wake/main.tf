# What starts a sleeping fleet's machines at the slots of its schedules, by the cloud itself, while no machine runs: for
# each schedule and group one of EventBridge. Control fires what the slot is for, from what is written in the bucket.
#
# The switch's role does this, too: it may set the sizes of these two groups, to whatever they shall be. Machines that
# come so move the dead-man switch to the end of the time that the slot has; nothing else lets them.
variable "cluster" { type = string }
variable "region" { type = string }
variable "account" { type = string }
variable "schedule_group" { type = string }
variable "wakes" { type = map(object({ expression = string, timezone = string })) }

variable "groups" {
  description = "What each group is told when it shall wake, as Auto Scaling wants to hear it."
  type        = any
}

variable "server_role" { type = string }
variable "switch_role" { type = string }

locals {
  arns = [for g in var.groups :
  "arn:aws:autoscaling:${var.region}:${var.account}:autoScalingGroup:*:autoScalingGroupName/${g.AutoScalingGroupName}"]
  # One for each schedule and group; the names of schedules are longer than EventBridge allows.
  calls = { for c in setproduct(keys(var.wakes), keys(var.groups)) :
  "${c[0]}-${c[1]}" => { wake = c[0], group = var.groups[c[1]], name = "wake-${substr(sha256(c[0]), 0, 16)}-${c[1]}" } }
}

# Servers of a fleet that wakes may move its switch, and have that do no more than it does already.
resource "aws_iam_role_policy" "postpone" {
  count = length(var.wakes) > 0 ? 1 : 0
  name  = "postpone"
  role  = var.server_role
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["autoscaling:PutScheduledUpdateGroupAction", "autoscaling:CreateOrUpdateTags"],
      Resource = local.arns },
      { Effect = "Allow", Action = ["scheduler:GetSchedule", "scheduler:UpdateSchedule"],
        Resource = [for g in var.groups :
      "arn:aws:scheduler:${var.region}:${var.account}:schedule/${var.schedule_group}/${g.AutoScalingGroupName}"] },
      { Effect = "Allow", Action = ["iam:PassRole"], Resource = [var.switch_role],
      Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } } },
    ]
  })
}

resource "aws_scheduler_schedule" "wake" {
  for_each                     = local.calls
  name                         = each.value.name
  group_name                   = var.schedule_group
  description                  = "Starts the fleet's machines for schedule ${each.value.wake}"
  schedule_expression          = var.wakes[each.value.wake].expression
  schedule_expression_timezone = var.wakes[each.value.wake].timezone
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = "arn:aws:scheduler:::aws-sdk:autoscaling:updateAutoScalingGroup"
    role_arn = var.switch_role
    input    = jsonencode(each.value.group)
    # Later than that the slot's time would be over before its machines are.
    retry_policy {
      maximum_event_age_in_seconds = 600
      maximum_retry_attempts       = 10
    }
  }
  depends_on = [aws_iam_role_policy.postpone]
}
