"""One run of the example pipeline, seen through X-Ray, CloudWatch Logs and OpenSearch as a user sees it.

What is asserted was read back from these by the demo: the documents lie beside its summary.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from demo import prometheus
from tests.support import segment_documents

NO_DIMENSIONS = {"flow_run_id", "flow_run_name", "xray_trace_id"}
ROOT = Path(__file__).resolve().parents[2]
MARK = "DEMO_TEST_MARK"
SERVICES = {"daily-sales-flow", "daily-sales-ingest", "daily-sales-transform", "daily-sales-dbt"}
SOURCES = {"shop", "payments", "crm"}
TASKS = {"extract": 1, "ingest": 3, "transform": 1, "build_marts": 1, "check": 1}


@dataclass(frozen=True)
class Demo:
    """A demo that has ended."""

    exit_code: int
    output: str
    folder: Path

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return found

    def read_back(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.folder / "readback" / f"{name}.json").read_text())
        return found


@dataclass(frozen=True)
class Span:
    """A segment or subsegment, with the process it is part of."""

    id: str
    parent_id: str | None
    name: str
    process: str
    is_process: bool
    document: dict[str, Any]


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "demo", "--output", str(folder)]


def marked() -> tuple[str, dict[str, str]]:
    """An environment that every process of one demo can be known by."""
    mark = uuid4().hex
    return mark, {**os.environ, MARK: mark}


def processes_with(mark: str) -> dict[int, str]:
    """All processes of this machine that carry the mark: pid → command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end, and its folder vanish, at any moment.
        with contextlib.suppress(FileNotFoundError, PermissionError, ProcessLookupError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    mark, environ = marked()
    done = subprocess.run(
        command(folder), cwd=ROOT, env=environ, capture_output=True, text=True, timeout=900, check=False
    )
    assert processes_with(mark) == {}, "the demo left processes behind"
    return Demo(done.returncode, done.stdout + done.stderr, folder)


@pytest.fixture(scope="module")
def spans(demo: Demo) -> dict[str, Span]:
    """Every span that BatchGetTraces returned, by its id.

    X-Ray itself replaces a segment in progress by the one that ends it; moto keeps both.
    """
    in_progress_first = sorted(demo.read_back("x-ray"), key=lambda document: not document.get("in_progress"))
    documents = {document["id"]: document for document in in_progress_first}
    parents: dict[str, str | None] = {}
    flat: dict[str, dict[str, Any]] = {}

    def walk(document: dict[str, Any], parent_id: str | None) -> None:
        parents[document["id"]] = document.get("parent_id") or parent_id
        flat[document["id"]] = document
        for child in document.get("subsegments", []):
            walk(child, document["id"])

    for document in documents.values():
        walk(document, None)

    def is_process(id_: str) -> bool:
        return id_ in documents and documents[id_].get("type") != "subsegment"

    def process(id_: str) -> str:
        parent_id = parents[id_]
        if is_process(id_) or parent_id is None:
            return str(flat[id_]["name"])
        return process(parent_id)

    return {
        id_: Span(id_, parents[id_], document["name"], process(id_), is_process(id_), document)
        for id_, document in flat.items()
    }


def task_of(span: Span) -> str | None:
    """The task that a span of the flow's process is a run of; None for the flow's own span."""
    found = re.match(rf"(?:task )?({'|'.join(TASKS)})\b", span.name)
    return found[1] if found else None


def test_the_demo_ends_well_and_has_lost_nothing(demo: Demo) -> None:
    assert demo.exit_code == 0, demo.output
    assert demo.summary()["lost"] == 0, demo.summary()["missing"]
    assert demo.summary()["duplicates"] == 0
    assert demo.summary()["missing"] == {}
    assert demo.summary()["state"] == "COMPLETED"


def text_of(page: Path) -> str:
    """What a page says, its elements between bars."""
    shown = re.sub(r"<style.*?</style>", "", page.read_text(), flags=re.DOTALL)
    return re.sub(r"[|\s]*\|[|\s]*", "|", re.sub(r"<[^>]+>", "|", shown))


def test_it_ends_with_a_page_of_the_dashboards_with_the_runs_own_numbers(demo: Demo) -> None:
    page = demo.folder / "dashboard.html"
    assert demo.output.rstrip().endswith(f"the run on the dashboards: {page.as_uri()}")
    text = text_of(page)
    assert "|Success rate|100 %|Runs that failed|0|" in text
    said = " ".join(str(record["message"]) for record in demo.read_back("cloudwatch"))
    for source in SOURCES:
        loaded = re.search(rf"{source}: (\d+) rows loaded", said)
        assert loaded is not None
        assert f"|raw.{source}|{int(loaded[1]):,}|" in text


def test_a_run_makes_no_more_metrics_in_cloudwatch_than_the_docs_say(demo: Demo) -> None:
    promised = re.search(r"makes under (\d+) of them", (ROOT / "docs" / "metrics.md").read_text())
    assert promised is not None
    data = demo.folder / "prometheus" / "data"
    dump = [str(prometheus.fetch() / "promtool"), "tsdb", "dump", str(data)]
    told = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    made = set()
    for line in told.splitlines():
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line.partition("}")[0]))
        name = labels.pop("__name__")
        # A histogram is one metric in CloudWatch; ids of runs are no dimensions there.
        if name.startswith(("prefect_", "pipeline_", "dbt_")) and not name.endswith(("_bucket", "_count")):
            made.add((name, *sorted(each for each in labels.items() if each[0] not in NO_DIMENSIONS)))
    assert 40 < len(made) < int(promised[1])


def test_the_trace_id_is_the_flow_run_id(demo: Demo, spans: dict[str, Span]) -> None:
    flow_run_id = UUID(demo.summary()["flow_run_id"])
    assert demo.summary()["trace_id"] == f"1-{flow_run_id.hex[:8]}-{flow_run_id.hex[8:]}"
    trace_ids = {document["trace_id"] for document in demo.read_back("x-ray")}
    assert trace_ids == {demo.summary()["trace_id"]}
    assert {span["traceId"] for span in demo.read_back("opensearch-spans")} == {flow_run_id.hex}
    assert len(spans) == sum(demo.summary()["spans"].values())


def test_every_process_of_the_run_is_in_the_trace(demo: Demo, spans: dict[str, Span]) -> None:
    processes = Counter(span.name for span in spans.values() if span.is_process)
    assert processes == {
        "daily-sales-flow": 1,
        "daily-sales-ingest": 3,
        "daily-sales-transform": 2,  # the program, and in it the segment that its code makes
        "daily-sales-dbt": 1,
    }
    assert set(demo.summary()["spans"]) == SERVICES


def test_only_the_flow_has_no_parent_and_no_parent_is_missing(spans: dict[str, Span]) -> None:
    roots = [span for span in spans.values() if span.parent_id is None]
    assert [span.name for span in roots] == ["daily-sales-flow"]
    assert {span.parent_id for span in spans.values()} - {None} <= set(spans)


def test_every_task_run_is_a_span_under_the_flow(spans: dict[str, Span]) -> None:
    (flow,) = (span for span in spans.values() if span.parent_id is None)
    children = [span for span in spans.values() if span.parent_id == flow.id]
    assert Counter(task_of(span) for span in children) == TASKS


def test_each_container_and_job_hangs_under_the_task_that_started_it(spans: dict[str, Span]) -> None:
    started = [
        span
        for span in spans.values()
        if span.parent_id is not None and spans[span.parent_id].process != span.process
    ]
    assert all(span.is_process for span in started)
    by_task = Counter((span.name, task_of(spans[str(span.parent_id)])) for span in started)
    assert by_task == {
        ("daily-sales-ingest", "ingest"): 3,
        ("daily-sales-transform", "transform"): 1,
        ("daily-sales-dbt", "build_marts"): 1,
    }
    assert len({span.parent_id for span in started}) == 5, "each under a task run of its own"


def test_each_ingestion_is_found_by_its_source(spans: dict[str, Span]) -> None:
    sources = [
        span.document["annotations"]["source"]
        for span in spans.values()
        if span.is_process and span.name == "daily-sales-ingest"
    ]
    assert sorted(sources) == sorted(SOURCES)


def test_a_program_is_a_span_of_its_own_with_its_exit_code(spans: dict[str, Span]) -> None:
    programs = [
        span
        for span in spans.values()
        if span.is_process
        and span.name in {"daily-sales-ingest", "daily-sales-transform"}
        and "process.exit.code" in span.document.get("metadata", {}).get("default", {})
    ]
    codes = Counter(
        (span.name, span.document["metadata"]["default"]["process.exit.code"]) for span in programs
    )
    assert codes == {("daily-sales-ingest", 0): 3, ("daily-sales-transform", 0): 1}


def test_code_that_still_uses_the_xray_sdk_is_inside_the_trace(spans: dict[str, Span]) -> None:
    names = Counter(span.name for span in spans.values() if span.process == "daily-sales-transform")
    for step in ("read raw", "deduplicate", "match payments", "write curated"):
        assert names[step] == 1, names
    by_id = {span.id: span.name for span in spans.values()}
    calls = Counter(by_id[str(span.parent_id)] for span in spans.values() if span.name.lower() == "s3")
    assert calls["read raw"] == 3
    assert calls["write curated"] == 3


def test_every_model_and_test_of_dbt_is_a_span_under_its_container(spans: dict[str, Span]) -> None:
    (dbt,) = (span for span in spans.values() if span.is_process and span.name == "daily-sales-dbt")
    nodes = [span for span in spans.values() if span.process == "daily-sales-dbt" and not span.is_process]
    assert {span.parent_id for span in nodes} == {dbt.id}
    assert Counter(span.name.partition(" ")[0] for span in nodes) == {"model": 5, "test": 12}
    by_name = {span.name: span.document["metadata"]["default"] for span in nodes}
    assert by_name["model daily_sales"]["dbt.status"] == "success"
    warned = by_name["test not_null_stg_orders_customer_id"]
    assert (warned["dbt.status"], warned["dbt.failures"]) == ("warn", 24)
    assert warned["dbt.test.node"] == "model.daily_sales.stg_orders"


def test_every_segment_carries_the_flow_run_id_as_an_annotation(demo: Demo, spans: dict[str, Span]) -> None:
    flow_run_id = demo.summary()["flow_run_id"]
    without = [
        span.name
        for span in spans.values()
        if span.document.get("annotations", {}).get("flow_run_id") != flow_run_id
    ]
    assert without == []


def test_every_document_is_by_the_rules_of_x_ray(demo: Demo) -> None:
    assert segment_documents.problems(demo.read_back("x-ray")) == []


def test_the_log_of_a_run_is_found_from_each_of_its_segments(spans: dict[str, Span]) -> None:
    groups = [
        span.document["aws"].get("cloudwatch_logs")
        for span in spans.values()
        if span.is_process and span.document["aws"].get("xray", {}).get("sdk", "").startswith("opentelemetry")
    ]
    assert len(groups) == 6
    assert all(group == [{"log_group": "/otel-prefect"}] for group in groups)


def test_calls_of_s3_are_calls_of_aws(spans: dict[str, Span]) -> None:
    calls = [span.document for span in spans.values() if span.name.lower() == "s3"]
    assert len(calls) == 6
    assert {call.get("namespace") for call in calls} == {"aws"}


def test_every_span_has_ended_after_it_began_and_none_is_at_fault(spans: dict[str, Span]) -> None:
    for span in spans.values():
        assert isinstance(span.document["start_time"], float), span
        assert span.document["end_time"] >= span.document["start_time"], span
        assert not span.document.get("in_progress"), span
        assert not span.document.get("fault"), span


def test_every_task_and_container_was_in_progress_in_xray_before_it_ended(
    demo: Demo, spans: dict[str, Span]
) -> None:
    started = {document["id"] for document in demo.read_back("x-ray") if document.get("in_progress")}
    names = Counter(task_of(spans[id_]) or spans[id_].name for id_ in started)
    for long in ("daily-sales-flow", "ingest", "transform", "build_marts", "daily-sales-dbt"):
        assert names[long] == {"ingest": 3}.get(long, 1), names


def test_xray_and_opensearch_hold_the_same_spans(demo: Demo, spans: dict[str, Span]) -> None:
    documents = demo.read_back("opensearch-spans")
    assert sorted(span["spanId"] for span in documents) == sorted(spans)


@pytest.mark.parametrize("destination", ["cloudwatch", "opensearch"])
def test_log_lines_of_every_process_are_found_by_the_flow_run_id(demo: Demo, destination: str) -> None:
    records = demo.read_back(destination)
    assert {record["service"] for record in records} == SERVICES
    assert {record["flow_run_id"] for record in records} == {demo.summary()["flow_run_id"]}
    assert {record["xray_trace_id"] for record in records} == {demo.summary()["trace_id"]}
    counts = Counter(record["service"] for record in records)
    assert counts == demo.summary()["logs"][destination]


@pytest.mark.parametrize("destination", ["cloudwatch", "opensearch"])
@pytest.mark.parametrize(
    ("service", "level", "text"),
    [
        ("daily-sales-flow", "INFO", "shop: export landing/shop/2026-03-01.jsonl.gz has"),
        ("daily-sales-flow", "WARN", "141 orders of 2026-03-01 are not paid yet"),
        ("daily-sales-ingest", "INFO", "shop: 5440 rows loaded, 4 rejected"),
        ("daily-sales-ingest", "WARN", "shop: rejected O26030103293: amount 'n/a'"),
        ("daily-sales-transform", "WARN", "48 payments arrived after 2026-03-01"),
        ("daily-sales-dbt", "INFO", "Done. PASS=16 WARN=1 ERROR=0 SKIP=0 NO-OP=0 TOTAL=17"),
        ("daily-sales-dbt", "WARN", "Got 24 results, configured to warn if != 0"),
    ],
)
def test_a_line_is_there_once_with_its_level(
    demo: Demo, destination: str, service: str, level: str, text: str
) -> None:
    found = [
        record
        for record in demo.read_back(destination)
        if text in record["message"] and record["service"] == service
    ]
    assert [record["level"] for record in found] == [level]


def test_log_lines_of_tasks_name_their_task_run(demo: Demo) -> None:
    (line,) = (
        record
        for record in demo.read_back("cloudwatch")
        if record["message"].startswith("shop: export landing/shop")
    )
    assert UUID(line["task_run_id"])
    assert re.fullmatch("[0-9a-f]{16}", line["span_id"])


def test_the_terminal_shows_ids_processes_counts_and_the_balance(demo: Demo) -> None:
    assert demo.summary()["flow_run_id"] in demo.output
    assert demo.summary()["trace_id"] in demo.output
    for service in SERVICES:
        assert service in demo.output
    assert re.search(r"^lost: 0 ", demo.output, re.MULTILINE)


def test_the_flows_code_says_nothing_about_tracing() -> None:
    for name in ("flow/flow.py", "ingest/ingest.py", "dbt/plugins/sales_bucket.py"):
        text = (ROOT / "examples" / "pipeline" / name).read_text()
        text = text.replace("from otel_prefect import metrics\n", "")  # numbers that only it knows
        found = re.findall(r"otel|trac(?:e|ing)|\bspan|x-?ray|flow_run_id", text, re.IGNORECASE)
        assert found == [], name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_behind(number: signal.Signals, tmp_path: Path) -> None:
    mark, environ = marked()
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        running = subprocess.Popen(
            command(tmp_path / "demo"), cwd=ROOT, env=environ, stdout=file, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + 300
    flow_log = "demo/logs/daily-sales-flow-*.log"
    while not list(tmp_path.glob(flow_log)) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(processes_with(mark)) > 5, output.read_text()
    running.send_signal(number)
    assert running.wait(60) == 128 + number, output.read_text()
    assert processes_with(mark) == {}
    assert "interrupted; everything that was started is stopped" in output.read_text()


def test_a_folder_with_something_elses_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = subprocess.run(
        command(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "thesis.txt, which is not a demo's" in done.stdout
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_collector_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    environ = {**os.environ, "OTELCOL_BIN": "/nonexistent/otelcol"}
    done = subprocess.run(
        command(tmp_path), cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "failed: OTELCOL_BIN: /nonexistent/otelcol is not a program that can be run" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
