"""What holds for any bytes that the sidecar is sent, and fuzzers that look for some that it fails for."""
