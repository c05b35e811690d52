"""The end of a process: what is left is sent, in bounded time, whether it ends by itself or by SIGTERM."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

from otel_prefect import audit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from otel_prefect.delivery import Delivery

_logger = logging.getLogger(__name__)


class Shutdown:
    """Shuts providers down when the process ends.

    The work is done by a thread of its own, so that the main thread can stop waiting for it. The thread
    exists from the start: an interpreter that is shutting down starts none any more (Python 3.12).
    """

    def __init__(self, providers: Sequence[Callable[[], object]], delivery: Delivery, seconds: float) -> None:
        """Start the thread.

        Args:
            providers: what to call, in this order; each sends what it still holds.
            delivery: what they send through.
            seconds: that all of it may take.
        """
        self._providers = tuple(providers)
        self._delivery = delivery
        self._seconds = seconds
        self._begin()
        # A fork leaves the thread behind.
        os.register_at_fork(after_in_child=self._begin)

    def register(self) -> None:
        """Arrange for ``finish`` at a normal exit, before an exec, and at SIGTERM if that is left to us."""
        atexit.register(self.finish)
        self._register_before_exec()
        in_main_thread = threading.current_thread() is threading.main_thread()
        # A program with a handler of its own ends the normal way; Prefect's engine sets one.
        if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def finish(self) -> None:
        """Send what is left; return when that is done or when the time is up. Again: return at once."""
        if self._asked.is_set():
            return
        # A little less than we wait for, so that what had to be dropped can still be said.
        self._delivery.close_within(self._seconds * 0.9)
        self._asked.set()
        self._done.wait(self._seconds)

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

    def _begin(self) -> None:
        self._asked = threading.Event()
        self._done = threading.Event()
        threading.Thread(target=self._run, name="otel-prefect-shutdown", daemon=True).start()

    def _run(self) -> None:
        asked, done = self._asked, self._done
        asked.wait()
        for shut_down in self._providers:
            try:
                shut_down()
            except Exception:  # noqa: PERF203 - three times a process; the others still have their turn
                _logger.warning("a telemetry provider failed to shut down", exc_info=True)
        done.set()

    def _on_sigterm(self, signal_number: int, _frame: FrameType | None) -> None:
        self.finish()
        # End as the program would have ended without us: by the signal, visible in its exit status.
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)
