# `fault` is about a trace's first segment, which is the flow run's; every span of a run has its id, in which there
# are hyphens. https://docs.aws.amazon.com/xray/latest/devguide/xray-console-filters.html
resource "aws_xray_group" "failed_runs" {
  count             = var.xray_group ? 1 : 0
  group_name        = "prefect-failed-runs"
  filter_expression = "fault = true AND annotation.flow_run_id CONTAINS \"-\""

  insights_configuration {
    insights_enabled      = var.xray_insights
    notifications_enabled = false
  }
}

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-Transaction-Search.html
resource "aws_cloudwatch_log_resource_policy" "spans" {
  count       = var.transaction_search ? 1 : 0
  policy_name = "otel-prefect-transaction-search"
  policy_document = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "xray.amazonaws.com" }
      Action    = "logs:PutLogEvents"
      Resource = [
        "${local.arn.logs}:log-group:aws/spans:*",
        "${local.arn.logs}:log-group:/aws/application-signals/data:*",
      ]
      Condition = {
        ArnLike      = { "aws:SourceArn" = "${local.arn.xray}:*" }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })
}

resource "aws_xray_trace_segment_destination" "spans" {
  count       = var.transaction_search ? 1 : 0
  destination = "CloudWatchLogs"

  depends_on = [aws_cloudwatch_log_resource_policy.spans]
}

# The rule is X-Ray's own, and the only one there is.
resource "aws_xray_indexing_rule" "spans" {
  count = var.transaction_search ? 1 : 0
  name  = "Default"

  rule {
    probabilistic {
      desired_sampling_percentage = var.indexing_percentage
    }
  }

  depends_on = [aws_xray_trace_segment_destination.spans]
}
