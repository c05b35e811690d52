"""`otel-prefect run -- PROGRAM`: the program is untouched, and seen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.processes import environment
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.otlp_sink import OtlpSink

COMMAND = str(Path(sys.executable).parent / "otel-prefect")
QUIET = {f"OTEL_{signal_name}_EXPORTER": "none" for signal_name in ("TRACES", "LOGS", "METRICS")}


def variables(sink: OtlpSink) -> dict[str, str]:
    return environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}",
            "PREFECT_FLOW_RUN_ID": RUN_ID,
            "TRACEPARENT": TRACEPARENT,
            "STAGE": "dbt",
        }
    )


def run(program: list[str], env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [COMMAND, "run", "--", *program], env=env, capture_output=True, check=False, timeout=60, **options
    )


def test_a_program_is_a_span_of_the_run_and_its_lines_are_log_records(sink: OtlpSink) -> None:
    script = """echo plain; echo 'WARN: disk' >&2; echo '{"level": "error", "message": "m", "rows": 3}'"""
    done = run(["sh", "-c", script], variables(sink))
    assert done.returncode == 0
    assert done.stdout == b'plain\n{"level": "error", "message": "m", "rows": 3}\n'
    assert done.stderr == b"WARN: disk\n"
    span = sink.span("sh")
    assert span.record.trace_id == TRACE_ID.to_bytes(16, "big")
    assert span.record.parent_span_id == PARENT_SPAN_ID.to_bytes(8, "big")
    assert span.attributes["flow_run_id"] == RUN_ID
    assert span.attributes["process.exit.code"] == 0
    assert isinstance(span.attributes["process.pid"], int)
    assert isinstance(span.attributes["process.duration"], float)
    assert "process.exit.signal" not in span.attributes
    assert span.record.status.code == span.record.status.STATUS_CODE_UNSET
    assert span.resource["service.name"] == "sh"
    logs = {log.record.body.string_value: log for log in sink.logs()}
    assert set(logs) == {"plain", "WARN: disk", "m"}
    assert logs["plain"].record.severity_number == 0
    assert logs["WARN: disk"].record.severity_text == "WARN"
    assert logs["WARN: disk"].attributes["log.iostream"] == "stderr"
    assert logs["m"].attributes["rows"] == 3
    for log in logs.values():
        assert log.record.span_id == span.record.span_id
        assert log.attributes["flow_run_id"] == RUN_ID
        assert log.attributes["stage"] == "dbt"
        assert log.attributes["xray_trace_id"] == "1-3c32c202-99554b90b9365fbd34f1a6d5"


def test_the_program_finds_its_span_and_the_run_in_its_environment(sink: OtlpSink) -> None:
    done = run(["sh", "-c", "echo $TRACEPARENT $PREFECT_FLOW_RUN_ID $STAGE"], variables(sink))
    traceparent, run_id, stage = done.stdout.decode().split()
    assert traceparent.split("-")[1:3] == [f"{TRACE_ID:032x}", sink.span("sh").record.span_id.hex()]
    assert (run_id, stage) == (RUN_ID, "dbt")


def test_a_program_that_fails_is_an_error_with_its_exit_code(sink: OtlpSink) -> None:
    assert run(["sh", "-c", "exit 3"], variables(sink)).returncode == 3
    span = sink.span("sh")
    assert span.record.status.code == span.record.status.STATUS_CODE_ERROR
    assert span.record.status.message == "exit code 3"
    assert span.attributes["process.exit.code"] == 3


def test_a_program_that_a_signal_ends_is_an_error_with_the_signals_name(sink: OtlpSink) -> None:
    assert run(["sh", "-c", "kill -9 $$"], variables(sink)).returncode == 128 + signal.SIGKILL
    span = sink.span("sh")
    assert span.attributes["process.exit.signal"] == "SIGKILL"
    assert span.attributes["process.exit.code"] == 137
    assert "memory" in span.record.status.message


@pytest.mark.parametrize(("name", "code"), [("/no/such/program", 127), ("/", 126)])
def test_a_program_that_cannot_be_run_gives_what_a_shell_gives(sink: OtlpSink, name: str, code: int) -> None:
    done = run([name], variables(sink))
    assert done.returncode == code
    assert done.stderr.startswith(f"otel-prefect: {name} cannot be run: ".encode())
    assert len(sink.spans()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_sent_on_to_the_program(sink: OtlpSink, number: signal.Signals) -> None:
    trap = f"trap 'echo got it; exit 7' {number.name.removeprefix('SIG')}"
    script = f"{trap}; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [COMMAND, "run", "--", "sh", "-c", script],
        env=variables(sink),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.kill(process.pid, number)
    rest, _ = process.communicate(timeout=30)
    assert rest == b"got it\n"
    assert process.returncode == 7
    assert sink.span("sh").attributes["process.exit.code"] == 7


def test_a_signal_that_does_not_interrupt_the_wait_for_the_program_is_sent_on_too() -> None:
    # As one that comes between Python's look for signals and the system call, too short a time to hit.
    code = """
import os, signal
from otel_prefect.program.run import run

wait = os.wait4
def uninterrupted(*arguments):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    os.write(1, b"waits\\n")
    return wait(*arguments)
os.wait4 = uninterrupted
raise SystemExit(run(["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"]))
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment(QUIET), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert {process.stdout.readline() for _ in range(2)} == {b"waits\n", b"ready\n"}
        process.terminate()
        assert process.wait(30) == 7


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200_000))
def test_output_passes_through_byte_for_byte(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data").write_bytes(data)
    done = run(["sh", "-c", "tee /dev/stderr < data"], environment(QUIET), cwd=tmp_path)
    assert done.stdout == data
    assert done.stderr == data


def test_input_is_the_programs_own(sink: OtlpSink) -> None:
    assert run(["cat"], variables(sink), input=b"from outside").stdout == b"from outside"


def test_a_reader_that_goes_away_ends_the_program_as_it_would_without_us(sink: OtlpSink) -> None:
    process = subprocess.Popen(
        [COMMAND, "run", "--", "yes"], env=variables(sink), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=30) == 128 + signal.SIGPIPE


def test_what_a_program_leaves_running_behind_it_is_not_waited_for(sink: OtlpSink) -> None:
    done = run(["sh", "-c", "sleep 20 & echo $!"], variables(sink))
    left_behind = int(done.stdout)
    os.kill(left_behind, signal.SIGTERM)
    assert done.returncode == 0
    assert len(sink.spans()) == 1


def test_options_of_the_program_are_its_own() -> None:
    done = run(["sh", "-c", 'echo "$@"', "x", "--help", "--", "-v"], environment(QUIET))
    assert done.stdout == b"--help -- -v\n"


def test_without_a_program_the_command_says_how_it_is_used() -> None:
    done = subprocess.run([COMMAND, "run"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "otel-prefect: run: put the program after two dashes, as in: otel-prefect run -- dbt build\n"
    )


def test_what_a_program_used_is_on_its_span(sink: OtlpSink) -> None:
    code = "import hashlib; x = bytearray(300 << 20); hashlib.sha256(x)"
    run([sys.executable, "-c", code], variables(sink))
    (span,) = sink.spans()
    used = span.attributes
    assert isinstance(used["process.memory.peak"], int)
    assert 300 << 20 <= used["process.memory.peak"] < 500 << 20
    assert isinstance(used["process.cpu.time.user"], float)
    assert used["process.cpu.time.user"] > 0
    assert isinstance(used["process.cpu.time.system"], float)
    assert used["process.cpu.time.user"] <= used["process.duration"]
    assert "process.out_of_memory" not in used


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A cgroup with 150 MiB of memory, where this user may make one."""
    memory = Path("/sys/fs/cgroup/memory")  # version 1 has a folder of its own for it
    root, limit = (memory, "memory.limit_in_bytes") if memory.is_dir() else (memory.parent, "memory.max")
    group = root / f"otel-prefect-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(150 << 20))
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    yield group
    deadline = time.monotonic() + 10
    while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    group.rmdir()


@pytest.mark.parametrize("shell", [False, True])
def test_a_program_that_the_kernel_kills_for_its_memory_says_so(
    sink: OtlpSink, small_cgroup: Path, shell: bool
) -> None:
    hungry = [sys.executable, "-c", "x = b'x' * (1 << 30)"]
    if shell:  # its program is killed, the shell goes on
        hungry = ["sh", "-c", f'{sys.executable} -c "{hungry[2]}"; exit 1']
    inside = f'echo $$ > {small_cgroup}/cgroup.procs && exec "$@"'
    command = ["sh", "-c", inside, "sh", COMMAND, "run", "--", *hungry]
    done = subprocess.run(command, env=variables(sink), capture_output=True, check=False, timeout=60)
    assert done.returncode == (1 if shell else 137)
    (span,) = sink.spans()
    assert span.attributes["process.out_of_memory"] is True
    how = "exit code 1" if shell else "ended by SIGKILL"
    assert span.record.status.message == (
        f"{how}: out of memory, the kernel has killed it or a process that it started"
    )


def test_a_stack_trace_is_one_log_record_with_its_exception(sink: OtlpSink) -> None:
    code = "import logging\ntry: 1/0\nexcept Exception: logging.exception('load failed')\nprint('goes on')"
    done = run([sys.executable, "-c", code], variables(sink))
    logs = {log.record.body.string_value: log for log in sink.logs()}
    trace = done.stderr.decode().rstrip()
    assert set(logs) == {trace, "goes on"}
    assert trace.startswith("ERROR:root:load failed\nTraceback (most recent call last):\n")
    assert logs[trace].record.severity_text == "ERROR"
    assert logs[trace].attributes["exception.type"] == "ZeroDivisionError"
    assert logs[trace].attributes["exception.message"] == "division by zero"


def test_a_trace_that_does_not_go_on_is_not_held_back(sink: OtlpSink) -> None:
    script = "echo 'Traceback (most recent call last):'; echo '  File \"x\"'; cat"
    process = subprocess.Popen(
        [COMMAND, "run", "--", "sh", "-c", script],
        env={**variables(sink), "OTEL_BLRP_SCHEDULE_DELAY": "100"},
        stdin=subprocess.PIPE,
    )
    assert sink.wait_for(lambda sink: sink.logs())
    assert process.poll() is None
    process.communicate(timeout=30)
    (log,) = sink.logs()
    assert log.record.body.string_value == 'Traceback (most recent call last):\n  File "x"'


def test_a_flood_of_output_is_whole_and_what_has_no_log_record_is_said(sink: OtlpSink) -> None:
    line = "a line of sixty characters, as programs write them, more or less"
    done = run(["sh", "-c", f"yes '{line}' | head -c 120000000"], variables(sink))
    assert len(done.stdout) == 120_000_000
    said = re.search(rb"(\d+) lines of the program's output are missing among the log records", done.stderr)
    assert said is not None
    lines = [log for log in sink.logs() if log.record.body.string_value.startswith("a line of sixty")]
    assert abs(len(lines) + int(said[1]) - done.stdout.count(b"\n")) <= 2
