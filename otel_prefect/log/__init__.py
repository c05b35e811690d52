"""Log records of every library: the fields of the run on each, and their way out over OTLP."""
