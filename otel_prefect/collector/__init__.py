"""The OpenTelemetry Collector: built, found and started. Its configuration is in ``collector-config/``."""
