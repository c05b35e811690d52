locals {
  ingested = var.open_search_ingestion ? ["opensearch-ingestion"] : []
  # The sidecar's variables.
  sidecar = merge(
    {
      OTEL_PREFECT_TRACES             = join(",", coalescelist(concat(local.sends_traces ? [var.traces] : [], local.ingested), ["none"]))
      OTEL_PREFECT_LOGS               = join(",", coalescelist(concat(local.sends_logs ? [var.logs] : [], local.ingested), ["none"]))
      OTEL_PREFECT_METRICS            = join(",", coalescelist(concat(local.sends_metrics ? [var.metrics] : [], local.managed_prometheus), ["none"]))
      OTEL_PREFECT_LOG_GROUP          = var.log_group_name
      OTEL_PREFECT_METRIC_LOG_GROUP   = var.metric_log_group_name
      OTEL_PREFECT_LOG_RETENTION_DAYS = tostring(var.log_retention_days)
    },
    { for stream in aws_cloudwatch_log_stream.logs : "OTEL_PREFECT_LOG_STREAM" => stream.name },
    { for layer in local.managed_prometheus :
      "OTEL_PREFECT_PROMETHEUS_ENDPOINT" => "https://aps-workspaces.${local.region}.amazonaws.com/workspaces/${var.prometheus_workspace_id}/api/v1/remote_write"
    },
    { for each in aws_osis_pipeline.ingestion :
      "OTEL_PREFECT_OPENSEARCH_INGESTION_ENDPOINT" => "https://${tolist(each.ingest_endpoint_urls)[0]}"
    },
  )
}

output "sidecar_options" {
  description = "Options for otel-prefect ecs add-sidecar and work-pool add-sidecar."
  value = join(" ", concat(
    [for name, value in local.sidecar : "--env ${name}=${value}"],
    ["--own-log-group ${var.output_log_group_name}"],
    [for point in aws_efs_access_point.queues : "--efs ${point.file_system_id}:${point.id}"],
  ))
}

output "output_log_group_name" {
  value = aws_cloudwatch_log_group.output.name
}

output "task_policy_arn" {
  description = "For task roles that exist."
  value       = one(aws_iam_policy.task[*].arn)
}

output "execution_policy_arn" {
  description = "For execution roles that exist."
  value       = aws_iam_policy.execution.arn
}

output "operator_policy_arn" {
  value = one(aws_iam_policy.operators[*].arn)
}

output "task_role_arn" {
  value = one(aws_iam_role.task[*].arn)
}

output "execution_role_arn" {
  value = one(aws_iam_role.execution[*].arn)
}

output "ingestion_role_arn" {
  description = "To be named in the domain's access policy, and mapped to a role of its own where it has fine-grained access."
  value       = one(aws_iam_role.ingestion[*].arn)
}
