"""The sidecar with a hop that decodes and encodes each request: ``python -m bench.decode_hop``.

It is there to be compared with. Everything but the splice is the sidecar's own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sidecar import __main__, wire
from sidecar.otlp import LOGS, METRICS, TRACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.wire import Frames

_REQUESTS: dict[Frames, Any] = {
    TRACES.frames: ExportTraceServiceRequest,
    LOGS.frames: ExportLogsServiceRequest,
    METRICS.frames: ExportMetricsServiceRequest,
}


def decode_and_encode(
    body: bytes, frames: Frames, replace: Callable[[bytes], bytes], *_: Any
) -> wire.Spliced:
    """Do what ``wire.splice`` does, through the messages of protobuf; the same but for ``divide``."""
    request = _REQUESTS[frames].FromString(body)
    records = 0
    for of_resource in getattr(request, frames.resources):
        of_resource.resource.ParseFromString(replace(of_resource.resource.SerializeToString()))
        records += sum(len(getattr(scope, frames.records)) for scope in getattr(of_resource, frames.scopes))
    return wire.Spliced(request.SerializeToString(), records)


if __name__ == "__main__":
    # By its name in the intake: where that goes, this ends with an error instead of measuring the splice.
    with patch("sidecar.intake.wire.splice", decode_and_encode):
        sys.exit(__main__.main(sys.argv[1:]))
