"""The end of a process: what is left is sent, in bounded time, whether it ends by itself or by SIGTERM."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

import wrapt

from otel_prefect import audit
from otel_prefect.guard import never_raises

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from otel_prefect.export.delivery import Delivery
    from otel_prefect.spans.process_span import ProcessSpan

_logger = logging.getLogger(__name__)

# The first process of a container, where it has no init. The kernel keeps signals from it that it has no
# handler for (pid_namespaces(7)): without us it would live on until SIGKILL, and so it does with us.
_INIT = 1


class Provider(Protocol):
    """What holds back telemetry to send it in batches: the SDK's providers."""

    def force_flush(self) -> object:
        """Send what there is."""

    def shutdown(self) -> object:
        """Send what there is, and take no more."""


class Shutdown:
    """Has providers send what they hold when the process ends.

    The work is done by a thread of its own, so that the main thread can stop waiting for it. The thread
    exists from the start: an interpreter that is shutting down starts none any more (Python 3.12).
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        delivery: Delivery,
        seconds: float,
        span: ProcessSpan | None = None,
    ) -> None:
        """Start the thread.

        Args:
            providers: in the order in which they are shut down.
            delivery: what they send through.
            seconds: that all of it may take.
            span: of the process, which is ended first.
        """
        self._providers = tuple(providers)
        self._delivery = delivery
        self._seconds = seconds
        self._span = span
        self._finished = self._flush_is_due = False
        self._begin()
        # A fork leaves the thread behind.
        os.register_at_fork(after_in_child=self._begin)

    def register(self) -> None:
        """Arrange for ``finish`` at a normal exit, before an exec, and at SIGTERM if that is left to us."""
        atexit.register(self.finish)
        self._register_before_exec()
        # Its forked children end by `os._exit`, after what they have registered there.
        wrapt.register_post_import_hook(self._register_in_children, "multiprocessing.util")
        in_main_thread = threading.current_thread() is threading.main_thread()
        # A program with a handler of its own ends the normal way; Prefect's engine sets one.
        if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def flush(self) -> None:
        """Send what there is; return when that is done or when the time is up."""
        self._ask(self._flush_steps())

    def flush_soon(self) -> None:
        """Have what there is sent; return at once. Asked for again before that has begun: once is enough."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._requests.put((self._flush_steps(), threading.Event()))

    def finish(self) -> None:
        """Send what is left; return when that is done or when the time is up. Again: return at once."""
        if self._finished:
            return
        self._finished = True
        # A little less than we wait for, so that what had to be dropped can still be said.
        self._delivery.close_within(self._seconds * 0.9)
        steps: list[Callable[[], object]] = [provider.shutdown for provider in self._providers]
        self._ask(steps if self._span is None else [self._span.end, *steps])

    def _flush_steps(self) -> list[Callable[[], object]]:
        def begun() -> None:
            self._flush_is_due = False

        return [begun, *(provider.force_flush for provider in self._providers)]

    def _ask(self, steps: Sequence[Callable[[], object]]) -> None:
        done = threading.Event()
        self._requests.put((steps, done))
        done.wait(self._seconds)

    def _register_before_exec(self) -> None:
        """Arrange for ``finish`` before another program takes this process's place, which skips atexit.

        Prefect does that: ``prefect flow-run execute`` ends so when it has pulled the flow's code.
        """
        pid = os.getpid()

        def before_exec(*_arguments: object) -> None:
            # Between fork and exec of a child the process is not ours, and its threads are gone.
            if os.getpid() == pid:
                self.finish()

        audit.on("os.exec", before_exec)

    @never_raises(None)
    def _register_in_children(self, util: Any) -> None:
        def in_child(shutdown: Shutdown) -> None:
            # After what the child's own code has registered, which may still log.
            util.Finalize(None, shutdown.finish, exitpriority=-1000)

        util.register_after_fork(self, in_child)

    def _begin(self) -> None:
        self._finished = self._flush_is_due = False
        # Of all queues the one that a signal handler may put into while its thread does the same.
        self._requests: SimpleQueue[tuple[Sequence[Callable[[], object]], threading.Event]] = SimpleQueue()
        threading.Thread(target=self._run, name="otel-prefect-shutdown", daemon=True).start()

    def _run(self) -> None:
        requests = self._requests
        while True:
            steps, done = requests.get()
            for step in steps:
                try:
                    step()
                except Exception:  # noqa: PERF203 - a few times a process; the others still have their turn
                    _logger.warning("a telemetry provider failed to send its last", exc_info=True)
            done.set()

    def _on_sigterm(self, signal_number: int, _frame: FrameType | None) -> None:
        if os.getpid() == _INIT:
            self.flush()
            return
        if self._span is not None:
            self._span.ends_by(signal_number)
        self.finish()
        # End as the program would have ended without us: by the signal, visible in its exit status.
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)
