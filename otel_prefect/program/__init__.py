"""``otel-prefect run``: a program of any language as a span of the run."""
