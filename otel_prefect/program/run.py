"""Runs a program as a span of the flow run: its output passes through and becomes log records too."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import PurePath
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from otel_prefect import environment, propagation, semconv
from otel_prefect.guard import never_raises
from otel_prefect.program import usage as program_usage
from otel_prefect.program.dbt import DbtRun
from otel_prefect.program.pump import Output
from otel_prefect.spans import error_type

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from opentelemetry.trace import Span

# What a supervisor sends on; a program decides itself what they mean to it.
_FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_BY_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
# What a program leaves running behind it may hold its output open; that is not waited for longer.
_SECONDS_FOR_LAST_OUTPUT = 2.0
# As a shell answers: https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html
_NOT_EXECUTABLE, _NOT_FOUND, _BY_SIGNAL = 126, 127, 128


def run(program: Sequence[str]) -> int:
    """Run a program to its end, as a span of the current run.

    Its standard streams are this process's: input is inherited, output is copied byte for byte as it
    comes. It finds ``TRACEPARENT`` of its span and the run's variables in its environment. Signals to
    this process are sent on to it. Its arguments, which may hold secrets, are not recorded.

    Args:
        program: the program and its arguments; found on ``PATH``, no shell.

    Returns:
        Its exit code; 128 and the signal's number where a signal ended it; 127 where there is no such
        program, 126 where it cannot be executed (with a line on stderr).
    """
    name = PurePath(program[0]).name
    tracer = trace.get_tracer(semconv.PROGRAM_SCOPE)
    with tracer.start_as_current_span(name, attributes={semconv.PROCESS_EXECUTABLE_NAME: name}) as span:
        kills = program_usage.out_of_memory_kills()
        code = _run(program, name, span)
        _conclude(span, code, out_of_memory=program_usage.out_of_memory_kills() > kills)
    return code if code >= 0 else _BY_SIGNAL - code


def _run(program: Sequence[str], name: str, span: Span) -> int:
    """Return the exit code as ``Popen`` gives it: minus the signal's number where a signal ended it."""
    signals = _Forwarder()
    try:
        process = subprocess.Popen(
            list(program), env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
    except OSError as error:
        signals.restore()
        sys.stderr.write(f"otel-prefect: {program[0]} cannot be run: {error.strerror}\n")
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
    began = time.monotonic()
    signals.forward_to(process)
    span.set_attribute(semconv.PROCESS_PID, process.pid)
    dbt = _dbt_run(program, span)
    output = Output(name, span, dbt, {1: process.stdout, 2: process.stderr})
    # Not `process.wait`: it does not tell what was used.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    span.set_attribute(semconv.PROCESS_DURATION, time.monotonic() - began)
    span.set_attributes(program_usage.attributes(usage))
    output.finish(_SECONDS_FOR_LAST_OUTPUT, environment.seconds(semconv.ENV_FLUSH_SECONDS))
    if dbt is not None:
        dbt.finish()
    signals.restore()
    return process.returncode


@never_raises(None)
def _dbt_run(program: Sequence[str], span: Span) -> DbtRun | None:
    return DbtRun(program, span)


def _environment() -> dict[str, str]:
    told = propagation.propagation_env()
    # The program is this container's work: what the container was given stays, but for its parent,
    # which is the program's span now. That span is enough where the program loads us too.
    seen = {semconv.ENV_PROCESS_SPAN.name: "false"}
    return {**seen, **told, **os.environ, **_only(told, semconv.ENV_TRACEPARENT.name)}


def _only(variables: dict[str, str], name: str) -> dict[str, str]:
    return {name: variables[name]} if name in variables else {}


def _conclude(span: Span, code: int, *, out_of_memory: bool) -> None:
    exit_code = code if code >= 0 else _BY_SIGNAL - code
    span.set_attribute(semconv.PROCESS_EXIT_CODE, exit_code)
    if out_of_memory:
        span.set_attribute(semconv.PROCESS_OUT_OF_MEMORY, True)
    if code < 0:
        span.set_attribute(semconv.PROCESS_EXIT_SIGNAL, _signal_name(-code))
    if code != 0:
        how = f"ended by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        kind = _signal_name(-code) if code < 0 else error_type.of_exit(code)
        span.set_attribute(semconv.ERROR_TYPE, "out of memory" if out_of_memory else kind)
        span.set_status(Status(StatusCode.ERROR, f"{how}{_hint(exit_code, out_of_memory=out_of_memory)}"))


def _hint(exit_code: int, *, out_of_memory: bool) -> str:
    if out_of_memory:
        return ": out of memory, the kernel has killed it or a process that it started"
    # A shell passes on that its own program was killed, as we do.
    if exit_code == _BY_SIGNAL + signal.SIGKILL:
        return ", which is also how it ends when its memory runs out"
    return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name of their own
        return f"signal {number}"


class _Forwarder:
    """Sends signals on to a program, also those that come before it has started.

    Python runs a handler in the main thread alone, which waits for the program: a signal that comes just
    before that wait begins would be handled when it has ended. So a thread reads the byte that the
    interpreter writes as soon as there is a signal:
    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd.
    """

    def __init__(self) -> None:
        received, self._wakeup = os.pipe()
        self._received = open(received, "rb", buffering=0)  # noqa: SIM115 - until no more signals are sent on
        os.set_blocking(self._wakeup, False)
        self._wakeup_before = signal.set_wakeup_fd(self._wakeup)
        self._before = {number: signal.signal(number, _stay_alive) for number in _FORWARDED}
        # A terminal sends its signals to the program as well, which must not get them twice.
        self._from_us = frozenset(_FORWARDED) - frozenset(_BY_TERMINAL if os.isatty(0) else ())

    def forward_to(self, process: subprocess.Popen[bytes]) -> None:
        threading.Thread(
            target=self._forward, args=(process,), name="otel-prefect-signals", daemon=True
        ).start()

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._wakeup)

    def _forward(self, process: subprocess.Popen[bytes]) -> None:
        with self._received:
            while numbers := self._received.read(64):
                for number in numbers:
                    if number in self._from_us:
                        self._send(process, number)

    @staticmethod
    def _send(process: subprocess.Popen[bytes], number: int) -> None:
        # Not `process.send_signal`: it looks whether the program has ended, and would take its exit status
        # from who waits for it.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)


def _stay_alive(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: how the program ends decides how we end. Not SIG_IGN, which it would inherit."""
