"""Instrumentations of other libraries load by themselves, and show the pipeline's work, not Prefect's."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import prefect_server
from demo.processes import Processes, environment
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.otlp_sink import OtlpSink

FLOW = Path(__file__).parent.parent / "support" / "flows" / "other_libraries.py"
INSTRUMENT = str(Path(sys.executable).parent / "opentelemetry-instrument")
PLUGIN = {"PREFECT_PLUGINS_ENABLED": "1"}
ALL = {
    ("opentelemetry.instrumentation.requests", "GET"): 1,
    ("opentelemetry.instrumentation.httpx", "GET"): 1,
    ("opentelemetry.instrumentation.sqlite3", "SELECT"): 1,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prefect_server.PrefectServer]:
    folder = tmp_path_factory.mktemp("prefect")
    with Processes(folder / "logs") as processes:
        yield prefect_server.start(processes, folder / "home")


@pytest.fixture
def source() -> Iterator[str]:
    """The URL of a web server that the flow asks."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"


def run(sink: OtlpSink, source: str, env: dict[str, str], *before: str) -> Counter[tuple[str, str]]:
    """Run the flow; return what was seen beside the runs themselves, by scope and name."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}",
        "SOURCE_URL": source,
        **env,
    }
    done = subprocess.run(
        [*before, sys.executable, str(FLOW)],
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert "instrumentation" not in done.stderr
    trace_ids = {span.record.trace_id for span in sink.spans()}
    assert len(trace_ids) == 1
    of_runs: Any = [span for span in sink.spans() if "prefect.run.id" in span.attributes]
    assert len(of_runs) == 2
    return Counter((span.scope, span.record.name) for span in sink.spans() if span not in of_runs)


def test_with_the_plugin_alone_they_load_and_prefects_own_traffic_is_kept_out(
    server: prefect_server.PrefectServer, sink: OtlpSink, source: str
) -> None:
    assert run(sink, source, {**server.variables(), **PLUGIN}) == ALL


def test_under_opentelemetry_instrument_they_load_once(
    server: prefect_server.PrefectServer, sink: OtlpSink, source: str
) -> None:
    assert run(sink, source, {**server.variables(), **PLUGIN}, INSTRUMENT) == ALL


@pytest.mark.parametrize(("disabled", "left"), [("requests, sqlite3", "httpx"), ("*", "")])
def test_those_that_the_user_disables_are_not_loaded(
    server: prefect_server.PrefectServer, sink: OtlpSink, source: str, disabled: str, left: str
) -> None:
    env = {**server.variables(), **PLUGIN, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled}
    found = run(sink, source, env)
    assert found == {key: count for key, count in ALL.items() if key[0].endswith(left) and left}


def test_a_server_that_the_flow_starts_for_itself_is_kept_out(
    sink: OtlpSink, source: str, tmp_path: Path
) -> None:
    env = {
        **PLUGIN,
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        # On a slow machine its 20 s do not do.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path}/prefect.db",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    assert run(sink, source, env) == ALL
