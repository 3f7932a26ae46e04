# One part of a fleet on this host: a group of machines, the dead-man switch, or what machines need before they start.
# The program makes and removes it; Terraform knows that it is there.

variable "name" {
  type        = string
  description = "depot, deadman, store, servers or workers"
}

variable "dir" {
  type        = string
  description = "Folder of the cluster."
}

variable "program" {
  type        = string
  description = "The runner that makes the part, and will remove it."
}

variable "size" {
  type        = number
  description = "Machines of a group."
  default     = 0
}

variable "generation" {
  type        = string
  description = "Differs when the part is not as it was made, and so has to be made anew."
}

variable "cluster" {
  type        = any
  description = "What the cluster is made of."
  default     = null
}

variable "secrets" {
  type        = map(string)
  description = "Secrets by name, for the part that keeps them."
  default     = {}
  ephemeral   = true
}

resource "terraform_data" "part" {
  # All that removing it needs, when there are no variables.
  input            = { name = var.name, dir = var.dir, program = var.program }
  triggers_replace = [var.generation]

  provisioner "local-exec" {
    interpreter = [self.input.program, "node-init", "--host", self.input.dir, "--make"]
    command     = jsonencode({ name = var.name, id = self.id, generation = var.generation, size = var.size })
    environment = {
      RUNNER_CLUSTER_SPEC    = jsonencode(var.cluster)
      RUNNER_CLUSTER_SECRETS = jsonencode(var.secrets)
      RUNNER_LOCAL_CLUSTER   = self.input.dir # the mark by which it is found should it outlive Terraform
    }
  }

  provisioner "local-exec" {
    when        = destroy
    on_failure  = continue # the program may be gone; a scan follows, which finds what is left
    interpreter = [self.input.program, "node-init", "--host", self.input.dir, "--unmake"]
    command     = self.input.name
    environment = { RUNNER_LOCAL_CLUSTER = self.input.dir }
  }

  lifecycle {
    ignore_changes = [input]
  }
}
