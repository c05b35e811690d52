"""What is acknowledged waits on disk for its destination, and for its destination alone."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import grpc
import pytest

from demo.processes import Processes, free_port
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.support import otlp, otlp_sink
from tests.support.collector import running, variables, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESOURCE = {"service.name": "flow"}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as owner:
        yield owner


def names(sink: otlp_sink.OtlpSink) -> list[str]:
    return [record.record.body.string_value for record in sink.logs()]


def own_layer(folder: Path, endpoint: str) -> Path:
    """Write a user's own file: a second destination for logs, built like the shipped ones."""
    file = folder / "second.yaml"
    file.write_text(f"""
exporters:
  otlp_grpc/second:
    endpoint: {endpoint}
    tls: {{insecure: true}}
    retry_on_failure: {{initial_interval: 100ms, max_interval: 500ms, max_elapsed_time: 0}}
    sending_queue: {{storage: file_storage/queue, sizer: bytes, queue_size: 1000000}}
service:
  pipelines:
    logs/second: {{receivers: [otlp], processors: [memory_limiter], exporters: [otlp_grpc/second]}}
""")
    return file


def test_a_destination_that_is_down_neither_blocks_another_nor_sends_it_anything_twice(
    processes: Processes, sink: otlp_sink.OtlpSink, tmp_path: Path
) -> None:
    down = free_port()
    settings = {
        **variables(tmp_path, logs="otlp"),
        semconv.ENV_OTLP_ENDPOINT.name: f"127.0.0.1:{sink.grpc_port}",
        semconv.ENV_COLLECTOR_CONFIG.name: str(own_layer(tmp_path, f"127.0.0.1:{down}")),
    }
    with running(processes, collector.find(), settings) as started:
        sent = [f"line {number}" for number in range(20)]
        for line in sent:
            started.send(otlp.logs(RESOURCE, otlp.record(line)))
        assert sink.wait_for(lambda it: len(names(it)) >= len(sent))
        assert started.own_metric("otelcol_exporter_queue_size", "otlp_grpc/second")
        with otlp_sink.serving(grpc_port=down) as late:
            assert late.wait_for(lambda it: len(set(names(it))) >= len(sent), 30)
        assert sorted(names(sink)) == sorted(sent)
        assert set(names(late)) == set(sent)


def test_what_is_queued_outlives_a_kill(
    processes: Processes, sink: otlp_sink.OtlpSink, tmp_path: Path
) -> None:
    sink.refuse_with = grpc.StatusCode.UNAVAILABLE
    settings = {
        **variables(tmp_path, logs="otlp"),
        semconv.ENV_OTLP_ENDPOINT.name: f"127.0.0.1:{sink.grpc_port}",
    }
    sent = [f"line {number}" for number in range(50)]
    with running(processes, collector.find(), settings, name="killed") as started:
        for line in sent:
            started.send(otlp.logs(RESOURCE, otlp.record(line)))
        os.kill(started.process.pid, signal.SIGKILL)
        started.process.wait(10)
    sink.refuse_with = None
    with running(processes, collector.find(), settings, name="restarted"):
        assert sink.wait_for(lambda it: set(names(it)) >= set(sent), 30)


def test_spans_for_xray_wait_for_it_through_a_kill(processes: Processes, tmp_path: Path) -> None:
    """The exporter has no queue of its own: the loop before it has."""
    from demo import aws  # noqa: PLC0415 - only this test needs moto

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        away = f"http://127.0.0.1:{closed.getsockname()[1]}"
        moto = aws.start(processes)
        settings = {**moto.variables(), **variables(tmp_path, traces="xray")}
        trace_id = "5f84c7a1e7d1852db8c4fd35d88bf49a"
        with running(
            processes, collector.find(), {**settings, "AWS_ENDPOINT_URL_XRAY": away}, name="killed"
        ) as it:
            it.send(otlp.traces(RESOURCE, *(otlp.span("s", trace_id, f"{n:016x}") for n in range(1, 31))))
            os.kill(it.process.pid, signal.SIGKILL)
            it.process.wait(10)
    xray = moto.client("xray")
    with running(processes, collector.find(), settings, name="restarted"):

        def segments() -> list[str]:
            traces = xray.batch_get_traces(TraceIds=["1-5f84c7a1-e7d1852db8c4fd35d88bf49a"])["Traces"]
            return [segment["Id"] for trace in traces for segment in trace["Segments"]]

        assert set(wait_for(segments, lambda found: len(list(found)) >= 30)) == {
            f"{n:016x}" for n in range(1, 31)
        }


def test_a_queue_that_is_full_refuses_with_an_error_that_is_retried(
    processes: Processes, sink: otlp_sink.OtlpSink, tmp_path: Path
) -> None:
    sink.refuse_with = grpc.StatusCode.UNAVAILABLE
    settings = {
        **variables(tmp_path, logs="otlp"),
        semconv.ENV_OTLP_ENDPOINT.name: f"127.0.0.1:{sink.grpc_port}",
        semconv.ENV_QUEUE_BYTES.name: "20000",
    }
    with running(processes, collector.find(), settings) as started:

        def refused() -> grpc.StatusCode | None:
            try:
                started.send(otlp.logs(RESOURCE, otlp.record("x" * 5000)))
            except grpc.RpcError as error:
                return error.code()
            return None

        assert wait_for(refused, lambda code: code is not None) == grpc.StatusCode.UNAVAILABLE


def test_nothing_is_left_in_the_queues_when_all_has_arrived(
    processes: Processes, sink: otlp_sink.OtlpSink, tmp_path: Path
) -> None:
    """The sidecar waits for this number before it stops the Collector."""
    settings = {
        **variables(tmp_path, logs="otlp"),
        semconv.ENV_OTLP_ENDPOINT.name: f"127.0.0.1:{sink.grpc_port}",
    }
    with running(processes, collector.find(), settings) as started:
        started.send(otlp.logs(RESOURCE, otlp.record("one")))
        size = "otelcol_exporter_queue_size"
        wait_for(lambda: started.own_metric("otelcol_exporter_sent_log_records", "otlp_grpc/logs"), bool)
        assert names(sink) == ["one"]
        assert wait_for(lambda: started.own_metric(size, "otlp_grpc/logs"), lambda left: left == 0) == 0
