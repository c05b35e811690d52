terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The first with aws_xray_trace_segment_destination and aws_xray_indexing_rule.
      version = ">= 6.46"
    }
  }
}
