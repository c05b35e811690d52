"""Runs a program as a span of the flow run: its output passes through and becomes log records too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import PurePath
from typing import IO, TYPE_CHECKING

from opentelemetry import _logs as logs_api
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from otel_prefect import log_export, propagation, runs, semconv
from otel_prefect.guard import never_raises
from otel_prefect.log_fields import Place
from otel_prefect.program_output import LineSplitter, parse

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
_CHUNK = 64 * 1024
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
        began = time.monotonic()
        code = _run(program, name, span)
        _conclude(span, code, time.monotonic() - began)
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
    signals.forward_to(process)
    span.set_attribute(semconv.PROCESS_PID, process.pid)
    # A place for what reads a program's own events, such as dbt's nodes, as spans of their own.
    pumps = [
        _Pump(process.stdout, 1, _LineLogs(name, "stdout", span)),
        _Pump(process.stderr, 2, _LineLogs(name, "stderr", span)),
    ]
    code = process.wait()
    ends = time.monotonic() + _SECONDS_FOR_LAST_OUTPUT
    for pump in pumps:
        pump.join(max(0.0, ends - time.monotonic()))
    signals.restore()
    return code


def _environment() -> dict[str, str]:
    told = propagation.propagation_env()
    # The program is this container's work: what the container was given stays, but for its parent,
    # which is the program's span now.
    return {**told, **os.environ, **_only(told, semconv.ENV_TRACEPARENT.name)}


def _only(variables: dict[str, str], name: str) -> dict[str, str]:
    return {name: variables[name]} if name in variables else {}


def _conclude(span: Span, code: int, seconds: float) -> None:
    span.set_attribute(semconv.PROCESS_DURATION, seconds)
    span.set_attribute(semconv.PROCESS_EXIT_CODE, code if code >= 0 else _BY_SIGNAL - code)
    if code < 0:
        name = _signal_name(-code)
        span.set_attribute(semconv.PROCESS_EXIT_SIGNAL, name)
        hint = ", which is also how it ends when its memory runs out" if name == "SIGKILL" else ""
        span.set_status(Status(StatusCode.ERROR, f"ended by {name}{hint}"))
    elif code > 0:
        span.set_status(Status(StatusCode.ERROR, f"exit code {code}"))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name of their own
        return f"signal {number}"


class _Forwarder:
    """Sends signals on to a program, also those that come before it has started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        # A terminal sends its signals to the program as well, which must not get them twice.
        from_us = [number for number in _FORWARDED if not (number in _BY_TERMINAL and os.isatty(0))]
        self._before = {number: signal.signal(number, self._received) for number in from_us}
        if os.isatty(0):
            self._before |= {number: signal.signal(number, _leave_to_program) for number in _BY_TERMINAL}

    def forward_to(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, _: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _leave_to_program(_number: int, _frame: FrameType | None) -> None:
    """Stay alive: how the program ends decides how we end. Not SIG_IGN, which it would inherit."""


class _Pump(threading.Thread):
    """Copies one stream of the program to ours, and hands its lines on."""

    def __init__(self, source: IO[bytes] | None, target: int, logs: _LineLogs) -> None:
        super().__init__(daemon=True)
        assert source is not None, "the program was started without pipes"  # noqa: S101 - an invariant of ours
        self._source = source
        self._target = target
        self._logs = logs
        self.start()

    def run(self) -> None:
        lines = LineSplitter()
        while data := self._source.read(_CHUNK):
            try:
                _write_all(self._target, data)
            except OSError:
                # Nobody reads our output any more. Closing the pipe tells the program, as it would
                # have learned without us.
                self._source.close()
                return
            for line in lines.feed(data):
                self._logs.emit(line)
        for line in lines.end():
            self._logs.emit(line)


def _write_all(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


class _LineLogs:
    """Makes a log record of each line."""

    def __init__(self, name: str, stream: str, span: Span) -> None:
        context = span.get_span_context()
        self._logger = logs_api.get_logger(name)
        self._context = trace.set_span_in_context(span)
        self._attributes = log_export.identity(Place(runs.of_process().current(), context))
        self._attributes[semconv.LOG_STREAM] = stream

    @never_raises(None)
    def emit(self, line: bytes) -> None:
        said = parse(line)
        if said is None:
            return
        severity = said.severity
        self._logger.emit(
            logs_api.LogRecord(
                timestamp=time.time_ns(),
                context=self._context,
                severity_number=severity,
                severity_text=None if severity is None else severity.name,
                body=said.body,
                attributes={**said.attributes, **self._attributes},
            )
        )
