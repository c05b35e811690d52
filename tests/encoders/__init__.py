"""Programs that send with the OpenTelemetry SDKs of four languages, and tests of what leaves the sidecar."""
