# Run by infra/fleet/aws with `terraform test`: no cloud is asked.
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"] }
  }
  mock_data "aws_ssm_parameter" {
    defaults = { insecure_value = "ami-0123456789abcdef0" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/runner/demo/runner-demo" }
  }
}

variables {
  cluster      = "demo"
  owner        = "ann"
  region       = "us-east-1"
  account      = "123456789012"
  ttl_minutes  = 240
  expires_at   = "2099-01-01T00:00:00Z"
  servers      = 3
  server_type  = "t3.small"
  workers      = 4
  worker_types = ["m6i.xlarge", "m5.xlarge"]
  on_demand    = 1
  architecture = "x86_64"
  disk_gib     = 50
  allow_from   = ["203.0.113.7/32"]
  bucket       = "runner-demo-1f3a"
  adopt_bucket = false
  binaries     = { runner = { path = "main.tf", sha256 = "00" } }
  idle_minutes = 0
  ca           = ""
  secret_names = ["node/gossip"]
  secrets      = { "node/gossip" = "secret" }
}

run "a_fleet" {
  command = plan
  assert {
    condition     = length(module.network.subnets) == 3
    error_message = "Machines are spread over three zones, of however many there are."
  }
  assert {
    condition     = output.server_group == "runner-demo-servers" && output.worker_group == "runner-demo-workers"
    error_message = "The switch names groups that are not there yet, so their names are fixed."
  }
  assert {
    condition     = output.secrets_path == "/runner/demo" && output.expires_at == var.expires_at
    error_message = "Outputs are a contract."
  }
}

run "nothing_is_let_in_by_default" {
  command = plan
  variables { allow_from = [] }
}

run "a_name_has_no_capitals" {
  command = plan
  variables { cluster = "Demo" }
  expect_failures = [var.cluster]
}

run "a_fleet_dies_within_a_week" {
  command = plan
  variables { ttl_minutes = 10081 }
  expect_failures = [var.ttl_minutes]
}

run "a_fleet_lives_for_a_while" {
  command = plan
  variables { ttl_minutes = 14 }
  expect_failures = [var.ttl_minutes]
}

run "a_deadline_is_a_minute" {
  command = plan
  variables { expires_at = "tomorrow" }
  expect_failures = [var.expires_at]
}

run "two_servers_agree_on_nothing" {
  command = plan
  variables { servers = 2 }
  expect_failures = [var.servers]
}

run "workers_are_counted" {
  command = plan
  variables { workers = 1001 }
  expect_failures = [var.workers]
}

run "not_everybody_is_let_in" {
  command = plan
  variables { allow_from = ["0.0.0.0/0"] }
  expect_failures = [var.allow_from]
}

run "accounts_are_numbers" {
  command = plan
  variables { account = "mine" }
  expect_failures = [var.account]
}

run "machines_need_runner" {
  command = plan
  variables { binaries = {} }
  expect_failures = [var.binaries]
}

run "a_fleet_that_is_woken" {
  command = plan
  variables { wakes = { nightly = { expression = "cron(0 2 * * ? *)", timezone = "Europe/Paris" } } }
  assert {
    condition     = output.cluster == "demo"
    error_message = "A fleet may be woken."
  }
}

run "a_moment_to_wake_at_is_said_as_cron" {
  command = plan
  variables { wakes = { nightly = { expression = "rate(1 minute)", timezone = "UTC" } } }
  expect_failures = [var.wakes]
}
