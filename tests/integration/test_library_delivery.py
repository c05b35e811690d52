"""Nothing is lost on the way to a sidecar that comes late, and nothing waits for one that never comes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.processes import environment, free_port
from tests.support import otlp_sink
from tests.support.http_server import QuietHandler, serving
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.otlp_sink import OtlpSink

PROGRAM = Path(__file__).parent.parent / "support" / "flows" / "ingest.py"
INSTRUMENT = str(Path(sys.executable).parent / "opentelemetry-instrument")


def start(port: int, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "PREFECT_FLOW_RUN_ID": RUN_ID,
        "TRACEPARENT": TRACEPARENT,
        **variables,
    }
    return subprocess.Popen(
        [INSTRUMENT, sys.executable, str(PROGRAM), *arguments],
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a process; return its stderr."""
    _, errors = process.communicate(timeout=60)
    return errors


def assert_all_arrived(sink: OtlpSink) -> None:
    program, span = sink.span("ingest").record, sink.span("load").record
    assert span.trace_id == program.trace_id == TRACE_ID.to_bytes(16, "big")
    assert program.parent_span_id == PARENT_SPAN_ID.to_bytes(8, "big")
    assert span.parent_span_id == program.span_id
    (log,) = sink.logs()
    assert log.record.body.string_value == "loaded 3 rows"
    assert log.record.span_id == span.span_id
    assert len(sink.metric_requests) == 1


def test_a_container_that_is_no_flow_is_in_the_trace_of_its_run(sink: OtlpSink) -> None:
    process = start(sink.http_port)
    errors = finish(process)
    assert process.returncode == 0
    assert errors == f"[flow_run_id={RUN_ID}] loaded 3 rows\n"
    assert_all_arrived(sink)


def test_a_process_that_sends_before_the_sidecar_is_up_loses_nothing() -> None:
    port = free_port()
    process = start(port, OTEL_PREFECT_FLUSH_SECONDS="30")
    assert process.stderr is not None
    # Its work is done, and it has nobody to send to yet.
    line = process.stderr.readline()
    assert "loaded 3 rows" in line
    for sink in otlp_sink.serve(http_port=port):
        assert finish(process) == ""
        assert process.returncode == 0
        assert_all_arrived(sink)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_batch_that_the_sidecar_asks_for_again_is_sent_again(status: int) -> None:
    answers: dict[str, list[int]] = {}

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            given = answers.setdefault(self.path, [])
            given.append(200 if given else status)
            self.send_response(given[-1])
            self.send_header("content-length", "0")
            self.end_headers()

    with serving(Handler) as port:
        errors = finish(start(port))
    assert answers == {f"/v1/{signal_name}": [status, 200] for signal_name in ("traces", "logs", "metrics")}
    assert errors == f"[flow_run_id={RUN_ID}] loaded 3 rows\n"


def test_sigterm_sends_what_there_is_and_ends_the_process_by_that_signal(sink: OtlpSink) -> None:
    process = start(sink.http_port, "--terminate")
    finish(process)
    assert process.returncode == -signal.SIGTERM
    assert_all_arrived(sink)


def test_sigterm_does_not_hang_on_a_sidecar_that_is_not_there() -> None:
    process = start(free_port(), "--terminate", OTEL_PREFECT_FLUSH_SECONDS="1")
    errors = finish(process)
    assert process.returncode == -signal.SIGTERM
    assert errors.count("telemetry of this process is being dropped") == 1


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A server that takes connections and never answers."""
    released = threading.Event()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            released.wait()

    with serving(Handler) as port:
        yield port
        released.set()


def test_an_exit_does_not_hang_on_a_sidecar_that_never_answers(silent_server: int) -> None:
    process = start(silent_server, OTEL_PREFECT_FLUSH_SECONDS="1")
    errors = finish(process)
    assert process.returncode == 0
    assert errors.count("telemetry of this process is being dropped") == 1


def test_a_receiver_that_refuses_for_good_is_named_once_and_not_asked_again() -> None:
    requests = []

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            requests.append(self.path)
            self.send_response(400)
            self.send_header("content-length", "0")
            self.end_headers()

    with serving(Handler) as port:
        # The start of a program that takes long would be a request of its own.
        errors = finish(start(port, OTEL_PREFECT_START_SPANS="false"))
    assert sorted(requests) == ["/v1/logs", "/v1/metrics", "/v1/traces"]
    assert errors.count("it answers 400") == 1
    assert "Failed to export" not in errors


def _shows_which_of(*modules: str) -> str:
    """Return a program that shows which of the modules it has imported."""
    return f"import json, sys; print(json.dumps([name for name in {modules} if name in sys.modules]))"


def test_a_process_imports_neither_prefect_nor_boto3_for_us(sink: OtlpSink) -> None:
    code = _shows_which_of("prefect", "boto3", "botocore")
    env = environment({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}"})
    shown = subprocess.run(
        [INSTRUMENT, sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout) == []


def test_importing_the_package_imports_no_sdk_either() -> None:
    code = f"import otel_prefect; {_shows_which_of('opentelemetry', 'requests')}"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == []


def test_providers_that_the_program_has_set_up_stay_and_send_once(sink: OtlpSink) -> None:
    code = """
import logging
from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

own = TracerProvider()
own.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(own)
own_logs = LoggerProvider()
own_logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
_logs.set_logger_provider(own_logs)
logging.getLogger().addHandler(LoggingHandler(logger_provider=own_logs))

from otel_prefect import configuration

assert configuration.configure("this test") is not None
assert configuration.configure("this test again") is None
assert trace.get_tracer_provider() is own
with trace.get_tracer("mine").start_as_current_span("load"):
    logging.getLogger("ingest").warning("loaded %d rows", 3)
"""
    base = f"http://127.0.0.1:{sink.http_port}"
    env = environment({"OTEL_EXPORTER_OTLP_ENDPOINT": base, "PREFECT_FLOW_RUN_ID": RUN_ID})
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)
    span = sink.span("load")
    assert span.record.trace_id == TRACE_ID.to_bytes(16, "big")
    assert span.attributes["flow_run_id"] == RUN_ID
    (log,) = [log for log in sink.logs() if log.scope == "ingest"]
    assert log.attributes["flow_run_id"] == RUN_ID


def test_what_was_logged_before_an_exec_arrives_although_exec_skips_atexit(sink: OtlpSink) -> None:
    """``prefect flow-run execute`` ends so: it pulls the flow's code, then execs another program."""
    program = (
        "import logging, os, sys; logging.warning('pulled');"
        "os.execv(sys.executable, [sys.executable, '-S', '-c', 'pass'])"
    )
    process = subprocess.Popen(
        [INSTRUMENT, sys.executable, "-c", program],
        env=environment({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}"}),
        stderr=subprocess.PIPE,
        text=True,
    )
    finish(process)
    assert process.returncode == 0
    assert [log.record.body.string_value for log in sink.logs()] == ["pulled"]
