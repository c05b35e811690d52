# What a lost task has left in its queues is sent by the next run of this one; a folder in use is left alone.

locals {
  send_left = var.queue_file_system && var.create_roles && var.sidecar_image != "" && var.cluster_arn != ""
}

resource "aws_ecs_task_definition" "send_left" {
  count                    = local.send_left ? 1 : 0
  family                   = "otel-prefect-send-left"
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = "256"
  memory                   = "512"
  execution_role_arn       = aws_iam_role.execution[0].arn
  task_role_arn            = aws_iam_role.task[0].arn

  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }

  container_definitions = jsonencode([{
    name                   = "otel-prefect"
    image                  = var.sidecar_image
    essential              = true
    command                = ["python", "-m", "sidecar", "send-left"]
    readonlyRootFilesystem = true
    environment = [
      for name, value in merge(local.sidecar, {
        OTEL_PREFECT_DATA_SHARED = "true"
        OTEL_PREFECT_QUEUE_FSYNC = "true"
      }) : { name = name, value = value }
    ]
    mountPoints = [{ sourceVolume = "otel-prefect", containerPath = "/var/lib/otel-prefect" }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.output.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "send-left"
      }
    }
  }])

  volume {
    name = "otel-prefect"
    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.queues[0].id
      transit_encryption = "ENABLED"
      authorization_config {
        access_point_id = aws_efs_access_point.queues[0].id
        iam             = "ENABLED"
      }
    }
  }
}

resource "aws_iam_role" "send_left" {
  count       = local.send_left ? 1 : 0
  name_prefix = "otel-prefect-send-left-"
  description = "By which the schedule starts the task that sends what lost tasks have left."
  # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "${local.arn.scheduler}:schedule-group/default" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "send_left" {
  count = local.send_left ? 1 : 0
  name  = "start-the-task"
  role  = aws_iam_role.send_left[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Action    = "ecs:RunTask"
        Resource  = "${local.arn.ecs}:task-definition/otel-prefect-send-left:*"
        Condition = { ArnEquals = { "ecs:cluster" = var.cluster_arn } }
      },
      {
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = [aws_iam_role.task[0].arn, aws_iam_role.execution[0].arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_scheduler_schedule" "send_left" {
  count               = local.send_left ? 1 : 0
  name_prefix         = "otel-prefect-send-left-"
  description         = "Sends what lost tasks have left in the queues of otel-prefect."
  schedule_expression = "rate(15 minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.cluster_arn
    role_arn = aws_iam_role.send_left[0].arn

    retry_policy {
      maximum_retry_attempts = 0
    }

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.send_left[0].arn
      task_count          = 1
      launch_type         = "FARGATE"

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = [var.task_security_group_id]
        assign_public_ip = false
      }
    }
  }
}
