# Who machines are, what they may do, and the secrets that they read.
variable "cluster" { type = string }
variable "region" { type = string }
variable "account" { type = string }
variable "bucket" { type = string }
variable "groups" { type = object({ server = string, worker = string }) }
variable "secret_names" { type = set(string) }
variable "secrets" {
  type      = map(string)
  sensitive = true
  ephemeral = true
}

locals {
  # IAM is one for all regions: a fleet of the same name elsewhere has roles and profiles of its own.
  path       = "/runner/${var.cluster}/${var.region}/"
  names      = { for role, g in var.groups : role => "${g}-${var.region}" }
  parameters = "arn:aws:ssm:${var.region}:${var.account}:parameter/runner/${var.cluster}"
  group_arns = { for role, g in var.groups : role =>
  "arn:aws:autoscaling:${var.region}:${var.account}:autoScalingGroup:*:autoScalingGroupName/${g}" }

  # What machines of a role may do, beside what all may.
  own = {
    server = [
      { Sid = "Secrets", Effect = "Allow", Action = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
      Resource = ["${local.parameters}/server/*", "${local.parameters}/node/*"] },
      { Sid = "Scale", Effect = "Allow", Action = ["autoscaling:SetDesiredCapacity", "autoscaling:UpdateAutoScalingGroup",
      "autoscaling:TerminateInstanceInAutoScalingGroup"], Resource = values(local.group_arns) },
      { Sid = "See", Effect = "Allow", Action = ["autoscaling:DescribeAutoScalingGroups"], Resource = ["*"] },
    ]
    worker = [
      { Sid = "Secrets", Effect = "Allow", Action = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
      Resource = ["${local.parameters}/node/*"] },
      # A job shares its machine's rights; it must not be able to change what all machines boot from, nor how many there
      # may be.
      { Sid = "Depot", Effect = "Deny", Action = ["s3:PutObject", "s3:DeleteObject"],
      Resource = [for part in ["bin", "scale"] : "arn:aws:s3:::${var.bucket}/_runner/${part}/*"] },
    ]
  }
  all = [
    { Sid = "Data", Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts"], Resource = ["arn:aws:s3:::${var.bucket}/*"] },
    { Sid = "Names", Effect = "Allow", Action = ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation"],
    Resource = ["arn:aws:s3:::${var.bucket}"] },
    { Sid = "Neighbours", Effect = "Allow", Action = ["ec2:DescribeInstances", "ec2:DescribeTags"], Resource = ["*"] },
    # These two kinds know no narrower resource. They are what `aws ssm start-session` needs, in place of port 22.
    { Sid = "Shell", Effect = "Allow", Action = ["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"], Resource = ["*"] },
  ]
  drain = { for role, arn in local.group_arns : role => [
    { Sid = "Drain", Effect = "Allow", Action = ["autoscaling:CompleteLifecycleAction",
    "autoscaling:RecordLifecycleActionHeartbeat"], Resource = [arn] },
  ] }
}

resource "aws_iam_role" "machine" {
  for_each = local.names
  name     = each.value
  path     = local.path
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "machine" {
  for_each = var.groups
  name     = "machine"
  role     = aws_iam_role.machine[each.key].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.own[each.key], local.all, local.drain[each.key])
  })
}

resource "aws_iam_instance_profile" "machine" {
  for_each   = local.names
  name       = each.value
  path       = local.path
  role       = aws_iam_role.machine[each.key].name
  depends_on = [aws_iam_role_policy.machine]
}

# The values are write-only: neither plan nor state has them.
resource "aws_ssm_parameter" "secret" {
  for_each         = var.secret_names
  name             = "/runner/${var.cluster}/${each.value}"
  type             = "SecureString"
  value_wo         = var.secrets[each.value]
  value_wo_version = 1
}

output "server_role" { value = aws_iam_role.machine["server"].id }
output "server_profile" { value = aws_iam_instance_profile.machine["server"].name }
output "worker_profile" { value = aws_iam_instance_profile.machine["worker"].name }
output "secrets_path" { value = "/runner/${var.cluster}" }
