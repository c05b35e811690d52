"""The span of a program that has none of its own: from its set-up to its end, with its exit code.

A container whose program is ``opentelemetry-instrument python load.py`` is then seen in the trace of its run
while it runs, with how it ended, also where its code makes no spans. What the code does make is inside.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from otel_prefect import audit, environment, process_kind, semconv
from otel_prefect.guard import never_raises
from otel_prefect.spans import error_type

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.trace import Span
    from opentelemetry.util.types import Attributes

    from otel_prefect.runs import Runs

# As a shell answers: https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html
_BY_SIGNAL = 128


@never_raises(None)
def start(process: Runs) -> ProcessSpan | None:
    """Start the span of this process, and have it stand between what started the process and what it does.

    Args:
        process: the runs of this process.

    Returns:
        None where there is nothing to show: outside of any run; in Prefect's own processes, whose runs have
        spans, and in ``otel-prefect``; for code without a name (``python -c``, which is also how
        ``multiprocessing`` starts its own); where ``OTEL_PREFECT_PROCESS_SPAN`` is false.
    """
    name = process_kind.program()
    if (
        process.environment.trace_id is None
        or name in ("", "otel-prefect")
        or process_kind.is_prefects_own()
        or not environment.flag(semconv.ENV_PROCESS_SPAN)
    ):
        return None
    attributes: Attributes = {semconv.PROCESS_EXECUTABLE_NAME: name, semconv.PROCESS_PID: os.getpid()}
    span = trace.get_tracer(semconv.PROGRAM_SCOPE).start_span(name, attributes=attributes)
    process.started(span.get_span_context())
    return ProcessSpan(span)


class ProcessSpan:
    """Ends the span once, with what is known of how the process ends."""

    def __init__(self, span: Span) -> None:
        """Begin to listen for how the process ends."""
        self._span = span
        self._pid = os.getpid()
        self._began = time.monotonic()
        self._failed = False
        self._signal: signal.Signals | None = None
        self._asked: int | None = None
        audit.on("sys.excepthook", self._on_exception)
        self._listen_to_exit()

    def ends_by(self, signal_number: int) -> None:
        """Note that a signal ends the process. Safe in a signal handler: it takes no lock of the span's."""
        self._signal = signal.Signals(signal_number)

    def end(self) -> None:
        """End the span; in a forked child, and once it has ended: do nothing."""
        if os.getpid() != self._pid or not self._span.is_recording():
            return
        self._span.set_attribute(semconv.PROCESS_DURATION, time.monotonic() - self._began)
        code = self._exit_code()
        if code is not None:
            self._span.set_attribute(semconv.PROCESS_EXIT_CODE, code)
        if self._signal is not None:
            self._span.set_attribute(semconv.PROCESS_EXIT_SIGNAL, self._signal.name)
            self._span.set_attribute(semconv.ERROR_TYPE, self._signal.name)
            self._span.set_status(Status(StatusCode.ERROR, f"ended by {self._signal.name}"))
        elif code and not self._failed:
            self._span.set_attribute(semconv.ERROR_TYPE, error_type.of_exit(code))
            self._span.set_status(Status(StatusCode.ERROR, f"exit code {code}"))
        self._span.end()

    def _exit_code(self) -> int | None:
        """Return the code that the process will end with; None where it cannot be told."""
        if self._signal is not None:
            return _BY_SIGNAL + self._signal
        if self._failed:
            return 1
        # CPython takes `__file__` from `__main__` when a script has come to its end, and leaves it where an
        # exception ends it (`_PyRun_SimpleFile` in Python/pythonrun.c).
        came_to_its_end = not process_kind.is_module() and not hasattr(
            sys.modules.get("__main__"), "__file__"
        )
        if came_to_its_end:
            return 0
        if self._asked is None and not process_kind.is_module():
            return None  # `raise SystemExit(…)`, of which nobody is told
        return self._asked or 0

    def _on_exception(
        self, _hook: object, _kind: type, error: BaseException, _trace_back: TracebackType | None
    ) -> None:
        """Record what ends the process, unless it is one of its threads that has printed an exception."""
        if os.getpid() != self._pid or threading.current_thread() is not threading.main_thread():
            return
        if isinstance(error, KeyboardInterrupt):
            self.ends_by(signal.SIGINT)  # Python ends itself by it
            return
        self._failed = True
        self._span.record_exception(error)
        self._span.set_attribute(semconv.ERROR_TYPE, error_type.of_exception(error))
        self._span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))

    def _listen_to_exit(self) -> None:
        """Note the code of each ``sys.exit`` of the main thread: the last one counts, if it is not caught."""
        original = sys.exit

        @functools.wraps(original)
        def exit_noted(*args: Any) -> NoReturn:
            if threading.current_thread() is threading.main_thread():
                self._asked = _code_of(*args[:1])
            original(*args)

        sys.exit = exit_noted


def _code_of(status: object = None) -> int:
    """Return the exit code of a status by https://docs.python.org/3/library/sys.html#sys.exit."""
    if status is None:
        return 0
    return status & 0xFF if isinstance(status, int) else 1
