# They outlive the module, since somebody will ask for last week's logs.

resource "aws_cloudwatch_log_group" "logs" {
  count             = local.sends_logs ? 1 : 0
  name              = var.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = local.log_key
  skip_destroy      = true
}

# What a run is looked up by: Logs Insights then looks at the run's events, and is paid for no others.
resource "aws_cloudwatch_log_index_policy" "logs" {
  count           = local.sends_logs ? 1 : 0
  log_group_name  = aws_cloudwatch_log_group.logs[0].name
  policy_document = jsonencode({ Fields = ["flow_run_id", "xray_trace_id"] })
}

# The OTLP endpoint makes no stream, so one is made here, for all tasks. Terraform knows no way to leave it behind:
# it goes with the module, and its events with it.
resource "aws_cloudwatch_log_stream" "logs" {
  count          = var.logs == "cloudwatch-otlp" ? 1 : 0
  name           = "otel-prefect"
  log_group_name = aws_cloudwatch_log_group.logs[0].name
}

resource "aws_cloudwatch_log_group" "metrics" {
  count             = var.metrics == "emf" ? 1 : 0
  name              = var.metric_log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = local.log_key
  skip_destroy      = true
}

resource "aws_cloudwatch_log_group" "output" {
  name              = var.output_log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = local.log_key
  skip_destroy      = true
}
