"""The artifact with a run's links, made by flows as users run them, at a real Prefect server."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from demo import prefect_server
from demo.processes import Processes
from otel_prefect.prefect import links_artifact
from tests.support import prefect_flows
from tests.support.http_server import QuietHandler, serving
from tests.support.prefect_flows import Spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.prefect_server import PrefectServer
    from tests.support.otlp_sink import OtlpSink

REGION = {"AWS_REGION": "eu-west-1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    folder = tmp_path_factory.mktemp("prefect")
    with Processes(folder / "logs") as processes:
        yield prefect_server.start(processes, folder / "home")


def artifacts(server: PrefectServer, sink: OtlpSink, flow: str, **env: str) -> tuple[Spans, list[Any]]:
    """Run a flow; return its spans, and the artifacts of the runs of its trace."""
    done = prefect_flows.run(server, sink, "situations.py", flow, **env)
    assert done.returncode == 0, done.stderr
    assert "not affected" not in done.stderr
    spans = Spans(sink)
    ids = {span.attributes.get("flow_run_id") for span in spans.all} - {None}
    found = server.call("POST", "artifacts/filter", {"flow_runs": {"id": {"any_": sorted(ids)}}})
    # Prefect keeps results of runs as artifacts of its own.
    return spans, [each for each in found if each["type"] == "markdown"]


def test_a_flow_run_has_the_links_on_its_page(server: PrefectServer, sink: OtlpSink) -> None:
    more = {
        "OTEL_PREFECT_LOG_GROUP": "/ours",
        "OTEL_PREFECT_GRAFANA_URL": "https://grafana.example.com",
        "OTEL_PREFECT_OPENSEARCH_DASHBOARDS_URL": "https://search.example.com/_dashboards",
    }
    spans, (found,) = artifacts(server, sink, "in_threads", **REGION, **more)
    run_id = found["flow_run_id"]
    digits = run_id.replace("-", "")
    assert (found["key"], found["type"]) == (None, "markdown")
    assert f"#xray:traces/1-{digits[:8]}-{digits[8:]})" in found["data"]
    assert "source~%28~'*2fours%29" in found["data"]
    assert "](https://search.example.com/_dashboards/app/data-explorer/discover#?" in found["data"]
    assert "](https://grafana.example.com/d/otel-prefect-flow?from=" in found["data"]
    assert f"`otel-prefect trace {run_id}`" in found["data"]
    # The request itself is no part of the run.
    assert [span for span in spans.all if not span.record.parent_span_id] == [spans.one("flow in-threads")]


@pytest.mark.parametrize("flow", ["retried", "outer"])
def test_a_run_has_one_however_often_it_is_tried_and_whatever_flows_it_calls(
    server: PrefectServer, sink: OtlpSink, flow: str
) -> None:
    spans, found = artifacts(server, sink, flow, **REGION)
    (root,) = [span for span in spans.all if not span.record.parent_span_id]
    assert [each["flow_run_id"] for each in found] == [root.attributes["flow_run_id"]]


@pytest.mark.parametrize("env", [{**REGION, "OTEL_PREFECT_LINKS": "false"}, {}])
def test_there_is_none_where_it_is_turned_off_or_nobody_says_the_region(
    server: PrefectServer, sink: OtlpSink, env: dict[str, str]
) -> None:
    assert artifacts(server, sink, "in_threads", **env)[1] == []


def test_nothing_waits_for_prefect_to_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            asked.set()
            may_answer.wait(30)
            self.send_response(500)
            self.end_headers()

    with serving(Handler) as port:
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        links_artifact.send_soon(SimpleNamespace(id=uuid4(), run_count=0), 1)
        # It has come back, and the server has not answered.
        assert asked.wait(30)
        may_answer.set()
        for thread in threading.enumerate():
            if thread.name == "otel-prefect-links":
                thread.join(30)


def test_a_server_that_cannot_be_asked_is_said_at_debug_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "otel_prefect")
    for url in ("", "nonsense", "http://127.0.0.1:1/api"):
        links_artifact._send({"PREFECT_API_URL": url}, {})
    assert [record.levelname for record in caplog.records] == ["DEBUG"] * 3
