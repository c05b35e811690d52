resource "aws_iam_role" "ingestion" {
  count       = var.open_search_ingestion ? 1 : 0
  name_prefix = "otel-prefect-ingestion-"
  description = "By which the ingestion pipeline writes to the domain, whose access policy has to name it too."
  # https://docs.aws.amazon.com/opensearch-service/latest/developerguide/pipeline-domain-access.html
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "osis-pipelines.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = local.pipeline }
      }
    }]
  })
}

resource "aws_iam_role_policy" "ingestion" {
  count = var.open_search_ingestion ? 1 : 0
  name  = "write-to-the-domain"
  role  = aws_iam_role.ingestion[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "es:DescribeDomain"
        Resource = local.domain
      },
      {
        Effect   = "Allow"
        Action   = ["es:ESHttpGet", "es:ESHttpHead", "es:ESHttpPost", "es:ESHttpPut"]
        Resource = "${local.domain}/*"
      },
    ]
  })
}

# The name begins as it has to
# (https://docs.aws.amazon.com/opensearch-service/latest/developerguide/monitoring-pipeline-logs.html).
resource "aws_cloudwatch_log_group" "ingestion" {
  count             = var.open_search_ingestion ? 1 : 0
  name              = "/aws/vendedlogs/OpenSearchIngestion/${var.ingestion_pipeline_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.log_key
}

# Indices are those that OpenSearch Dashboards looks for
# (https://docs.aws.amazon.com/opensearch-service/latest/developerguide/observability-ingestion.html), not those of
# `otel-prefect opensearch setup`. The paths are what the layers add to the URL, and the compression is theirs.
resource "aws_osis_pipeline" "ingestion" {
  count         = var.open_search_ingestion ? 1 : 0
  pipeline_name = var.ingestion_pipeline_name
  min_units     = var.ingestion_min_units
  max_units     = var.ingestion_max_units

  log_publishing_options {
    is_logging_enabled = true
    cloudwatch_log_destination {
      log_group = aws_cloudwatch_log_group.ingestion[0].name
    }
  }

  pipeline_configuration_body = templatefile("${path.module}/ingestion.yaml", {
    OpenSearchDomainEndpoint = var.open_search_domain_endpoint
    Region                   = local.region
    IngestionRoleArn         = aws_iam_role.ingestion[0].arn
  })

  lifecycle {
    precondition {
      condition     = var.open_search_domain != "" && var.open_search_domain_endpoint != ""
      error_message = "open_search_ingestion needs open_search_domain and open_search_domain_endpoint."
    }
  }
}
