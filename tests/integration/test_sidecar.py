"""A real sidecar with a real Collector: what clients see, what arrives, and what happens in trouble."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from backports import zstd
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support import otlp_sink, sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.otlp_sink import OtlpSink
    from tests.support.sidecar import RunningSidecar

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
RUN = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"


def spans(count: int = 1, **resource: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    for key, value in {"service.name": "flow", **resource}.items():
        of_resource.resource.attributes.add(key=key).value.string_value = value
    of_scope = of_resource.scope_spans.add()
    for _ in range(count):
        of_scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="load", end_time_unix_nano=1)
    return request


def ids(request: ExportTraceServiceRequest) -> set[bytes]:
    return {span.span_id for r in request.resource_spans for s in r.scope_spans for span in s.spans}


def export(running: RunningSidecar, request: Any, method: str = TRACES, timeout: float = 10) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        body = request if isinstance(request, bytes) else request.SerializeToString()
        return bytes(channel.unary_unary(method)(body, timeout=timeout))


def post(
    running: RunningSidecar, path: str, body: bytes, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=20)
    try:
        connection.request(
            "POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def to_sink(sink: OtlpSink) -> dict[str, str]:
    return {
        "OTEL_PREFECT_TRACES": "otlp",
        "OTEL_PREFECT_LOGS": "otlp",
        "OTEL_PREFECT_METRICS": "otlp",
        "OTEL_PREFECT_OTLP_ENDPOINT": f"127.0.0.1:{sink.grpc_port}",
    }


@pytest.fixture(scope="module")
def far_end() -> Iterator[OtlpSink]:
    yield from otlp_sink.serve()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, far_end: OtlpSink) -> Iterator[RunningSidecar]:
    """One sidecar for the tests that leave it as they found it."""
    variables = {
        **to_sink(far_end),
        "OTEL_PREFECT_ATTRIBUTES": "team=data",
        "OTEL_PREFECT_MAX_REQUEST_MIB": "2",
    }
    with sidecar.running(tmp_path_factory.mktemp("sidecar"), **variables) as running:
        yield running


def arrived(sink: OtlpSink, request: ExportTraceServiceRequest) -> list[otlp_sink.Received]:
    wanted = ids(request)

    def found() -> list[otlp_sink.Received]:
        return [span for span in sink.spans() if span.record.span_id in wanted]

    assert sink.wait_for(lambda _: len(found()) >= len(wanted)), f"{len(found())} of {len(wanted)} arrived"
    return found()


# --- what clients see ---------------------------------------------------------------------------


def test_spans_over_grpc_arrive_with_the_sidecars_attributes(
    shared: RunningSidecar, far_end: OtlpSink
) -> None:
    request = spans(3)
    response = ExportTraceServiceResponse.FromString(export(shared, request))
    assert response.partial_success.rejected_spans == 0
    for span in arrived(far_end, request):
        assert span.resource == {"service.name": "flow", "team": "data"}


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_spans_over_http_arrive_plain_and_compressed(
    shared: RunningSidecar, far_end: OtlpSink, encoding: str
) -> None:
    request = spans(3)
    body = request.SerializeToString()
    compress: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
    sent = compress[encoding](body) if encoding in compress else body
    headers = {"Content_Type": "application/x-protobuf", "Content_Encoding": encoding}
    status, answered, _ = post(shared, "/v1/traces", sent, **headers)
    assert (status, answered["content-type"]) == (200, "application/x-protobuf")
    assert arrived(far_end, request)[0].resource["team"] == "data"


def test_spans_in_json_arrive_and_are_answered_in_json(shared: RunningSidecar, far_end: OtlpSink) -> None:
    request = spans(1)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "js"}}]},
                "scopeSpans": [
                    {
                        "spans": [
                            {"traceId": span.trace_id.hex(), "spanId": span.span_id.hex(), "name": "click"}
                        ]
                    }
                ],
            }
        ]
    }
    status, answered, body = post(
        shared, "/v1/traces", json.dumps(document).encode(), Content_Type="application/json"
    )
    assert (status, answered["content-type"].split(";")[0]) == (200, "application/json")
    assert isinstance(json.loads(body), dict)
    assert arrived(far_end, request)[0].resource == {"service.name": "js", "team": "data"}


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
@pytest.mark.parametrize(
    ("content_type", "body"), [("application/x-protobuf", b""), ("application/json", b"{}")]
)
def test_an_empty_request_is_answered(
    shared: RunningSidecar, path: str, content_type: str, body: bytes
) -> None:
    assert post(shared, path, body, Content_Type=content_type)[0] == 200


def test_what_is_malformed_is_refused_for_good_with_its_place(shared: RunningSidecar) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        export(shared, b"\x0a\x7fabc")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "at byte 0, field resource_spans" in refused.value.details()
    status, headers, body = post(shared, "/v1/traces", b"\x0a\x7fabc", Content_Type="application/x-protobuf")
    assert (status, "retry-after" in headers) == (400, False)
    assert "at byte 0, field resource_spans" in Status.FromString(body).message
    status, _, body = post(shared, "/v1/traces", b"{", Content_Type="application/json")
    assert status == 400
    assert "not an OTLP/JSON request of traces" in json.loads(body)["message"]


def test_a_damaged_record_is_refused_by_the_collector_and_not_retried(shared: RunningSidecar) -> None:
    record = b"\x0a\x02\xff\xff\xff"
    scope = b"\x12" + bytes([len(record)]) + record
    inner = b"\x12" + bytes([len(scope)]) + scope
    with pytest.raises(grpc.RpcError) as refused:
        export(shared, b"\x0a" + bytes([len(inner)]) + inner)
    assert refused.value.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-protobuf", "Content_Encoding": "br"}, 415),
        ({"Content_Type": "application/x-protobuf", "Content_Encoding": "gzip"}, 400),
    ],
)
def test_types_and_encodings_that_are_not_taken_are_said(
    shared: RunningSidecar, headers: dict[str, str], status: int
) -> None:
    answered, _, body = post(shared, "/v1/traces", b"abc", **headers)
    assert answered == status
    assert "Content-" in Status.FromString(body).message


def test_a_truncated_gzip_body_is_refused(shared: RunningSidecar) -> None:
    body = gzip.compress(spans(50).SerializeToString())[:-20]
    status, _, answer = post(
        shared, "/v1/traces", body, Content_Type="application/x-protobuf", Content_Encoding="gzip"
    )
    assert status == 400
    assert "ends in the middle" in Status.FromString(answer).message


def test_a_request_over_the_limit_is_refused_on_both_transports(shared: RunningSidecar) -> None:
    body = spans(60_000).SerializeToString()
    assert len(body) > 2 * 1024 * 1024
    with pytest.raises(grpc.RpcError) as refused:
        export(shared, body)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status, headers, answer = post(shared, "/v1/traces", body, Content_Type="application/x-protobuf")
    assert (status, "retry-after" in headers) == (413, False)
    assert "OTEL_PREFECT_MAX_REQUEST_MIB" in Status.FromString(answer).message


def test_json_that_is_too_large_to_decode_at_once_is_refused_with_a_way_out(shared: RunningSidecar) -> None:
    body = b'{"resourceSpans": [' + b" " * (2 * 1024 * 1024) + b"]}"
    status, _, answer = post(shared, "/v1/traces", body, Content_Type="application/json")
    assert status == 413
    assert "application/x-protobuf takes more" in json.loads(answer)["message"]


def test_what_the_collector_says_of_a_partial_success_reaches_the_client(tmp_path: Path) -> None:
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 2
    partial.partial_success.error_message = "two are too old"
    handler = grpc.unary_unary_rpc_method_handler(lambda _, __: partial.SerializeToString())
    service = grpc.method_handlers_generic_handler(TRACES.split("/")[1], {"Export": handler})
    server = grpc.server(ThreadPoolExecutor(2), handlers=[service])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with sidecar.running(tmp_path, OTEL_PREFECT_COLLECTOR=f"127.0.0.1:{port}") as running:
            over_grpc = export(running, spans(3))
            body = spans(3).SerializeToString()
            status, _, over_http = post(running, "/v1/traces", body, Content_Type="application/x-protobuf")
            as_json = json.dumps({"resourceSpans": [{"scopeSpans": []}]}).encode()
            _, _, in_json = post(running, "/v1/traces", as_json, Content_Type="application/json")
            running.stop()
    finally:
        server.stop(0).wait()
    assert status == 200
    assert over_grpc == over_http == partial.SerializeToString()
    assert json.loads(in_json)["partialSuccess"] == {"rejectedSpans": "2", "errorMessage": "two are too old"}


def test_a_decompression_bomb_is_stopped_at_the_limit(shared: RunningSidecar) -> None:
    bomb = gzip.compress(bytes(400 * 1024 * 1024))
    peak_before = peak_rss_kib(shared.process.pid)
    status, _, _ = post(
        shared, "/v1/traces", bomb, Content_Type="application/x-protobuf", Content_Encoding="gzip"
    )
    assert status == 413
    assert peak_rss_kib(shared.process.pid) - peak_before < 16 * 1024


def peak_rss_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def test_other_paths_and_methods_are_not_found(shared: RunningSidecar) -> None:
    assert post(shared, "/v1/nothing", b"", Content_Type="application/x-protobuf")[0] == 404
    with pytest.raises(grpc.RpcError) as refused:
        export(shared, b"", method="/opentelemetry.proto.collector.trace.v1.TraceService/Nothing")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_self_metrics_are_shown_and_leave_through_the_collector(sink: OtlpSink, tmp_path: Path) -> None:
    with sidecar.running(tmp_path, **to_sink(sink), OTEL_METRIC_EXPORT_INTERVAL="200") as running:
        export(running, spans(5))
        shown = running.metrics()
        assert 'prefect_sidecar_records_total{signal="traces",outcome="accepted"} 5' in shown
        assert "prefect_sidecar_in_flight_bytes 0" in shown
        assert sink.wait_for(lambda _: "prefect.sidecar.records" in metric_values(sink))
        assert metric_values(sink)["prefect.sidecar.collector_up"] == 1


def test_statsd_that_came_last_before_the_end_is_summed_and_what_is_none_is_counted(
    sink: OtlpSink, tmp_path: Path
) -> None:
    with sidecar.running(tmp_path, **to_sink(sink)) as running:
        host, _, port = running.environ["OTEL_PREFECT_STATSD_ENDPOINT"].rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((host, int(port)))
            for _ in range(200):
                client.send(b"legacy.rows:2|c|#source:crm,beta\nlegacy.rows:3|c|#source:crm,beta")
            client.send(b"legacy.rows:-7|c|#source:crm,beta\nnonsense")
            client.send(b"legacy.depth:5|g\nlegacy.depth:-2|g\nlegacy.depth:-2|g")
        wait_until(lambda: 'prefect_sidecar_statsd_refused_total{reason="negative"} 1' in running.metrics())
        running.stop()
        said = running.stderr.read_text()
    points = [
        (metric, point)
        for request in sink.metric_requests
        for of_resource in request.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        if metric.name.startswith("legacy.")
        for point in (metric.sum if metric.HasField("sum") else metric.gauge).data_points
    ]
    rows = [point for metric, point in points if metric.name == "legacy.rows"]
    assert sum(point.as_double or point.as_int for point in rows) == 1000
    assert {
        tuple(sorted((each.key, each.value.string_value) for each in point.attributes)) for point in rows
    } == {(("beta", ""), ("source", "crm"))}
    assert [point.as_double for metric, point in points if metric.name == "legacy.depth"][-1] == -2
    assert metric_sums(sink)["prefect.sidecar.statsd_lines"] == 405
    assert said.count("StatsD: a line is left out") == 2


def metric_sums(sink: OtlpSink) -> dict[str, int]:
    """Return what was added to each metric, over all its labels."""
    found: Counter[str] = Counter()
    for request in sink.metric_requests:
        for of_resource in request.resource_metrics:
            for metric in of_resource.scope_metrics[0].metrics:
                found[metric.name] += sum(point.as_int for point in metric.sum.data_points)
    return found


def metric_values(sink: OtlpSink) -> dict[str, int]:
    return {
        metric.name: (metric.sum or metric.gauge).data_points[0].as_int
        if metric.HasField("sum")
        else metric.gauge.data_points[0].as_int
        for request in sink.metric_requests
        for of_resource in request.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    }


# --- start --------------------------------------------------------------------------------------


def start_and_fail(tmp_path: Path, **variables: str) -> tuple[int, str]:
    running = sidecar.launch(tmp_path, sidecar.environment(tmp_path / "data", **variables))
    try:
        running.process.communicate(timeout=40)
    finally:
        running.process.kill()
        running.process.communicate()
    return running.process.returncode, running.stderr.read_text().strip()


@pytest.mark.parametrize("which", ["GRPC", "HTTP", "HEALTH"])
def test_a_port_in_use_is_one_line_that_names_the_variable(tmp_path: Path, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        variable = f"OTEL_PREFECT_{which}_ENDPOINT"
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, said = start_and_fail(tmp_path, **{variable: address})
    assert code == 1
    last = said.splitlines()[-1]
    assert last.startswith(f"sidecar: {variable}={address}: cannot listen there")


def test_the_port_of_statsd_is_taken_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, said = start_and_fail(tmp_path, OTEL_PREFECT_STATSD_ENDPOINT=address)
    assert code == 1
    assert said.splitlines()[-1].startswith(
        f"sidecar: OTEL_PREFECT_STATSD_ENDPOINT={address}: cannot listen there"
    )


def test_a_port_that_the_collector_needs_is_said_in_its_own_words(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, said = start_and_fail(tmp_path, OTEL_PREFECT_XRAY_UDP_ENDPOINT=f"127.0.0.1:{port}")
    assert code == 1
    assert "address already in use" in said.splitlines()[-1]
    assert str(port) in said.splitlines()[-1]


def test_a_config_that_the_collector_rejects_is_one_line_with_its_own_message(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("receivers: {otlp: {protocols: {grpc: {endpont: x}}}}\n")
    code, said = start_and_fail(tmp_path, OTEL_PREFECT_COLLECTOR_CONFIG=str(own))
    assert code == 1
    assert "endpont" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("OTEL_PREFECT_TRACES", "xrey", "OTEL_PREFECT_TRACES: there is no layer 'xrey'"),
        ("OTELCOL_BIN", "/nowhere/otelcol", "OTELCOL_BIN"),
        ("OTEL_PREFECT_DRAIN_SECONDS", "long", "OTEL_PREFECT_DRAIN_SECONDS"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(
    tmp_path: Path, variable: str, value: str, problem: str
) -> None:
    code, said = start_and_fail(tmp_path, **{variable: value})
    assert code != 0
    assert problem in said
    assert len(said.splitlines()) == 1


def test_nothing_is_accepted_before_the_collector_takes_data(sink: OtlpSink, tmp_path: Path) -> None:
    """A client that is there first is served as soon as the sidecar is: its request waits or is retried."""
    environ = sidecar.environment(tmp_path / "data", **to_sink(sink))
    running = sidecar.launch(tmp_path, environ)
    try:
        request = spans(2)
        with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            channel.unary_unary(TRACES)(request.SerializeToString(), timeout=30, wait_for_ready=True)
        assert running.health() == 200
        assert len(arrived(sink, request)) == 2
        running.stop()
    finally:
        running.process.kill()
        running.process.communicate()


def test_health_says_when_it_is_not_there(tmp_path: Path) -> None:
    environ = sidecar.environment(tmp_path / "data")
    asked = subprocess.run(
        [*sidecar.COMMAND, "health"],
        cwd=sidecar.ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1
    assert "nothing answers at" in asked.stderr


def test_health_is_zero_while_data_is_taken(shared: RunningSidecar) -> None:
    asked = subprocess.run(
        [*sidecar.COMMAND, "health"],
        cwd=sidecar.ROOT,
        env=shared.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")


# --- trouble and end ----------------------------------------------------------------------------


def test_sigterm_drains_tells_the_accounts_and_exits_zero(sink: OtlpSink, tmp_path: Path) -> None:
    with sidecar.running(tmp_path, **to_sink(sink)) as running:
        request = spans(40)
        export(running, request)
        export(running, logs(7), LOGS)
        accounts = running.stop()
    assert accounts["accepted"] == {"traces": 40, "logs": 7, "metrics": 0}
    assert accounts["delivered"]["traces"] == {"otlp_grpc/traces": 40}
    assert accounts["delivered"]["logs"] == {"otlp_grpc/logs": 7}
    assert (accounts["refused"]["traces"], accounts["malformed"]["traces"]) == (0, 0)
    assert accounts["left_on_disk"] == {}
    assert len(arrived(sink, request)) == 40
    added = metric_sums(sink)
    assert added["prefect.sidecar.records"] == 47, "the last numbers leave too"
    assert added["prefect.sidecar.delivered"] >= 47


def logs(count: int) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    of_scope = request.resource_logs.add().scope_logs.add()
    for number in range(count):
        of_scope.log_records.add(time_unix_nano=1 + number).body.string_value = f"line {number}"
    return request


def test_data_that_comes_while_it_drains_is_still_taken(sink: OtlpSink, tmp_path: Path) -> None:
    with sidecar.running(tmp_path, **to_sink(sink)) as running:
        running.process.send_signal(signal.SIGTERM)
        requests = [spans(1) for _ in range(5)]
        for request in requests:
            export(running, request)
            time.sleep(0.2)
        accounts = running.stop()
    assert accounts["accepted"]["traces"] == 5
    assert accounts["delivered"]["traces"] == {"otlp_grpc/traces": 5}


def test_what_a_destination_did_not_take_stays_on_disk_and_leaves_with_the_next_start(
    sink: OtlpSink, tmp_path: Path
) -> None:
    sink.refuse_with = grpc.StatusCode.UNAVAILABLE
    request = spans(30)
    with sidecar.running(tmp_path, **to_sink(sink), OTEL_PREFECT_DRAIN_SECONDS="2") as running:
        export(running, request)
        accounts = running.stop()
    assert accounts["accepted"]["traces"] == 30
    assert accounts["delivered"].get("traces", {}) in ({}, {"otlp_grpc/traces": 0})
    assert accounts["left_on_disk"]["traces"]["otlp_grpc/traces"] > 0
    sink.refuse_with = None
    with sidecar.running(tmp_path, **to_sink(sink)) as running:
        assert len(arrived(sink, request)) == 30
        assert running.stop()["left_on_disk"] == {}


def test_a_killed_collector_is_started_again_and_loses_nothing_acknowledged(
    sink: OtlpSink, tmp_path: Path
) -> None:
    sink.refuse_with = grpc.StatusCode.UNAVAILABLE
    with sidecar.running(tmp_path, **to_sink(sink)) as running:
        request = spans(30)
        export(running, request)
        killed = running.collector_pid()
        os.kill(killed, signal.SIGKILL)
        sink.refuse_with = None
        with pytest.raises(grpc.RpcError) as refused:
            export_until_refused(running)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert retry_delay(refused.value) > 0
        wait_until(lambda: "prefect_sidecar_collector_starts_total 2" in running.metrics())
        running.wait_healthy()
        assert running.collector_pid() != killed
        assert len({span.record.span_id for span in arrived(sink, request)}) == 30
        running.stop()


def wait_until(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not come to hold in {seconds} s"
        time.sleep(0.05)


def export_until_refused(running: RunningSidecar) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        export(running, spans(1))


def retry_delay(error: Any) -> int:
    metadata = dict(error.trailing_metadata())
    details = Status.FromString(metadata["grpc-status-details-bin"]).details
    info = RetryInfo()
    assert details[0].Unpack(info)
    return int(info.retry_delay.seconds)


def test_a_killed_sidecar_leaves_no_collector_behind_and_what_it_acknowledged_arrives(
    sink: OtlpSink, tmp_path: Path
) -> None:
    sink.refuse_with = grpc.StatusCode.UNAVAILABLE
    request = spans(30)
    with sidecar.running(tmp_path, **to_sink(sink)) as running:
        export(running, request)
        collector = running.collector_pid()
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not is_running(collector))
    sink.refuse_with = None
    with sidecar.running(tmp_path, **to_sink(sink)) as running:
        assert len({span.record.span_id for span in arrived(sink, request)}) == 30
        running.stop()


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_external_collector_that_is_away_has_clients_try_again(sink: OtlpSink, tmp_path: Path) -> None:
    with sidecar.running(tmp_path, OTEL_PREFECT_COLLECTOR=f"127.0.0.1:{sink.grpc_port}") as running:
        export(running, spans(1))
        sink.refuse_with = grpc.StatusCode.UNAVAILABLE
        status, headers, _ = post(
            running, "/v1/traces", spans(1).SerializeToString(), Content_Type="application/x-protobuf"
        )
        assert (status, headers["retry-after"]) == (503, "1")
        accounts = running.stop()
    assert (accounts["accepted"]["traces"], accounts["refused"]["traces"]) == (1, 1)


def test_the_sidecar_writes_nothing_but_the_queues(sink: OtlpSink, tmp_path: Path) -> None:
    with sidecar.running(tmp_path, **to_sink(sink)) as running:
        export(running, spans(3))
        running.stop()
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"queue"}


def test_secrets_reach_neither_the_collector_nor_the_log(sink: OtlpSink, tmp_path: Path) -> None:
    secrets = {"PREFECT_API_KEY": "pnu_s3cret", "PREFECT_API_URL": "http://127.0.0.1:1/api"}
    with sidecar.running(tmp_path, **to_sink(sink), **secrets) as running:
        export(running, spans(1, **{"prefect.flow-run.id": RUN}))
        with open(f"/proc/{running.collector_pid()}/environ", "rb") as environ:
            assert b"s3cret" not in environ.read()
        running.stop()
    assert "s3cret" not in running.stderr.read_text()


def test_without_the_token_nothing_is_taken_on_either_transport(sink: OtlpSink, tmp_path: Path) -> None:
    with sidecar.running(tmp_path, **to_sink(sink), OTEL_PREFECT_BEARER_TOKEN="t0ken") as running:
        with pytest.raises(grpc.RpcError) as refused:
            export(running, spans(1))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        body = spans(1).SerializeToString()
        protobuf = {"Content_Type": "application/x-protobuf"}
        assert post(running, "/v1/traces", body, **protobuf)[0] == 401
        assert post(running, "/v1/traces", body, **protobuf, Authorization="Bearer t0ke")[0] == 401
        status, headers, answer = post(running, "/v1/traces", body, **protobuf, Authorization="Bearer ü")
        assert (status, "retry-after" in headers) == (401, False)
        assert "OTEL_PREFECT_BEARER_TOKEN" in Status.FromString(answer).message
        assert b"t0ken" not in answer
        assert post(running, "/v1/traces", body, **protobuf, Authorization="Bearer t0ken")[0] == 200
        with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            channel.unary_unary(TRACES)(body, metadata=(("authorization", "Bearer t0ken"),), timeout=10)
        assert running.stop()["accepted"]["traces"] == 2


def test_a_collector_that_keeps_dying_is_said_on_health_and_ends_the_sidecar_where_it_is_told_to(
    tmp_path: Path,
) -> None:
    environ = {"OTEL_PREFECT_ON_COLLECTOR_FAILURE": "exit"}
    with sidecar.running(tmp_path, **environ) as running:
        reasons: list[str] = []
        deadline = time.monotonic() + 60
        while running.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(AssertionError, ProcessLookupError, FileNotFoundError):
                os.kill(running.collector_pid(), signal.SIGKILL)
            reasons.append(health_reason(running))
            time.sleep(0.05)
        assert running.process.wait(timeout=10) == 1
    assert any("the Collector ended 4 times in a row" in reason for reason in reasons)
    assert "the Collector ended 5 times in a row" in running.stderr.read_text().splitlines()[-1]


def health_reason(running: RunningSidecar) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", running.health_port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return str(json.loads(connection.getresponse().read()).get("reason", ""))
    except OSError:
        return ""
    finally:
        connection.close()
