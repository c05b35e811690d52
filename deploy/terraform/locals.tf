data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.region
  account   = data.aws_caller_identity.this.account_id
  # An ARN of this account and region: after the service comes what it names.
  arn = { for service in ["aps", "ecs", "elasticfilesystem", "es", "logs", "osis", "scheduler", "xray"] :
    service => "arn:${local.partition}:${service}:${local.region}:${local.account}"
  }

  sends_traces       = var.traces != "none"
  sends_logs         = var.logs != "none"
  sends_metrics      = var.metrics != "none"
  managed_prometheus = var.prometheus_workspace_id == "" ? [] : ["prometheus"]
  log_key            = var.log_kms_key_arn == "" ? null : var.log_kms_key_arn

  log_group        = "${local.arn.logs}:log-group:${var.log_group_name}"
  metric_log_group = "${local.arn.logs}:log-group:${var.metric_log_group_name}"
  output_log_group = "${local.arn.logs}:log-group:${var.output_log_group_name}"
  domain           = "${local.arn.es}:domain/${var.open_search_domain}"
  pipeline         = "${local.arn.osis}:pipeline/${var.ingestion_pipeline_name}"
}
