"""A real flow against a real Prefect server: what its processes send, read back from an OTLP receiver."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from demo import prefect_server
from demo.processes import Processes, environment, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.otlp_sink import OtlpSink, Received

FLOWS = Path(__file__).parent.parent / "support" / "flows"
FLOW = FLOWS / "daily_sales.py"
PLUGIN = {"PREFECT_PLUGINS_ENABLED": "1"}
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prefect_server.PrefectServer]:
    """A Prefect server on a free port, with a database of its own."""
    folder = tmp_path_factory.mktemp("prefect")
    with Processes(folder / "logs") as processes:
        yield prefect_server.start(processes, folder / "home")


def run(
    command: list[str], server: prefect_server.PrefectServer, port: int, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program of the flow's container to its end."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", **server.variables(), **env}
    return subprocess.run(
        command, env=environment(variables), capture_output=True, text=True, check=False, timeout=120
    )


def deployed_run(server: prefect_server.PrefectServer) -> str:
    """Create a run of the flow's deployment, as a worker has claimed it."""
    deployment = server.deploy(
        flow="daily-sales",
        deployment="nightly",
        work_pool="ecs",
        entrypoint="daily_sales.py:daily_sales",
        folder=FLOWS,
    )
    return server.create_flow_run(deployment)


def flow_run_of(spans: list[Received]) -> Received:
    """Return the outermost flow run's span."""
    (found,) = [span for span in spans if not span.record.parent_span_id]
    assert found.attributes["prefect.run.type"] == "flow"
    return found


def assert_whole(sink: OtlpSink) -> UUID:
    """Check that all of a run is one trace and one log stream, once; return the run's id."""
    spans = sink.spans()
    flow = flow_run_of(spans)
    run_id = UUID(flow.attributes["prefect.run.id"])
    by_id = {span.record.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    kinds = Counter(span.attributes.get("prefect.run.type") or span.record.name for span in spans)
    assert kinds == {"flow": 2, "task": 2, "read file": 2, "in a thread": 1}
    (subflow,) = [
        span for span in spans if span.attributes.get("prefect.run.type") == "flow" and span is not flow
    ]
    for span in spans:
        assert span.record.trace_id == run_id.bytes
        assert span is flow or span.record.parent_span_id in by_id
        own = subflow.attributes["prefect.run.id"] if span is subflow else str(run_id)
        assert span.attributes["flow_run_id"] == own
        in_task = span.record.name == "read file" or span.attributes.get("prefect.run.type") == "task"
        assert ("prefect.task-run.id" in span.attributes) == in_task

    logs = sink.logs()
    texts = Counter(log.record.body.string_value for log in logs)
    for once in (
        "printed by the flow",
        "extracting day 1",
        "day 2 has gaps",
        "said in a thread",
        "adding up",
    ):
        assert texts[once] == 1
    for log in logs:
        assert log.record.trace_id == run_id.bytes
        assert log.attributes["xray_trace_id"] == f"1-{run_id.hex[:8]}-{run_id.hex[8:]}"
        assert log.attributes["flow_run_id"] in (str(run_id), subflow.attributes["prefect.run.id"])
    (gaps,) = [log for log in logs if log.record.body.string_value == "day 1 has gaps"]
    assert gaps.scope == "some.library"
    assert by_id[gaps.record.span_id].record.name == "read file"
    assert (
        gaps.attributes["prefect.task-run.id"] == by_id[gaps.record.span_id].attributes["prefect.task-run.id"]
    )

    names = {
        metric.name
        for request in sink.metric_requests
        for of_resource in request.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
    }
    assert names == {"rows.loaded"}
    return run_id


def test_a_script_with_the_plugin_on_is_one_trace(
    server: prefect_server.PrefectServer, sink: OtlpSink
) -> None:
    done = run([sys.executable, str(FLOW)], server, sink.http_port, PLUGIN)
    assert (done.returncode, done.stdout) == (0, "total 3\n")
    assert_whole(sink)


def test_a_script_under_opentelemetry_instrument_is_one_trace(
    server: prefect_server.PrefectServer, sink: OtlpSink
) -> None:
    command = [str(BIN / "opentelemetry-instrument"), sys.executable, str(FLOW)]
    done = run(command, server, sink.http_port, {})
    assert (done.returncode, done.stdout) == (0, "total 3\n")
    assert_whole(sink)


def test_both_at_once_send_everything_once(server: prefect_server.PrefectServer, sink: OtlpSink) -> None:
    command = [str(BIN / "opentelemetry-instrument"), sys.executable, str(FLOW)]
    assert run(command, server, sink.http_port, PLUGIN).returncode == 0
    assert_whole(sink)


def test_a_run_that_a_worker_starts_is_one_trace_of_its_own_id(
    server: prefect_server.PrefectServer, sink: OtlpSink
) -> None:
    run_id = deployed_run(server)
    command = [str(BIN / "prefect"), "flow-run", "execute"]
    env = {**PLUGIN, "PREFECT__FLOW_RUN_ID": run_id, "SOURCE": "crm", "OTEL_SERVICE_NAME": "flow"}
    done = run(command, server, sink.http_port, env)
    assert done.returncode == 0, done.stderr
    assert server.flow_run(run_id)["state"]["type"] == "COMPLETED"
    assert assert_whole(sink) == UUID(run_id)
    for received in [*sink.spans(), *sink.logs()]:
        assert received.resource["prefect.flow-run.id"] == run_id
        assert received.resource["source"] == "crm"
        assert received.resource["service.name"] == "flow"


def test_a_run_that_a_worker_starts_under_opentelemetry_instrument_is_one_trace(
    server: prefect_server.PrefectServer, sink: OtlpSink
) -> None:
    run_id = deployed_run(server)
    command = [str(BIN / "opentelemetry-instrument"), str(BIN / "prefect"), "flow-run", "execute"]
    done = run(command, server, sink.http_port, {"PREFECT__FLOW_RUN_ID": run_id})
    assert done.returncode == 0, done.stderr
    assert assert_whole(sink) == UUID(run_id)


def test_the_exception_of_a_failing_flow_is_the_users_own_and_is_sent(
    server: prefect_server.PrefectServer, sink: OtlpSink
) -> None:
    command = [sys.executable, str(FLOW), "--fail"]
    with_us = run(command, server, sink.http_port, PLUGIN)
    without_us = run(command, server, sink.http_port, {})
    assert with_us.returncode == without_us.returncode == 1
    assert with_us.stderr.splitlines()[-4:] == without_us.stderr.splitlines()[-4:]
    flow = flow_run_of(sink.spans())
    assert flow.record.status.code == flow.record.status.STATUS_CODE_ERROR
    (failed,) = [log for log in sink.logs() if "exception.type" in log.attributes]
    assert failed.attributes["exception.type"] == "ValueError"
    assert failed.attributes["exception.message"] == "no such table"
    assert failed.record.severity_text == "ERROR"


def test_prefects_own_record_of_the_logs_is_what_it_is_without_us(
    server: prefect_server.PrefectServer, sink: OtlpSink
) -> None:
    """`APILogHandler` reads the ids of the record, so a field of ours that is no id would break it."""
    done = run([sys.executable, str(FLOW)], server, sink.http_port, PLUGIN)
    assert "Logging error" not in done.stderr
    run_id = flow_run_of(sink.spans()).attributes["prefect.run.id"]
    kept = server.call("POST", "logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}})
    texts = Counter(log["message"] for log in kept)
    assert texts["printed by the flow"] == 1
    assert texts["extracting day 1"] == 1
    assert {log["task_run_id"] is None for log in kept} == {True, False}


def test_a_text_format_of_prefects_can_use_the_fields(
    server: prefect_server.PrefectServer, sink: OtlpSink
) -> None:
    pattern = "%(asctime)s [flow_run_id=%(flow_run_id)s] [task=%(task_run_id)s] %(message)s"
    env = {
        **PLUGIN,
        **{f"PREFECT_LOGGING_FORMATTERS_STANDARD_{kind}": pattern for kind in ("FORMAT", "FLOW_RUN_FMT")},
    }
    done = run([sys.executable, str(FLOW)], server, sink.http_port, env)
    run_id = flow_run_of(sink.spans()).attributes["prefect.run.id"]
    assert f"[flow_run_id={run_id}] [task=unknown] printed by the flow" in done.stderr
    assert f"[flow_run_id={run_id}] [task=unknown] said in a thread" in done.stderr


def test_without_a_sidecar_a_flow_ends_well_with_one_warning(server: prefect_server.PrefectServer) -> None:
    env = {**PLUGIN, "OTEL_PREFECT_FLUSH_SECONDS": "1"}
    done = run([sys.executable, str(FLOW)], server, free_port(), env)
    assert (done.returncode, done.stdout) == (0, "total 3\n")
    about_telemetry = [line for line in done.stderr.splitlines() if "telemetry" in line or "export" in line]
    assert len(about_telemetry) == 1
    assert "telemetry of this process is being dropped" in about_telemetry[0]
    assert "refused" in about_telemetry[0]


def test_with_the_sdk_disabled_nothing_is_sent(server: prefect_server.PrefectServer, sink: OtlpSink) -> None:
    done = run([sys.executable, str(FLOW)], server, sink.http_port, {**PLUGIN, "OTEL_SDK_DISABLED": "true"})
    assert (done.returncode, done.stdout) == (0, "total 3\n")
    assert sink.headers == []
