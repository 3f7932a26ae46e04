# A network of the fleet's own: public addresses without a way in but for what is allowed, so that no NAT gateway costs
# money after the machines are gone, and a free way to S3.
variable "cluster" { type = string }
variable "region" { type = string }
variable "allow_from" { type = list(string) }

variable "ports" {
  description = "Of servers, for who is outside: Nomad, control, Consul. All speak TLS and ask who it is."
  type        = set(number)
  default     = [4646, 7338, 8501]
  validation {
    condition     = !contains(var.ports, 22)
    error_message = "Nobody logs in by SSH; `aws ssm start-session` asks IAM instead."
  }
}

variable "zones" {
  description = "Over how many availability zones machines are spread, at most."
  type        = number
  default     = 3
}

data "aws_availability_zones" "here" {
  state = "available"
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  zones = slice(data.aws_availability_zones.here.names, 0, min(var.zones, length(data.aws_availability_zones.here.names)))
  name  = { Name = "runner-${var.cluster}" }
}

resource "aws_vpc" "fleet" {
  cidr_block           = "10.64.0.0/16"
  enable_dns_hostnames = true
  tags                 = local.name
}

resource "aws_internet_gateway" "out" {
  vpc_id = aws_vpc.fleet.id
  tags   = local.name
}

resource "aws_route_table" "fleet" {
  vpc_id = aws_vpc.fleet.id
  tags   = local.name
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.out.id
  }
}

resource "aws_subnet" "zone" {
  for_each          = { for i, z in local.zones : z => i }
  vpc_id            = aws_vpc.fleet.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(aws_vpc.fleet.cidr_block, 4, each.value)
  tags              = local.name
}

resource "aws_route_table_association" "zone" {
  for_each       = aws_subnet.zone
  subnet_id      = each.value.id
  route_table_id = aws_route_table.fleet.id
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.fleet.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.fleet.id]
  tags              = local.name
}

# What nobody put into a group can talk to nobody.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.fleet.id
  tags   = local.name
}

resource "aws_security_group" "machines" {
  name        = "runner-${var.cluster}-machines"
  description = "Machines of the fleet talk to each other"
  vpc_id      = aws_vpc.fleet.id
  tags        = local.name
}

resource "aws_vpc_security_group_ingress_rule" "each_other" {
  security_group_id            = aws_security_group.machines.id
  referenced_security_group_id = aws_security_group.machines.id
  ip_protocol                  = "-1"
  description                  = "each other"
  tags                         = local.name
}

resource "aws_vpc_security_group_egress_rule" "out" {
  security_group_id = aws_security_group.machines.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
  description       = "the services of AWS, and what jobs fetch"
  tags              = local.name
}

resource "aws_security_group" "servers" {
  name        = "runner-${var.cluster}-servers"
  description = "Servers, for who was allowed from outside"
  vpc_id      = aws_vpc.fleet.id
  tags        = local.name
}

resource "aws_vpc_security_group_ingress_rule" "allowed" {
  for_each          = { for pair in setproduct(var.allow_from, var.ports) : "${pair[0]} ${pair[1]}" => pair }
  security_group_id = aws_security_group.servers.id
  cidr_ipv4         = each.value[0]
  from_port         = each.value[1]
  to_port           = each.value[1]
  ip_protocol       = "tcp"
  description       = "allowed from outside"
  tags              = local.name
}

# Machines can't work before they can get out, so whoever waits for the subnets waits for their routes too.
output "subnets" {
  value      = [for s in aws_subnet.zone : s.id]
  depends_on = [aws_route_table_association.zone, aws_vpc_security_group_egress_rule.out]
}
output "machines_group" { value = aws_security_group.machines.id }
output "servers_group" { value = aws_security_group.servers.id }
