"""The application in the sidecar container: takes OTLP, adds what it knows, hands it to the Collector.

Read it from ``__main__`` to ``lifecycle``, then along the data path:
``grpc_server`` and ``http_server`` → ``intake`` → ``wire``, ``regroup``, ``enrichment`` → ``forward``.
"""
