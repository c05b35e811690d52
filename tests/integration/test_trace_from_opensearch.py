"""The trace view and the log of a run, from a real OpenSearch with documents as the layers write them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import opensearch as node_of
from demo.processes import Processes, environment
from otel_prefect import semconv
from otel_prefect.commands import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN_ID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE_ID = RUN_ID.replace("-", "")
FLOW, PROGRAM = "00f067aa0ba902b7", "10f067aa0ba902b7"


def span(span_id: str, service: str, name: str, first: int, last: int, **more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE_ID,
        "spanId": span_id,
        "name": name,
        "startTime": f"2026-11-25T14:24:{first:02}.5Z",
        "endTime": f"2026-11-25T14:24:{last:02}.5Z",
        "@timestamp": f"2026-11-25T14:24:{first:02}.5Z",
        "resource": {"service.name": service, "service.instance.id": service},
        "status": {"code": "Error", "message": ""},
        "attributes": {},
        **more,
    }


def spans() -> Iterator[dict[str, Any]]:
    yield span(FLOW, "flow-task", "flow daily-sales", 10, 50)
    said = {
        "exception.type": "EOFError",
        "exception.message": "the file ended early",
        "exception.stacktrace": "",
    }
    event = {"name": "exception", "@timestamp": "2026-11-25T14:24:40Z", "attributes": said}
    yield span(PROGRAM, "ingest-task", "ingest", 20, 40, parentSpanId=FLOW, events=[event])
    yield {**span("20f067aa0ba902b7", "other", "other", 20, 40), "traceId": "f" * 32}


def lines() -> Iterator[dict[str, Any]]:
    # More than a page, and many with one time: none may be lost between pages, or come twice.
    for number in range(6_000):
        yield {
            "timestamp": f"2026-11-25T14:24:{20 + number // 1_000}Z",
            "@timestamp": f"2026-11-25T14:24:{20 + number // 1_000}Z",
            "level": "INFO",
            "service": "ingest-task",
            "flow_run_id": RUN_ID,
            "trace_id": TRACE_ID,
            "message": f"row {number}",
        }


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[node_of.OpenSearch]:
    folder = tmp_path_factory.mktemp("opensearch")
    with Processes(folder) as processes:
        started = node_of.start(processes, folder)
        command = [str(Path(sys.executable).with_name("otel-prefect")), "opensearch", "setup"]
        variables = environment({semconv.ENV_OPENSEARCH_ENDPOINT.name: started.url})
        subprocess.run(command, env=variables, check=True, timeout=120, capture_output=True)
        put(started, "otel-prefect-spans-2026.11.25", spans())
        put(started, "otel-prefect-logs-2026.11.25", lines())
        yield started


def put(node: node_of.OpenSearch, index: str, documents: Iterator[dict[str, Any]]) -> None:
    from opensearchpy import OpenSearch, helpers  # noqa: PLC0415 - slow to import

    client = OpenSearch([node.url])
    actions = ({"_index": index, "_source": each} for each in documents)
    assert helpers.bulk(client, actions, refresh=True)[1] == []


@pytest.fixture
def run(
    node: node_of.OpenSearch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a command on the run: exit code, stdout, stderr."""
    monkeypatch.setenv(semconv.ENV_OPENSEARCH_ENDPOINT.name, node.url)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def run_it(command: str, *arguments: str, run_id: str = RUN_ID) -> tuple[int, str, str]:
        code = cli.main([command, run_id, "--from", "opensearch", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_it


def test_the_trace_and_what_failed_are_shown(run: Callable[..., Any]) -> None:
    code, out, err = run("trace")
    assert (code, err) == (0, "")
    assert "ingest-task ▸ ingest  EOFError: the file ended early" in out
    assert "row 5999" in out
    assert "flow-task flow daily-sales" in out
    assert "other" not in out


def test_all_lines_are_there_once_in_the_order_of_time(run: Callable[..., Any]) -> None:
    code, out, _ = run("logs", "--json")
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert sorted(each["message"] for each in found) == sorted(f"row {n}" for n in range(6_000))
    times = [each["timestamp"] for each in found]
    assert times == sorted(times)


def test_a_run_that_is_not_there_is_said(run: Callable[..., Any]) -> None:
    other = "11111111-9955-4b90-b936-5fbd34f1a6d5"
    code, _, err = run("trace", run_id=other)
    assert code == 1
    assert err == (
        f"otel-prefect: OpenSearch has no spans of trace {other.replace('-', '')} in otel-prefect-spans-*\n"
    )
    assert run("logs", run_id=other)[2] == "otel-prefect: OpenSearch has no lines of this run\n"


def test_a_domain_that_is_not_set_or_not_there_is_said(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(semconv.ENV_OPENSEARCH_ENDPOINT.name, "http://127.0.0.1:9")
    assert "OpenSearch, otel-prefect-spans-*: " in run("trace")[2]
    monkeypatch.delenv(semconv.ENV_OPENSEARCH_ENDPOINT.name)
    assert f"{semconv.ENV_OPENSEARCH_ENDPOINT.name} is ''" in run("trace")[2]
