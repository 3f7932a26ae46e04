variable "name" {
  type        = string
  description = "Name of the cluster."
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,29}[a-z0-9]$", var.name))
    error_message = "A name has 2 to 31 letters a-z, digits and dashes, a letter first."
  }
}

variable "dir" {
  type        = string
  description = "Folder of the cluster, absolute."
}

variable "program" {
  type        = string
  description = "Path of the runner that deploys."
}

variable "servers" {
  type        = number
  description = "Machines with servers."
  validation {
    condition     = contains([1, 3, 5], var.servers)
    error_message = "Only 1, 3 or 5 servers can agree."
  }
}

variable "workers" {
  type        = number
  description = "Machines that run jobs."
  validation {
    condition     = var.workers >= 0 && var.workers <= 200
    error_message = "This host has addresses for 200 workers."
  }
}

variable "network" {
  type        = string
  description = "Beginning of the addresses of all machines."
  validation {
    condition     = can(regex("^127\\.[0-9]+\\.[0-9]+$", var.network))
    error_message = "Machines of this host have addresses of its loopback interface, 127.a.b.c."
  }
}

variable "cluster" {
  type        = any
  description = "What the cluster is made of, as the program wants it."
}

variable "generations" {
  type        = map(string)
  description = "Of each part; see modules/localpart."
}

variable "expires_at" {
  type        = string
  description = "When the dead-man switch fires, RFC 3339."
  validation {
    condition     = can(formatdate("YYYY", var.expires_at))
    error_message = "The deadline is not a time."
  }
}

variable "ca" {
  type        = string
  description = "Certificate of who vouches for the servers."
}

variable "secrets" {
  type        = map(string)
  description = "Secrets by name: server/..., node/..."
  sensitive   = true
  ephemeral   = true
}

variable "secret_names" {
  type        = list(string)
  description = "Their names."
}
