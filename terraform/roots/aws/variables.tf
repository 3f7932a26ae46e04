variable "cluster" {
  description = "Name of the fleet. It is in the name or tags of everything."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}[a-z0-9]$", var.cluster))
    error_message = "A name has 2 to 31 letters a-z, digits and dashes, and begins with a letter."
  }
}

variable "owner" {
  description = "Who to ask about the fleet."
  type        = string
  validation {
    condition     = length(var.owner) > 0 && length(var.owner) <= 256
    error_message = "Somebody has to own the fleet."
  }
}

variable "run_id" {
  description = "Which deploy from nothing this is: tells one fleet of a name from the next."
  type        = string
  default     = "unknown"
}

variable "region" {
  type = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region looks like eu-west-1."
  }
}

variable "account" {
  description = "The only account in which this may be applied."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account))
    error_message = "An account has 12 digits."
  }
}

variable "ttl_minutes" {
  description = "How long the fleet was asked to live; expires_at is what counts."
  type        = number
  validation {
    condition     = var.ttl_minutes >= 15 && var.ttl_minutes <= 7 * 24 * 60
    error_message = "A fleet lives between 15 minutes and a week."
  }
}

variable "expires_at" {
  description = "When the dead-man switch turns the machines off, RFC 3339 in UTC."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:00Z$", var.expires_at))
    error_message = "A deadline is a full minute in UTC, as 2026-11-21T18:40:00Z."
  }
}

variable "servers" {
  type = number
  validation {
    condition     = contains([1, 3, 5], var.servers)
    error_message = "Servers agree by majority: 1, 3 or 5."
  }
}

variable "server_type" {
  type = string
}

variable "workers" {
  description = "How many workers there may be; how many there are is set apart from Terraform."
  type        = number
  validation {
    condition     = var.workers >= 0 && var.workers <= 1000 && floor(var.workers) == var.workers
    error_message = "0 to 1000 workers are possible."
  }
}

variable "worker_types" {
  description = "Instance types, the preferred one first. Any may be got."
  type        = list(string)
  validation {
    condition     = length(var.worker_types) > 0 && length(var.worker_types) <= 20
    error_message = "1 to 20 instance types are possible."
  }
}

variable "on_demand" {
  description = "How many of the workers are on demand before the first is spot."
  type        = number
  validation {
    condition     = var.on_demand >= 0
    error_message = "It can't be negative."
  }
}

variable "architecture" {
  description = "Of all machines, since all run the same binaries."
  type        = string
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "x86_64 or arm64."
  }
}

variable "disk_gib" {
  type = number
  validation {
    condition     = var.disk_gib >= 8 && var.disk_gib <= 16384
    error_message = "A disk has 8 to 16384 GiB."
  }
}

variable "allow_from" {
  description = "Networks from which the servers' TLS ports can be reached; none means from inside alone."
  type        = list(string)
  validation {
    condition     = alltrue([for c in var.allow_from : can(cidrhost(c, 0)) && tonumber(split("/", c)[1]) >= 8])
    error_message = "A network looks like 203.0.113.7/32, and is not nearly everybody."
  }
}

variable "bucket" {
  description = "Name of the bucket with the data. It outlives the fleet."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 letters a-z, digits and dashes."
  }
}

variable "adopt_bucket" {
  description = "Whether the bucket is there, from an earlier fleet of this name."
  type        = bool
}

variable "binaries" {
  description = "Programs that machines fetch at boot: their path here and their SHA-256."
  type        = map(object({ path = string, sha256 = string }))
  validation {
    condition     = contains(keys(var.binaries), "runner")
    error_message = "Machines can't boot without runner itself."
  }
}

variable "idle_minutes" {
  description = "Without a job for so long the servers end the fleet; 0 is never."
  type        = number
}

variable "driver" {
  description = "Nomad's driver for the containers of jobs."
  type        = string
  default     = "exec"
  validation {
    condition     = contains(["exec", "raw_exec"], var.driver)
    error_message = "Containers are started by exec or raw_exec."
  }
}

variable "wakes" {
  description = "When the cloud starts the machines of a fleet that sleeps, by the names of the fleet's schedules."
  type        = map(object({ expression = string, timezone = string }))
  default     = {}
  validation {
    condition     = alltrue([for w in values(var.wakes) : can(regex("^cron\\(.+\\)$", w.expression))])
    error_message = "A moment to wake at looks like cron(0 2 * * ? *)."
  }
}

variable "ca" {
  description = "Certificate that vouches for the servers."
  type        = string
}

variable "secret_names" {
  description = "server/... for servers alone, node/... for all machines."
  type        = set(string)
}

variable "secrets" {
  description = "By their names. They are in no state and no plan."
  type        = map(string)
  sensitive   = true
  ephemeral   = true
  default     = {}
}
