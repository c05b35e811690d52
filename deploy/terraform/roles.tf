locals {
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
  trust_of_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "${local.arn.ecs}:*" }
      }
    }]
  })
}

resource "aws_iam_role" "task" {
  count              = var.create_roles ? 1 : 0
  name_prefix        = "otel-prefect-task-"
  description        = "Of tasks with the sidecar of otel-prefect. Attach what the flows themselves need."
  assume_role_policy = local.trust_of_tasks
}

resource "aws_iam_role_policy_attachment" "task" {
  count      = var.create_roles && local.has_task_policy ? 1 : 0
  role       = aws_iam_role.task[0].name
  policy_arn = aws_iam_policy.task[0].arn
}

resource "aws_iam_role" "execution" {
  count              = var.create_roles ? 1 : 0
  name_prefix        = "otel-prefect-execution-"
  description        = "By which ECS starts tasks with the sidecar of otel-prefect."
  assume_role_policy = local.trust_of_tasks
}

resource "aws_iam_role_policy_attachment" "execution" {
  count      = var.create_roles ? 1 : 0
  role       = aws_iam_role.execution[0].name
  policy_arn = aws_iam_policy.execution.arn
}
