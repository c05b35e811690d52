"""How a program's process begins and ends: its span, exit code, signals, children, and what is sent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import environment, free_port
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT

if TYPE_CHECKING:
    from tests.support.otlp_sink import OtlpSink, Received

INSTRUMENT = str(Path(sys.executable).parent / "opentelemetry-instrument")
OF_RUN = {"PREFECT_FLOW_RUN_ID": RUN_ID, "TRACEPARENT": TRACEPARENT}


def start(folder: Path, port: int, code: str, *before: str, **variables: str) -> subprocess.Popen[str]:
    """Start a program of a run's container, `load.py`, before it what starts it."""
    (folder / "load.py").write_text(code)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", **OF_RUN, **variables}
    return subprocess.Popen(
        [*before, INSTRUMENT, sys.executable, str(folder / "load.py")],
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return exit code and stderr."""
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def wait_for_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{line}\n"


def plain(span: Received) -> dict[str, Any]:
    """Return a span's attributes without those that differ from run to run."""
    assert isinstance(span.attributes["process.duration"], float)
    assert isinstance(span.attributes["process.pid"], int)
    varying = {"process.duration", "process.pid"}
    return {key: value for key, value in span.attributes.items() if key not in varying}


def test_a_program_of_a_run_is_a_span_and_what_it_does_is_inside(sink: OtlpSink, tmp_path: Path) -> None:
    code = """
import logging, threading
from opentelemetry import trace
def work(name):
    with trace.get_tracer("t").start_as_current_span(name): pass
work("read")
thread = threading.Thread(target=work, args=("in a thread",))
thread.start()
thread.join()
logging.getLogger("load").warning("loaded")
"""
    assert ended(start(tmp_path, sink.http_port, code)) == (0, "loaded\n")
    span = sink.span("load")
    assert span.scope == "otel_prefect.program.run"
    assert span.record.trace_id == TRACE_ID.to_bytes(16, "big")
    assert span.record.parent_span_id == PARENT_SPAN_ID.to_bytes(8, "big")
    assert plain(span) == {"process.executable.name": "load", "process.exit.code": 0, "flow_run_id": RUN_ID}
    assert span.record.status.code == span.record.status.STATUS_CODE_UNSET
    for name in ("read", "in a thread"):
        assert sink.span(name).record.parent_span_id == span.record.span_id
    (log,) = sink.logs()
    assert log.record.span_id == span.record.span_id


def test_with_the_id_alone_a_program_is_the_root_of_the_runs_trace(sink: OtlpSink, tmp_path: Path) -> None:
    assert ended(start(tmp_path, sink.http_port, "", TRACEPARENT=""))[0] == 0
    span = sink.span("load")
    assert (span.record.trace_id, span.record.parent_span_id) == (TRACE_ID.to_bytes(16, "big"), b"")


def test_a_program_is_seen_while_it_runs(sink: OtlpSink, tmp_path: Path) -> None:
    process = start(tmp_path, sink.http_port, "import time; time.sleep(60)")
    assert sink.wait_for(lambda _: sink.started())
    (begun,) = sink.started()
    assert (begun.record.name, begun.record.end_time_unix_nano) == ("load", 0)
    os.killpg(process.pid, signal.SIGKILL)
    ended(process)


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ("import sys; sys.exit(3)", 3, "exit code 3"),
        ("import sys; sys.exit('no such table')", 1, "exit code 1"),
        ("import sys; sys.exit()", 0, ""),
        ("import sys\ntry: sys.exit(3)\nexcept SystemExit: pass", 0, ""),
        ("raise ValueError('no such table')", 1, "ValueError: no such table"),
    ],
)
def test_the_span_has_the_exit_code(
    sink: OtlpSink, tmp_path: Path, code: str, exit_code: int, message: str
) -> None:
    assert ended(start(tmp_path, sink.http_port, code))[0] == exit_code
    span = sink.span("load")
    assert span.attributes["process.exit.code"] == exit_code
    assert (span.record.status.message, span.record.status.code) == (message, 2 if exit_code else 0)


def test_an_exit_whose_code_cannot_be_told_is_no_success(sink: OtlpSink, tmp_path: Path) -> None:
    assert ended(start(tmp_path, sink.http_port, "raise SystemExit(4)"))[0] == 4
    assert "process.exit.code" not in sink.span("load").attributes


@pytest.mark.parametrize(
    "variables",
    [{"PREFECT_FLOW_RUN_ID": "", "TRACEPARENT": ""}, {"OTEL_PREFECT_PROCESS_SPAN": "false"}],
)
def test_there_is_no_span_outside_of_a_run_or_where_it_is_turned_off(
    sink: OtlpSink, tmp_path: Path, variables: dict[str, str]
) -> None:
    assert ended(start(tmp_path, sink.http_port, "", **variables)) == (0, "")
    assert sink.spans() == []


def test_a_program_that_otel_prefect_runs_has_that_span_alone(sink: OtlpSink, tmp_path: Path) -> None:
    command = [str(Path(INSTRUMENT).with_name("otel-prefect")), "run", "--"]
    assert ended(start(tmp_path, sink.http_port, "", *command)) == (0, "")
    (span,) = sink.spans()
    assert span.record.name == "opentelemetry-instrument"


def test_an_uncaught_exception_is_the_spans_too(sink: OtlpSink, tmp_path: Path) -> None:
    assert ended(start(tmp_path, sink.http_port, "raise ValueError('no such table')"))[0] == 1
    (event,) = sink.span("load").record.events
    attributes = {attribute.key: attribute.value.string_value for attribute in event.attributes}
    assert attributes["exception.type"] == "ValueError"


LIVES = """
import logging, sys, time
from opentelemetry import trace
with trace.get_tracer("t").start_as_current_span("before"): pass
print("ready", flush=True)
while not sys.stdin.closed: time.sleep(0.05)
"""


@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_as_ever_and_its_span_with_it(
    sink: OtlpSink, tmp_path: Path, number: signal.Signals, whole_group: bool
) -> None:
    process = start(tmp_path, sink.http_port, LIVES)
    wait_for_line(process, "ready")
    (os.killpg if whole_group else os.kill)(process.pid, number)
    assert ended(process)[0] == -number
    assert sink.span("before").record.parent_span_id == sink.span("load").record.span_id
    span = sink.span("load")
    assert span.attributes["process.exit.signal"] == number.name
    assert span.attributes["process.exit.code"] == 128 + number
    assert span.record.status.message == f"ended by {number.name}"


def test_the_first_process_of_a_container_lives_on_after_sigterm_and_so_does_its_telemetry(
    sink: OtlpSink, tmp_path: Path
) -> None:
    """The kernel keeps SIGTERM from a first process without a handler, so without us it would live on too."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--pid", "--fork", "true"], check=False).returncode:
        pytest.skip("unshare may make no PID namespace here")
    code = """
import os, sys, time
from opentelemetry import trace
tracer = trace.get_tracer("t")
assert os.getpid() == 1
with tracer.start_as_current_span("before"): pass
print("ready", flush=True)
while not os.path.exists(sys.argv[0] + ".go"): time.sleep(0.05)
with tracer.start_as_current_span("after"): pass
"""
    inside = [unshare, "--pid", "--fork", "--mount-proc", "--kill-child"]
    # Batches of their own accord come late: what arrives before is what the signal has sent.
    process = start(tmp_path, sink.http_port, code, *inside, OTEL_BSP_SCHEDULE_DELAY="60000")
    wait_for_line(process, "ready")
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    assert sink.wait_for(lambda _: any(span.record.name == "before" for span in sink.spans()))
    assert process.poll() is None
    (tmp_path / "load.py.go").touch()
    assert ended(process) == (0, "")
    assert {span.record.name for span in sink.spans()} == {"before", "after", "load"}
    assert sink.span("load").attributes["process.exit.code"] == 0


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_send_what_they_have_and_are_in_the_programs_span(
    sink: OtlpSink, tmp_path: Path, method: str
) -> None:
    code = f"""
import logging, multiprocessing
from concurrent.futures import ProcessPoolExecutor
from opentelemetry import trace
def work(name):
    with trace.get_tracer("t").start_as_current_span(name):
        logging.getLogger("load").warning(name)
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    child = context.Process(target=work, args=("in a process",))
    child.start()
    child.join()
    assert child.exitcode == 0
    with ProcessPoolExecutor(1, context) as pool:
        pool.submit(work, "in a pool").result()
"""
    assert ended(start(tmp_path, sink.http_port, code))[0] == 0
    names = sorted(span.record.name for span in sink.spans())
    assert names == ["in a pool", "in a process", "load"]
    assert sorted(log.record.body.string_value for log in sink.logs()) == ["in a pool", "in a process"]
    for span in sink.spans():
        assert span.record.trace_id == TRACE_ID.to_bytes(16, "big")
    if method == "fork":
        for name in ("in a pool", "in a process"):
            assert sink.span(name).record.parent_span_id == sink.span("load").record.span_id


def test_a_process_that_leaves_by_os_exit_loses_a_seconds_spans_at_most(
    sink: OtlpSink, tmp_path: Path
) -> None:
    code = """
import os, time
from opentelemetry import trace
with trace.get_tracer("t").start_as_current_span("before"): pass
print("ready", flush=True)
input_ = open(os.environ["GO"]).read()
os._exit(5)
"""
    pipe = tmp_path / "go"
    os.mkfifo(pipe)
    process = start(tmp_path, sink.http_port, code, GO=str(pipe))
    wait_for_line(process, "ready")
    assert sink.wait_for(lambda _: sink.spans())
    pipe.write_text("")
    assert ended(process) == (5, "")
    assert [span.record.name for span in sink.spans()] == ["before"]


def test_without_a_sidecar_a_program_runs_as_ever_with_one_warning(tmp_path: Path) -> None:
    code = """
import logging
from opentelemetry import trace
for _ in range(20_000):
    with trace.get_tracer("t").start_as_current_span("s"): pass
logging.getLogger("load").warning("loaded")
print("done", flush=True)
"""
    process = start(tmp_path, free_port(), code, OTEL_PREFECT_FLUSH_SECONDS="1")
    wait_for_line(process, "done")
    began = time.monotonic()
    code_, errors = ended(process)
    assert code_ == 0
    assert time.monotonic() - began < 30  # not what is measured here: it does not wait for the sidecar
    about = [line for line in errors.splitlines() if line != "loaded"]
    assert len(about) == 1, errors
    assert "telemetry of this process is being dropped" in about[0]
