"""What the opensearch layers write after `otel-prefect opensearch setup`, searched in a real OpenSearch."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import opensearch as node_of
from demo.processes import Processes, environment, free_port
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.support import otlp
from tests.support.collector import RunningCollector, running, variables

if TYPE_CHECKING:
    from collections.abc import Iterator

OTEL_PREFECT = str(Path(sys.executable).with_name("otel-prefect"))
LOGS, SPANS = "otel-prefect-logs-*", "otel-prefect-spans-*"
DAY = 86_400 * 10**9


def setup(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [OTEL_PREFECT, "opensearch", "setup"],
        env=environment({semconv.ENV_OPENSEARCH_ENDPOINT.name: url}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[node_of.OpenSearch, RunningCollector]]:
    """OpenSearch as the command sets it up, run twice, and the Collector that writes to it."""
    folder = tmp_path_factory.mktemp("opensearch")
    with Processes(folder) as processes:
        node = node_of.start(processes, folder)
        for _ in range(2):
            done = setup(node.url)
            assert done.returncode == 0, done.stderr
        settings = {
            **variables(folder),
            semconv.ENV_OTLP_ENDPOINT.name: f"127.0.0.1:{free_port()}",
            semconv.ENV_OPENSEARCH_ENDPOINT.name: node.url,
        }
        program = collector.find(distribution=collector.OPENSEARCH)
        with running(processes, program, settings, collector.OPENSEARCH) as started:
            yield node, started


class Run:
    """A flow run of a test's own."""

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.trace_id = self.id.replace("-", "")
        self.resource = {
            "service.name": "ingestion",
            semconv.FLOW_RUN_ID: self.id,
            semconv.FLOW_NAME: "daily-sales",
            semconv.SOURCE: "shop",
        }


@pytest.fixture
def run() -> Run:
    return Run()


def search(node: node_of.OpenSearch, index: str, field: str, value: str) -> list[dict[str, Any]]:
    """Return the hits whose field is exactly this; the Collector has acknowledged, so they are there."""
    node.call("POST", f"{index}/_refresh")
    hits: list[dict[str, Any]] = node.call(
        "POST", f"{index}/_search", {"size": 100, "query": {"term": {field: value}}}
    )["hits"]["hits"]
    return hits


def test_setup_says_what_it_installed_and_what_the_domain_cannot() -> None:
    """Against the module's node it has run twice already; here only what a wrong endpoint gives."""
    done = setup("")
    assert done.returncode == 1
    assert done.stderr.startswith("otel-prefect: OTEL_PREFECT_OPENSEARCH_ENDPOINT is ''; the URL of")


def test_setup_can_be_run_again_and_names_what_is_missing(
    domain: tuple[node_of.OpenSearch, RunningCollector],
) -> None:
    done = setup(domain[0].url)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "ingest pipeline otel-prefect-logs: installed",
        "index template otel-prefect-logs: installed",
        "ingest pipeline otel-prefect-spans: installed",
        "index template otel-prefect-spans: installed",
        "retention policy otel-prefect (30 days): the index state management plugin is not installed; "
        "delete old indices yourself",
    ]


def test_an_endpoint_that_does_not_answer_is_one_line_and_exit_code_1() -> None:
    done = setup(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "OpenSearch cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_record_is_found_by_its_flow_run_id_with_the_names_of_cloudwatch(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    node, started = domain
    span_id = secrets.token_hex(8)
    record = otlp.record(
        "loaded 3 rows",
        trace_id=run.trace_id,
        span_id=span_id,
        attributes={semconv.TASK_RUN_ID: "t-1", "code.line.number": 7},
    )
    started.send(otlp.logs(run.resource, record, logger="shop.load"))
    (hit,) = search(node, LOGS, "flow_run_id", run.id)
    document = hit["_source"]
    times = {document.pop(name) for name in ("@timestamp", "timestamp", "observed_timestamp")}
    assert len(times) == 1
    day = time.strftime("%Y.%m.%d", time.gmtime(record["timeUnixNano"] / 10**9))
    assert hit["_index"] == f"otel-prefect-logs-{day}"
    assert document == {
        "message": "loaded 3 rows",
        "level": "INFO",
        "severity_number": 9,
        "logger": "shop.load",
        "service": "ingestion",
        "flow_run_id": run.id,
        "flow_name": "daily-sales",
        "source": "shop",
        "task_run_id": "t-1",
        "trace_id": run.trace_id,
        "span_id": span_id,
        "xray_trace_id": f"1-{run.trace_id[:8]}-{run.trace_id[8:]}",
        "attributes": {"code.line.number": 7},
        "resource": run.resource,
    }


def test_a_span_is_found_by_its_flow_run_id_with_its_time_and_its_failure(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    node, started = domain
    span_id = secrets.token_hex(8)
    exception = {"exception.type": "KeyError", "exception.message": "no such id"}
    event = {"name": "exception", "timeUnixNano": time.time_ns(), "attributes": otlp.key_values(exception)}
    span = otlp.span("load", run.trace_id, span_id, "", status={"code": 2}, events=[event])
    started.send(otlp.traces(run.resource, span))
    (hit,) = search(node, SPANS, "flow_run_id", run.id)
    document = hit["_source"]
    assert hit["_id"] == f"{run.trace_id}-{span_id}"
    assert document["@timestamp"] == document["startTime"]
    assert document["duration_ms"] == 250.0
    assert document["service"] == "ingestion"
    assert document["status"]["code"] == "Error"
    assert document["exception"] == {"type": "KeyError", "message": "no such id"}
    for field, value in (
        ("trace_id", run.trace_id),
        ("span_id", span_id),
        ("xray_trace_id", f"1-{run.trace_id[:8]}-{run.trace_id[8:]}"),
    ):
        assert [each["_id"] for each in search(node, SPANS, field, value)] == [hit["_id"]], field


def test_what_is_sent_twice_is_there_once(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    node, started = domain
    attributes = {"b": 1, "a": {"y": 2, "x": 1}}
    log = otlp.logs(run.resource, otlp.record("once", attributes=attributes))
    span = otlp.traces(run.resource, otlp.span("once", run.trace_id, secrets.token_hex(8)))
    for request in (log, span, log, span):
        started.send(request)
    assert len(search(node, LOGS, "flow_run_id", run.id)) == 1
    assert len(search(node, SPANS, "flow_run_id", run.id)) == 1


def test_equal_lines_seen_at_different_times_are_different_documents(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    node, started = domain
    record = otlp.record("again")
    later = {**record, "observedTimeUnixNano": record["observedTimeUnixNano"] + 1}
    started.send(otlp.logs(run.resource, record, later))
    assert len(search(node, LOGS, "flow_run_id", run.id)) == 2


def test_equal_lines_of_different_processes_are_different_documents(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    node, started = domain
    record = otlp.record("same")
    for instance in ("one", "two"):
        started.send(otlp.logs({**run.resource, "service.instance.id": instance}, record))
    assert len(search(node, LOGS, "flow_run_id", run.id)) == 2


def test_odd_attributes_are_taken_found_and_make_no_new_fields(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    """A name that is also a prefix, other types for the same name, much text, a thousand names."""
    node, started = domain
    odd: list[dict[str, Any]] = [
        {"a": 1, "a.b": "both"},
        {"a": {"b": [1, 2]}},
        {"a": "x" * 50_000},
        {f"name-{number}": number for number in range(1000)},
    ]
    started.send(otlp.logs(run.resource, *(otlp.record("odd", attributes=each) for each in odd)))
    spans = [otlp.span("odd", run.trace_id, secrets.token_hex(8), attributes=each) for each in odd]
    started.send(otlp.traces(run.resource, *spans))
    for index in (LOGS, SPANS):
        found = search(node, index, "flow_run_id", run.id)
        assert len(found) == len(odd), index
        assert not [each for each in found if "pipeline_error" in each["_source"]]
        mappings = node.call("GET", f"{index}/_mapping").values()
        assert all(len(each["mappings"]["properties"]) < 40 for each in mappings)
    assert len(search(node, LOGS, "attributes.name-999", "999")) == 1


def test_a_long_exception_is_kept_whole(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    node, started = domain
    trace = "line of a stack\n" * 5_000
    record = otlp.record("failed", attributes={"exception.type": "E", "exception.stacktrace": trace})
    started.send(otlp.logs(run.resource, record))
    (hit,) = search(node, LOGS, "flow_run_id", run.id)
    assert hit["_source"]["exception"]["stacktrace"] == trace


@pytest.mark.parametrize("off", [-900 * DAY, 30 * DAY], ids=["years ago", "a month ahead"])
def test_a_clock_that_is_far_off_opens_no_index_of_its_own(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run, off: int
) -> None:
    node, started = domain
    started.send(otlp.logs(run.resource, otlp.record("when?", timeUnixNano=time.time_ns() + off)))
    (hit,) = search(node, LOGS, "flow_run_id", run.id)
    assert hit["_index"] == "otel-prefect-logs-undated"


def test_what_the_pipeline_cannot_read_is_kept_and_says_why(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    node, _ = domain
    node.call("POST", "otel-prefect-spans/_doc", {"flow_run_id": run.id, "startTime": "yesterday"})
    (hit,) = search(node, SPANS, "flow_run_id", run.id)
    assert hit["_index"] == "otel-prefect-spans-undated"
    assert hit["_source"]["pipeline_error"]


def test_spans_in_progress_do_not_get_there(
    domain: tuple[node_of.OpenSearch, RunningCollector], run: Run
) -> None:
    node, started = domain
    for name, attributes in (("open", {semconv.XRAY_IN_PROGRESS: True}), ("done", {})):
        span = otlp.span(name, run.trace_id, secrets.token_hex(8), attributes=attributes)
        started.send(otlp.traces(run.resource, span))
    assert [each["_source"]["name"] for each in search(node, SPANS, "flow_run_id", run.id)] == ["done"]
