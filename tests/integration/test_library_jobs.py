"""A job that asks for telemetry itself, started as Glue starts one: with arguments alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import otel_prefect
from demo.processes import environment
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT, told

if TYPE_CHECKING:
    from tests.support.otlp_sink import OtlpSink

JOB = "import logging, sys, otel_prefect\nwith otel_prefect.job() as span:\n    "


def run(folder: Path, sink: OtlpSink, work: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as Glue does: no variable of ours, all arguments on the command line."""
    script = folder / "transform.py"
    script.write_text(JOB + work)
    arguments = {
        "JOB_NAME": "daily-transform",
        "JOB_RUN_ID": "jr_1",
        "PREFECT_FLOW_RUN_ID": RUN_ID,
        "TRACEPARENT": TRACEPARENT,
        "SOURCE": "crm",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}",
        "OTEL_RESOURCE_ATTRIBUTES": "said.by=argument",
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    return subprocess.run(
        [sys.executable, str(script), *words],
        env=environment({"PYTHONPATH": str(Path(__file__).resolve().parents[2]), **variables}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_job_is_a_span_of_the_run_with_arguments_alone(tmp_path: Path, sink: OtlpSink) -> None:
    done = run(tmp_path, sink, "logging.getLogger('load').warning('3 rows'); span.set_attribute('rows', 3)")
    assert done.returncode == 0, done.stderr
    span = sink.span("job daily-transform")
    assert span.record.trace_id == TRACE_ID.to_bytes(16, "big")
    assert span.record.parent_span_id == PARENT_SPAN_ID.to_bytes(8, "big")
    assert span.attributes["flow_run_id"] == RUN_ID
    assert span.attributes["aws.glue.job.run_id"] == "jr_1"
    assert span.attributes["rows"] == 3
    assert span.resource["service.name"] == "daily-transform"
    assert span.resource["said.by"] == "argument"
    assert span.record.status.code == span.record.status.STATUS_CODE_UNSET
    (log,) = sink.logs()
    assert log.record.body.string_value == "3 rows"
    assert log.record.span_id == span.record.span_id
    assert log.attributes["source"] == "crm"


def test_an_exception_of_a_job_is_its_spans_and_passes(tmp_path: Path, sink: OtlpSink) -> None:
    done = run(tmp_path, sink, "raise KeyError('no table')")
    assert done.returncode == 1
    assert done.stderr.endswith("KeyError: 'no table'\n")
    span = sink.span("job daily-transform")
    assert span.record.status.code == span.record.status.STATUS_CODE_ERROR
    (event,) = span.record.events
    assert event.name == "exception"


@pytest.mark.parametrize(("code", "failed"), [("0", False), ("None", False), ("3", True), ("'gone'", True)])
def test_an_exit_of_a_job_passes_and_is_a_failure_if_it_says_so(
    tmp_path: Path, sink: OtlpSink, code: str, failed: bool
) -> None:
    done = run(tmp_path, sink, f"sys.exit({code})")
    assert (done.returncode != 0) is failed
    status = sink.span("job daily-transform").record.status
    assert (status.code == status.STATUS_CODE_ERROR) is failed
    assert sink.span("job daily-transform").record.events == []


def test_a_variable_of_the_environment_wins_over_an_argument(tmp_path: Path, sink: OtlpSink) -> None:
    run(tmp_path, sink, "pass", OTEL_RESOURCE_ATTRIBUTES="said.by=environment")
    assert sink.span("job daily-transform").resource["said.by"] == "environment"


def test_executors_of_spark_are_told_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, {"PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm"})
    assert otel_prefect.spark_conf(stage="transform") == {
        f"spark.{where}.{name}": value
        for where in ("executorEnv", "yarn.appMasterEnv")
        for name, value in {
            "PREFECT_FLOW_RUN_ID": RUN_ID,
            "LOG_CORRELATION_ID": RUN_ID,
            "SOURCE": "crm",
            "STAGE": "transform",
        }.items()
    }
