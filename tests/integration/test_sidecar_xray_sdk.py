"""Segments of X-Ray SDKs take the way of all spans: by the sidecar's door, where they are completed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aws_xray_sdk.core import AWSXRayRecorder
from aws_xray_sdk.core.emitters.udp_emitter import UDPEmitter

from otel_prefect import ids, semconv
from tests.support import sidecar

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.otlp_sink import OtlpSink

RUN = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE_ID = int(RUN.replace("-", ""), 16)


def send(endpoint: str, count: int) -> None:
    emitter = UDPEmitter()
    emitter.set_daemon_address(endpoint)
    recorder = AWSXRayRecorder()
    recorder.configure(sampling=False, emitter=emitter, context_missing="RUNTIME_ERROR")
    for _ in range(count):
        time.sleep(0.005)  # what a receiver is too slow for, UDP drops
        segment = recorder.begin_segment("transform", traceid=ids.xray_trace_id(TRACE_ID))
        segment.put_annotation(semconv.RECORD_FLOW_RUN_ID, RUN)
        recorder.end_segment()


def test_segments_are_completed_at_the_door_and_a_drain_leaves_none_behind(
    sink: OtlpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_XRAY_DAEMON_ADDRESS", raising=False)
    variables = {
        "OTEL_PREFECT_TRACES": "otlp",
        "OTEL_PREFECT_OTLP_ENDPOINT": f"127.0.0.1:{sink.grpc_port}",
        "OTEL_PREFECT_ATTRIBUTES": "team=data",
        "OTEL_PREFECT_BEARER_TOKEN": "s3cret",
    }
    with sidecar.running(tmp_path, **variables) as running:
        endpoint = running.environ["OTEL_PREFECT_XRAY_UDP_ENDPOINT"]
        send(endpoint, 1)
        assert sink.wait_for(lambda _: len(sink.spans()) == 1)
        send(endpoint, 40)
        time.sleep(0.2)  # UDP: until the Collector has them from the kernel, nobody knows of them
        accounts = running.stop()
    assert accounts["accepted"]["traces"] == 41
    assert accounts["delivered"]["traces"] == {"otlp_grpc/traces": 41}
    spans = sink.spans()
    assert len({span.record.span_id for span in spans}) == 41
    assert {span.record.trace_id.hex() for span in spans} == {f"{TRACE_ID:032x}"}
    assert {(span.resource["team"], span.resource[semconv.FLOW_RUN_ID]) for span in spans} == {("data", RUN)}
