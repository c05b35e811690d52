# What the policies allow is held by a test against otel_prefect/deploy/permissions.py.

locals {
  trace_actions = {
    none      = []
    xray      = ["xray:PutTraceSegments"]
    xray-otlp = ["xray:PutSpans", "xray:PutSpansForIndexing"]
    auto = [
      "xray:GetTraceSegmentDestination",
      "xray:PutSpans",
      "xray:PutSpansForIndexing",
      "xray:PutTraceSegments",
    ]
  }

  # X-Ray, CloudWatch and ECS know no resource for the actions on "*"
  # (https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html,
  # list_amazoncloudwatch.html, list_amazonelasticcontainerservice.html).
  task_statements = concat(
    local.sends_traces ? [{
      Effect   = "Allow"
      Action   = local.trace_actions[var.traces]
      Resource = "*"
    }] : [],
    var.xray_sdk ? [{
      Effect   = "Allow"
      Action   = ["xray:GetSamplingRules", "xray:GetSamplingTargets"]
      Resource = "*"
    }] : [],
    var.logs == "cloudwatch" ? [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream"]
      Resource = "${local.log_group}:*"
    }] : [],
    local.sends_logs ? [{
      Effect   = "Allow"
      Action   = ["logs:PutLogEvents"]
      Resource = "${local.log_group}:log-stream:*"
    }] : [],
    var.metrics == "emf" ? [
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream"]
        Resource = "${local.metric_log_group}:*"
      },
      {
        Effect   = "Allow"
        Action   = ["logs:PutLogEvents"]
        Resource = "${local.metric_log_group}:log-stream:*"
      },
    ] : [],
    var.metrics == "cloudwatch-otlp" ? [{
      Effect   = "Allow"
      Action   = ["cloudwatch:PutMetricData"]
      Resource = "*"
    }] : [],
    var.prometheus_workspace_id != "" ? [{
      Effect   = "Allow"
      Action   = ["aps:RemoteWrite"]
      Resource = "${local.arn.aps}:workspace/${var.prometheus_workspace_id}"
    }] : [],
    var.open_search_ingestion ? [{
      Effect   = "Allow"
      Action   = ["osis:Ingest"]
      Resource = local.pipeline
    }] : [],
    var.run_task ? [{
      Effect   = "Allow"
      Action   = ["ecs:DescribeTaskDefinition"]
      Resource = "*"
    }] : [],
  )

  # Apart from the others, since it has a condition.
  queue_statements = [for point in aws_efs_access_point.queues : {
    Effect    = "Allow"
    Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    Resource  = "${local.arn.elasticfilesystem}:file-system/${point.file_system_id}"
    Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = "${local.arn.elasticfilesystem}:access-point/${point.id}" } }
  }]

  has_task_policy = var.queue_file_system || length(local.task_statements) > 0

  # ECR knows no resource for GetAuthorizationToken
  # (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html).
  execution_statements = concat(
    [
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream"]
        Resource = ["${local.output_log_group}:*"]
      },
      {
        Effect   = "Allow"
        Action   = ["logs:PutLogEvents"]
        Resource = ["${local.output_log_group}:log-stream:*"]
      },
    ],
    length(var.image_repository_arns) > 0 ? [
      {
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = var.image_repository_arns
      },
    ] : [],
    length(var.secret_arns) > 0 ? [{
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = var.secret_arns
    }] : [],
    length(var.parameter_arns) > 0 ? [{
      Effect   = "Allow"
      Action   = ["ssm:GetParameters"]
      Resource = var.parameter_arns
    }] : [],
    var.secrets_kms_key_arn != "" ? [{
      Effect   = "Allow"
      Action   = ["kms:Decrypt"]
      Resource = [var.secrets_kms_key_arn]
    }] : [],
  )

  operators_statements = concat(
    [
      {
        Effect = "Allow"
        Action = [
          "logs:DescribeIndexPolicies",
          "logs:GetQueryResults",
          "logs:StopQuery",
          "xray:BatchGetTraces",
          "xray:GetTraceSegmentDestination",
          "xray:ListRetrievedTraces",
          "xray:StartTraceRetrieval",
        ]
        Resource = ["*"]
      },
      {
        Effect   = "Allow"
        Action   = ["logs:DescribeLogGroups"]
        Resource = ["${local.arn.logs}:log-group:*"]
      },
      {
        Effect   = "Allow"
        Action   = ["logs:DescribeLogStreams"]
        Resource = ["${local.log_group}:*"]
      },
      {
        Effect   = "Allow"
        Action   = ["logs:FilterLogEvents", "logs:StartQuery"]
        Resource = ["${local.log_group}:*", "${local.arn.logs}:log-group:aws/spans:*"]
      },
    ],
    var.open_search_domain != "" ? [{
      Effect   = "Allow"
      Action   = ["es:ESHttpGet", "es:ESHttpPost", "es:ESHttpPut"]
      Resource = ["${local.domain}/*"]
    }] : [],
  )
}

resource "aws_iam_policy" "task" {
  count       = local.has_task_policy ? 1 : 0
  name_prefix = "otel-prefect-task-"
  description = "What the sidecar of otel-prefect and flows need. Attach it to the task roles that you have."
  policy      = jsonencode({ Version = "2012-10-17", Statement = concat(local.task_statements, local.queue_statements) })
}

resource "aws_iam_policy" "execution" {
  name_prefix = "otel-prefect-execution-"
  description = "What ECS needs to start tasks with the sidecar of otel-prefect."
  policy      = jsonencode({ Version = "2012-10-17", Statement = local.execution_statements })
}

resource "aws_iam_policy" "operators" {
  count       = var.operator_policy ? 1 : 0
  name_prefix = "otel-prefect-operators-"
  description = "What otel-prefect doctor and otel-prefect opensearch setup need beyond the task policy."
  policy      = jsonencode({ Version = "2012-10-17", Statement = local.operators_statements })
}
