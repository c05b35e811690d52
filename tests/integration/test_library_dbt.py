"""`otel-prefect run -- dbt …` with the real dbt on DuckDB: its nodes are spans, its tests are metrics."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import environment
from tests.support import otlp_sink
from tests.support.otlp_sink import OtlpSink, Received, attributes
from tests.support.process_state import RUN_ID, TRACE_ID, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
PROJECT = {
    "dbt_project.yml": """
name: shop
version: "1.0"
config-version: 2
profile: shop
flags: {send_anonymous_usage_stats: false, use_colors: false}
models: {shop: {+tags: [nightly]}}
""",
    "profiles.yml": """
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: shop.duckdb, threads: 2}
""",
    "seeds/raw_orders.csv": "id,amount\n1,10\n2,\n",
    "models/orders.sql": "select id, amount from {{ ref('raw_orders') }}",
    "models/good.sql": "{{ config(materialized='table') }} select * from {{ ref('orders') }}",
    "models/broken.sql": "{{ config(materialized='table') }} select nosuch from {{ ref('orders') }}",
    "models/after_broken.sql": "select * from {{ ref('broken') }}",
    "models/models.yml": """
version: 2
models:
  - name: orders
    columns:
      - name: id
        data_tests: [unique]
      - name: amount
        data_tests:
          - not_null: {config: {severity: warn}}
  - name: good
    columns:
      - name: amount
        data_tests:
          - accepted_values: {arguments: {values: [11]}}
""",
    "snapshots/snapshots.yml": """
snapshots:
  - name: orders_snap
    relation: ref('raw_orders')
    config: {unique_key: id, strategy: check, check_cols: all}
""",
}
NODES = {
    "seed raw_orders": "success",
    "model orders": "success",
    "model good": "success",
    "model broken": "error",
    "model after_broken": "skipped",
    "snapshot orders_snap": "success",
    "test unique_orders_id": "pass",
    "test not_null_orders_amount": "warn",
    "test accepted_values_good_amount__11": "fail",
}


@dataclass(frozen=True)
class Done:
    """A run of dbt that has ended."""

    exit_code: int
    sink: OtlpSink

    @property
    def nodes(self) -> dict[str, Received]:
        found = [span for span in self.sink.spans() if span.scope == "otel_prefect.program.dbt"]
        assert len({span.record.name for span in found}) == len(found)
        return {span.record.name: span for span in found}

    def counts(self, name: str) -> dict[tuple[Any, ...], int]:
        """The values of a metric by its attributes' values."""
        points = [
            point
            for request in self.sink.metric_requests
            for of_resource in request.resource_metrics
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
            if metric.name == name
            for point in metric.sum.data_points
        ]
        return {tuple(attributes(point.attributes).values()): point.as_int for point in points}


def project(folder: Path) -> Path:
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def command(*arguments: str) -> list[str]:
    return [str(BIN / "otel-prefect"), "run", "--", str(BIN / "dbt"), *arguments]


def variables(sink: OtlpSink, folder: Path) -> dict[str, str]:
    return environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}",
            "PREFECT_FLOW_RUN_ID": RUN_ID,
            "TRACEPARENT": TRACEPARENT,
            "DBT_PROFILES_DIR": str(folder),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
    )


def build(folder: Path, sink: OtlpSink, program: list[str]) -> Done:
    done = subprocess.run(
        program, cwd=folder, env=variables(sink, folder), capture_output=True, timeout=120, check=False
    )
    return Done(done.returncode, sink)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """`dbt build --log-format json`, at the level that dbt has by default."""
    for sink in otlp_sink.serve():
        folder = project(tmp_path_factory.mktemp("dbt"))
        yield build(folder, sink, command("build", "--log-format", "json"))


def statuses(done: Done) -> dict[str, Any]:
    return {name: span.attributes["dbt.status"] for name, span in done.nodes.items()}


def test_every_node_is_a_span_of_the_program_with_its_status(built: Done) -> None:
    assert built.exit_code == 1
    assert statuses(built) == NODES
    program = built.sink.span("dbt")
    for span in built.nodes.values():
        assert span.record.parent_span_id == program.record.span_id
        assert span.record.trace_id == TRACE_ID.to_bytes(16, "big")
        assert span.attributes["flow_run_id"] == RUN_ID
        assert span.attributes["dbt.thread"].startswith("Thread-")
        assert span.attributes["dbt.invocation_id"]


def test_a_failed_node_is_an_error_with_its_message_and_others_are_not(built: Done) -> None:
    failed = {
        name: span.record.status.message
        for name, span in built.nodes.items()
        if span.record.status.code == span.record.status.STATUS_CODE_ERROR
    }
    assert set(failed) == {"model broken", "test accepted_values_good_amount__11"}
    assert "nosuch" in failed["model broken"]
    assert failed["test accepted_values_good_amount__11"] == "Got 1 result, configured to fail if != 0"


def test_a_node_has_dbts_own_times(built: Done) -> None:
    program = built.sink.span("dbt").record
    for name, span in built.nodes.items():
        record = span.record
        assert program.start_time_unix_nano < record.start_time_unix_nano, name
        assert record.start_time_unix_nano <= record.end_time_unix_nano < program.end_time_unix_nano, name
    good = built.nodes["model good"]
    phases = good.attributes["dbt.compile.duration"] + good.attributes["dbt.execute.duration"]
    assert 0 < phases <= (good.record.end_time_unix_nano - good.record.start_time_unix_nano) / 1e9
    seed, model = built.nodes["seed raw_orders"].record, built.nodes["model orders"].record
    assert seed.end_time_unix_nano <= model.start_time_unix_nano


def test_a_node_says_what_it_is_and_what_it_wrote(built: Done) -> None:
    seed = built.nodes["seed raw_orders"].attributes
    assert (seed["dbt.rows_affected"], seed["dbt.message"]) == (2, "INSERT 2")
    good = built.nodes["model good"].attributes
    assert good["dbt.node.id"] == "model.shop.good"
    assert good["dbt.node.type"] == "model"
    assert good["dbt.node.materialized"] == "table"
    assert good["dbt.node.path"] == "models/good.sql"
    assert good["dbt.node.relation"] == '"shop"."main"."good"'
    assert good["dbt.node.tags"] == ["nightly"]
    test = built.nodes["test not_null_orders_amount"].attributes
    assert (test["dbt.test.node"], test["dbt.test.column"]) == ("model.shop.orders", "amount")
    assert test["dbt.failures"] == 1
    assert "dbt.failures" not in good


def test_a_node_is_linked_to_those_that_it_reads(built: Done) -> None:
    (link,) = built.nodes["model good"].record.links
    assert link.span_id == built.nodes["model orders"].record.span_id


def test_log_records_of_a_node_are_in_its_span(built: Done) -> None:
    of_node = [
        log for log in built.sink.logs() if "sql table model main.good" in log.record.body.string_value
    ]
    assert len(of_node) == 2
    assert {log.record.span_id for log in of_node} == {built.nodes["model good"].record.span_id}
    assert {log.attributes["dbt.node.id"] for log in of_node} == {"model.shop.good"}
    bodies = [log.record.body.string_value for log in built.sink.logs()]
    assert len([body for body in bodies if body.startswith("Done. PASS=5 WARN=1 ERROR=2 SKIP=1")]) == 1


def test_tests_are_counted_by_status(built: Done) -> None:
    assert built.counts("dbt.tests") == {("pass",): 1, ("warn",): 1, ("fail",): 1}
    assert built.counts("dbt.nodes")["model", "success"] == 2
    assert built.counts("dbt.nodes")["model", "error"] == 1
    assert sum(built.counts("dbt.nodes").values()) == len(NODES)


def test_with_text_output_all_comes_from_the_artifacts(tmp_path: Path, sink: OtlpSink) -> None:
    done = build(project(tmp_path), sink, command("build", "--target-path", "elsewhere"))
    assert statuses(done) == NODES
    assert done.nodes["seed raw_orders"].attributes["dbt.rows_affected"] == 2
    assert "nosuch" in done.nodes["model broken"].record.status.message


def test_at_debug_level_nodes_end_one_by_one_and_no_file_is_needed(tmp_path: Path, sink: OtlpSink) -> None:
    folder = project(tmp_path)
    script = "dbt build --log-format json --log-level debug --no-write-json; exit 0"
    done = build(folder, sink, [*command()[:3], "sh", "-c", script])
    assert statuses(done) == NODES
    assert done.nodes["seed raw_orders"].attributes["dbt.rows_affected"] == 2
    assert "nosuch" in done.nodes["model broken"].record.status.message


def test_each_dbt_of_a_script_has_its_own_spans(tmp_path: Path, sink: OtlpSink) -> None:
    folder = project(tmp_path)
    (folder / "models" / "broken.sql").unlink()
    (folder / "models" / "after_broken.sql").unlink()
    script = "dbt --log-format json seed && dbt --log-format json run"
    done = build(folder, sink, [*command()[:3], "sh", "-c", script])
    assert done.exit_code == 0
    assert statuses(done) == {
        "seed raw_orders": "success",
        "model orders": "success",
        "model good": "success",
    }
    assert done.nodes["seed raw_orders"].attributes["dbt.rows_affected"] == 2
    ids = {span.attributes["dbt.invocation_id"] for span in done.nodes.values()}
    assert len(ids) == 2


def test_an_earlier_runs_files_are_not_this_runs(tmp_path: Path, sink: OtlpSink) -> None:
    folder = project(tmp_path)
    quiet = environment({"DBT_PROFILES_DIR": str(folder)})
    subprocess.run([str(BIN / "dbt"), "-q", "seed"], cwd=folder, env=quiet, check=True, timeout=60)
    assert (folder / "target" / "run_results.json").exists()
    time.sleep(0.1)  # the file's time has to be told from the program's start
    done = build(folder, sink, command("--version"))
    assert done.exit_code == 0
    assert done.nodes == {}


def test_a_node_that_dbt_did_not_come_to_the_end_of_has_failed(tmp_path: Path, sink: OtlpSink) -> None:
    folder = project(tmp_path)
    shutil.rmtree(folder / "snapshots")
    slow = (
        "{{ config(materialized='table') }} select sum(a.i * b.i) from range(200000) a(i), range(200000) b(i)"
    )
    (folder / "models" / "slow.sql").write_text(slow)
    process = subprocess.Popen(
        command("run", "--log-format", "json", "--select", "slow"),
        cwd=folder,
        env=variables(sink, folder),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    seen = next(line for line in process.stdout if b"LogStartLine" in line)
    pid = int(seen.split(b'"pid": ')[1].split(b",")[0])
    os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    span = Done(process.returncode, sink).nodes["model slow"]
    assert process.returncode == 128 + signal.SIGKILL
    assert span.record.status.message == "dbt ended before this node did"
