resource "aws_efs_file_system" "queues" {
  count           = var.queue_file_system ? 1 : 0
  encrypted       = true
  throughput_mode = "elastic"
  tags            = { Name = "otel-prefect-queues" }

  lifecycle {
    precondition {
      condition     = var.vpc_id != "" && var.task_security_group_id != "" && length(var.subnet_ids) > 0
      error_message = "queue_file_system needs vpc_id, subnet_ids and task_security_group_id."
    }
  }
}

# What is in a queue is on its way: nothing to keep a copy of.
resource "aws_efs_backup_policy" "queues" {
  count          = var.queue_file_system ? 1 : 0
  file_system_id = aws_efs_file_system.queues[0].id

  backup_policy {
    status = "DISABLED"
  }
}

# Without a policy of its own, whoever reaches it may mount it
# (https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html). With this one, roles must be allowed
# to, as the task policy does.
resource "aws_efs_file_system_policy" "queues" {
  count          = var.queue_file_system ? 1 : 0
  file_system_id = aws_efs_file_system.queues[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "*"
      Resource  = "*"
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

# It is the owner of all that is written through it, whoever the sidecar runs as.
resource "aws_efs_access_point" "queues" {
  count          = var.queue_file_system ? 1 : 0
  file_system_id = aws_efs_file_system.queues[0].id

  posix_user {
    uid = 10001
    gid = 10001
  }

  root_directory {
    path = "/otel-prefect"
    creation_info {
      owner_uid   = 10001
      owner_gid   = 10001
      permissions = "0700"
    }
  }
}

resource "aws_security_group" "queues" {
  count       = var.queue_file_system ? 1 : 0
  name_prefix = "otel-prefect-queues-"
  description = "NFS from tasks to the queues of otel-prefect"
  vpc_id      = var.vpc_id

  ingress {
    description     = "NFS from the tasks"
    protocol        = "tcp"
    from_port       = 2049
    to_port         = 2049
    security_groups = [var.task_security_group_id]
  }
}

resource "aws_efs_mount_target" "queues" {
  for_each        = var.queue_file_system ? toset(var.subnet_ids) : toset([])
  file_system_id  = aws_efs_file_system.queues[0].id
  subnet_id       = each.value
  security_groups = [aws_security_group.queues[0].id]
}
