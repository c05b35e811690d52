# The same as the parameters of ../cloudformation.yaml; a test compares them.

variable "traces" {
  description = "The layer of AWS in OTEL_PREFECT_TRACES."
  type        = string
  default     = "xray"
  validation {
    condition     = contains(["xray", "xray-otlp", "auto", "none"], var.traces)
    error_message = "traces is one of xray, xray-otlp, auto, none."
  }
}

variable "logs" {
  description = "The layer of AWS in OTEL_PREFECT_LOGS."
  type        = string
  default     = "cloudwatch"
  validation {
    condition     = contains(["cloudwatch", "cloudwatch-otlp", "none"], var.logs)
    error_message = "logs is one of cloudwatch, cloudwatch-otlp, none."
  }
}

variable "metrics" {
  description = "The layer of AWS in OTEL_PREFECT_METRICS."
  type        = string
  default     = "emf"
  validation {
    condition     = contains(["emf", "cloudwatch-otlp", "none"], var.metrics)
    error_message = "metrics is one of emf, cloudwatch-otlp, none."
  }
}

variable "prometheus_workspace_id" {
  description = "A workspace of Amazon Managed Service for Prometheus, for the layer prometheus besides that of Metrics."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^(ws-[0-9a-z-]+)?$", var.prometheus_workspace_id))
    error_message = "prometheus_workspace_id is empty or an id such as ws-0123."
  }
}

variable "xray_sdk" {
  description = "Code of the tasks still has an X-Ray SDK, which asks for sampling rules."
  type        = bool
  default     = false
}

variable "log_group_name" {
  description = "OTEL_PREFECT_LOG_GROUP, the log group of the runs' logs."
  type        = string
  default     = "/otel-prefect"
}

variable "metric_log_group_name" {
  description = "OTEL_PREFECT_METRIC_LOG_GROUP, the log group that CloudWatch reads metrics out of."
  type        = string
  default     = "/otel-prefect/metrics"
}

variable "output_log_group_name" {
  description = "The log group of what containers print (awslogs), the sidecar among them."
  type        = string
  default     = "/otel-prefect/output"
}

variable "log_retention_days" {
  description = "Days that the log groups keep events; OTEL_PREFECT_LOG_RETENTION_DAYS has to say the same."
  type        = number
  default     = 30
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "log_kms_key_arn" {
  description = "A KMS key for the log groups, which its policy has to let CloudWatch Logs use; empty is AWS's own key."
  type        = string
  default     = ""
}

variable "create_roles" {
  description = "Whether a task role and an execution role are made. Roles that exist take the policies instead."
  type        = bool
  default     = true
}

variable "image_repository_arns" {
  description = "ARNs of the ECR repositories that tasks pull images from; empty where they are not in ECR."
  type        = list(string)
  default     = []
}

variable "secret_arns" {
  description = "ARNs of the Secrets Manager secrets in the task definitions, each with the six characters at its end."
  type        = list(string)
  default     = []
}

variable "parameter_arns" {
  description = "ARNs of the Systems Manager parameters that task definitions refer to as secrets."
  type        = list(string)
  default     = []
}

variable "secrets_kms_key_arn" {
  description = "The KMS key of these secrets, where it is not AWS's own."
  type        = string
  default     = ""
}

variable "run_task" {
  description = "Flows start ECS tasks without containerOverrides, and the run is to be handed on to them."
  type        = bool
  default     = false
}

variable "operator_policy" {
  description = "A policy, attached to nobody, for who runs otel-prefect doctor and otel-prefect opensearch setup."
  type        = bool
  default     = false
}

variable "xray_group" {
  description = "An X-Ray group of the runs that have failed."
  type        = bool
  default     = true
}

variable "xray_insights" {
  description = "Whether X-Ray looks for anomalies in that group, which costs by the trace."
  type        = bool
  default     = false
}

variable "transaction_search" {
  description = "Turns Transaction Search on for the whole account in this region - all spans go to the log group aws/spans. Needed for the layer xray-otlp. It must not be on already."
  type        = bool
  default     = false
}

variable "indexing_percentage" {
  description = "Percent of traces that X-Ray indexes with Transaction Search; 1 costs nothing."
  type        = number
  default     = 1
  validation {
    condition     = var.indexing_percentage >= 0 && var.indexing_percentage <= 100
    error_message = "indexing_percentage is 0 or more, up to 100."
  }
}

variable "open_search_domain" {
  description = "Name of the OpenSearch domain that exists, for the ingestion pipeline and the operators' policy."
  type        = string
  default     = ""
}

variable "open_search_domain_endpoint" {
  description = "The domain's URL, for the ingestion pipeline."
  type        = string
  default     = ""
}

variable "open_search_ingestion" {
  description = "An OpenSearch Ingestion pipeline for the layers opensearch-ingestion."
  type        = bool
  default     = false
}

variable "ingestion_pipeline_name" {
  type    = string
  default = "otel-prefect"
}

variable "ingestion_min_units" {
  description = "Units (OCU) that the pipeline always has, and that are always paid for."
  type        = number
  default     = 1
  validation {
    condition     = var.ingestion_min_units >= 1
    error_message = "ingestion_min_units is 1 or more."
  }
}

variable "ingestion_max_units" {
  type    = number
  default = 4
  validation {
    condition     = var.ingestion_max_units >= 1
    error_message = "ingestion_max_units is 1 or more."
  }
}

variable "queue_file_system" {
  description = "An EFS file system on which the sidecars' queues outlive their tasks. Needs the three below."
  type        = bool
  default     = false
}

variable "vpc_id" {
  description = "The VPC of the tasks."
  type        = string
  default     = ""
}

variable "subnet_ids" {
  description = "The tasks' subnets, one in each availability zone, three at most."
  type        = list(string)
  default     = []
}

variable "task_security_group_id" {
  description = "The security group of the tasks."
  type        = string
  default     = ""
}

variable "sidecar_image" {
  description = "The sidecar's image, for a scheduled task that sends what lost tasks have left in their queues."
  type        = string
  default     = ""
}

variable "cpu_architecture" {
  description = "Of that image."
  type        = string
  default     = "X86_64"
  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture is one of X86_64, ARM64."
  }
}

variable "cluster_arn" {
  description = "The ECS cluster of the scheduled task, which is made where this and SidecarImage are given and roles are made."
  type        = string
  default     = ""
}
