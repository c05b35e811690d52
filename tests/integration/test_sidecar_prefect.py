"""A real sidecar between a real flow and a real Prefect server that is guarded: names, final states."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo import prefect_server
from demo.processes import Processes, environment
from otel_prefect import semconv
from tests.support import sidecar
from tests.support.otlp_sink import attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.prefect_server import PrefectServer
    from tests.support.otlp_sink import OtlpSink
    from tests.support.sidecar import RunningSidecar

FLOW = Path(__file__).parent.parent / "support" / "flows" / "daily_sales.py"
LOGIN = "admin:s3cret-pass"
GUARDED = {"PREFECT_SERVER_API_AUTH_STRING": LOGIN, "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server with basic auth and CSRF protection."""
    folder = tmp_path_factory.mktemp("prefect")
    with Processes(folder / "logs") as processes:
        yield prefect_server.start(processes, folder / "home", GUARDED)


def forwarding(server: PrefectServer, sink: OtlpSink) -> dict[str, str]:
    return {
        "OTEL_PREFECT_TRACES": "otlp",
        "OTEL_PREFECT_LOGS": "otlp",
        "OTEL_PREFECT_METRICS": "otlp",
        "OTEL_PREFECT_OTLP_ENDPOINT": f"127.0.0.1:{sink.grpc_port}",
        "PREFECT_API_URL": server.url,
        "PREFECT_API_AUTH_STRING": LOGIN,
    }


def run_flow(server: PrefectServer, running: RunningSidecar, *arguments: str) -> int:
    """Run the flow in a process of its own that sends to the sidecar."""
    variables = {
        **server.variables(),
        "PREFECT_API_AUTH_STRING": LOGIN,
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
        "PREFECT_PLUGINS_ENABLED": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{running.http_port}",
    }
    command = [sys.executable, str(FLOW), *arguments]
    return subprocess.run(command, env=environment(variables), check=False, timeout=120).returncode


def final_states(sink: OtlpSink) -> Counter[tuple[str, str]]:
    """Return how often each flow was counted with each state."""
    counted: Counter[tuple[str, str]] = Counter()
    for request in sink.metric_requests:
        for of_resource in request.resource_metrics:
            flow = attributes(of_resource.resource.attributes).get(semconv.FLOW_NAME, "?")
            for metric in of_resource.scope_metrics[0].metrics:
                if metric.name == semconv.METRIC_FINISHED_RUNS.name:
                    for point in metric.sum.data_points:
                        counted[str(flow), str(attributes(point.attributes)["state"])] += point.as_int
    return counted


def test_a_runs_spans_leave_with_its_names_and_each_run_is_counted_once(
    server: PrefectServer, sink: OtlpSink, tmp_path: Path
) -> None:
    with sidecar.running(tmp_path, **forwarding(server, sink)) as running:
        assert run_flow(server, running) == 0
        running.stop()
        log = running.stderr.read_text()
    spans = [span for span in sink.spans() + sink.started() if semconv.PREFECT_RUN_ID in span.attributes]
    flow_names = {
        span.attributes[semconv.PREFECT_RUN_ID]: span.resource.get(semconv.FLOW_NAME)
        for span in spans
        if span.attributes[semconv.PREFECT_RUN_TYPE] == "flow"
    }
    assert sorted(map(str, flow_names.values())) == ["daily-sales", "totals"]
    assert all(span.resource[semconv.FLOW_RUN_NAME] for span in spans)
    (sub,) = {run for run, name in flow_names.items() if name == "totals"}
    (top,) = {run for run, name in flow_names.items() if name == "daily-sales"}
    of_sub = next(span for span in sink.spans() if span.attributes.get(semconv.PREFECT_RUN_ID) == sub)
    assert of_sub.resource[semconv.FLOW_RUN_ID] == sub
    assert of_sub.resource[semconv.FLOW_RUN_PARENT_ID] == top
    assert of_sub.resource[semconv.FLOW_RUN_ROOT_ID] == top
    assert final_states(sink) == {("daily-sales", "completed"): 1, ("totals", "completed"): 1}
    assert "s3cret" not in log


def test_a_run_that_fails_is_counted_as_failed(server: PrefectServer, sink: OtlpSink, tmp_path: Path) -> None:
    with sidecar.running(tmp_path, **forwarding(server, sink)) as running:
        assert run_flow(server, running, "--fail") == 1
        assert sink.wait_for(lambda _: len(final_states(sink)) == 2)
        running.stop()
    assert final_states(sink) == {("daily-sales", "failed"): 1, ("totals", "completed"): 1}
