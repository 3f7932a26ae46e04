# The dead-man switch: from the deadline on, and every quarter of an hour after it, the groups of machines are set to 0,
# by the cloud itself. It needs no client and no machine, and exists before the groups do, whose names are fixed.
variable "cluster" { type = string }
variable "region" { type = string }
variable "account" { type = string }
variable "groups" { type = list(string) }
variable "expires_at" { type = string }

# IAM is one for all regions: a fleet of the same name elsewhere has a role of its own.
resource "aws_iam_role" "switch" {
  name = "runner-${var.cluster}-deadman-${var.region}"
  path = "/runner/${var.cluster}/${var.region}/"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = var.account } }
    }]
  })
}

resource "aws_iam_role_policy" "switch" {
  name = "deadman"
  role = aws_iam_role.switch.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = ["autoscaling:UpdateAutoScalingGroup"]
      Resource = [for g in var.groups :
      "arn:aws:autoscaling:${var.region}:${var.account}:autoScalingGroup:*:autoScalingGroupName/${g}"]
    }]
  })
}

resource "aws_scheduler_schedule_group" "switch" {
  name = "runner-${var.cluster}"
}

resource "aws_scheduler_schedule" "switch" {
  for_each            = toset(var.groups)
  name                = each.value
  group_name          = aws_scheduler_schedule_group.switch.name
  description         = "Turns the machines of a forgotten fleet off"
  schedule_expression = "rate(15 minutes)"
  start_date          = var.expires_at
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = "arn:aws:scheduler:::aws-sdk:autoscaling:updateAutoScalingGroup"
    role_arn = aws_iam_role.switch.arn
    input    = jsonencode({ AutoScalingGroupName = each.value, MinSize = 0, MaxSize = 0, DesiredCapacity = 0 })
    retry_policy {
      maximum_event_age_in_seconds = 86400
      maximum_retry_attempts       = 185
    }
  }
  depends_on = [aws_iam_role_policy.switch]
}

output "schedule_group" { value = aws_scheduler_schedule_group.switch.name }
output "role" {
  value      = aws_iam_role.switch.arn
  depends_on = [aws_iam_role_policy.switch]
}
