"""How spans, logs and metrics reach the sidecar: patiently, quietly, and never for longer than allowed.

The OTLP/HTTP exporter of OpenTelemetry tries again for 10 s at most (1, 2 and 4 s apart), then drops the
batch, and logs each failure of each batch. A sidecar that is still starting or restarting takes longer, and
one that is not there at all would fill the user's log. So the exporters get a ``requests`` session whose
adapter waits for the receiver itself; their own retry is left nothing to do.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger(__name__)

# "Retryable Response Codes" of the OTLP specification, https://opentelemetry.io/docs/specs/otlp/#failures-1
_TRY_AGAIN = frozenset({429, 502, 503, 504})
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class UndeliverableError(requests.RequestException):
    """Raised to an exporter once its batch has been tried for as long as it may be; not to be tried again."""


@dataclass
class Delivery:
    """The patience that all exporters of a process share. Safe to use from any thread.

    Attributes:
        retry_seconds: for how long after the first failure batches are tried again. After that each
            batch is tried once, until one gets through.
        silent: whether nothing is said of what is dropped, since it is no loss.
        keeps_connections: whether they stay open for the next batch; whoever has it so closes them.
    """

    retry_seconds: float
    silent: bool = False
    keeps_connections: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)
    _ends: float = float("inf")
    _failing_since: float | None = None
    _reported: set[str] = field(default_factory=set)
    _failure: tuple[str, str] | None = None

    def close_within(self, seconds: float) -> None:
        """Let nothing take longer than this from now on, since the process ends."""
        self._ends = time.monotonic() + seconds
        self._closing.set()

    def time_left(self) -> float:
        """Return the seconds until the process must have ended; infinity while it does not end."""
        return max(0.0, self._ends - time.monotonic())

    def succeeded(self) -> None:
        """Note that the receiver has taken a batch."""
        with self._lock:
            self._failing_since = None
            self._failure = None
            self._reported.clear()

    def wait(self, seconds: float, url: str, reason: str) -> bool:
        """Pause after a failed attempt.

        Args:
            seconds: to pause, at most.
            url: that was tried.
            reason: why it failed.

        Returns:
            Whether to try again; False once patience is at its end.
        """
        now = time.monotonic()
        with self._lock:
            if self._failing_since is None:
                self._failing_since = now
            self._failure = (url, reason)
            ends = min(self._failing_since + self.retry_seconds, self._ends)
        pause = min(seconds, ends - now)
        if pause <= 0:
            return False
        if self._closing.is_set():
            time.sleep(pause)
        else:
            # Cut short by the end of the process, so that what is left of the time is used.
            self._closing.wait(pause)
        return True

    def report_full(self) -> bool:
        """Say that data is lost because what is waiting to be sent again fills the queue.

        Returns:
            Whether that is so; False where nothing fails and the queue is full all the same.
        """
        failure = self._failure
        if failure is not None:
            self.report_dropped(*failure)
        return failure is not None

    def report_dropped(self, url: str, reason: str) -> None:
        """Say once, until the next success, that data is lost, why, and what to do about it."""
        parts = urlsplit(url)
        where = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            if self.silent or where in self._reported:
                return
            self._reported.add(where)
        _logger.warning(
            "telemetry of this process is being dropped, %s does not take it: %s. "
            "Is the sidecar running, and does OTEL_EXPORTER_OTLP_ENDPOINT name it? "
            "The program itself is not affected",
            where,
            reason,
        )

    def session(self, url: str) -> requests.Session:
        """Return a session for an exporter that sends to ``url``."""
        made = requests.Session()
        adapter = _PatientAdapter(self)
        made.mount("http://", adapter)
        made.mount("https://", adapter)
        # A proxy that is set for the way out of the task must not stand before its own loopback.
        made.trust_env = urlsplit(url).hostname not in _LOOPBACK
        if not self.keeps_connections:
            made.headers["Connection"] = "close"
        return made


class _PatientAdapter(HTTPAdapter):
    """Sends a batch until it is taken, refused for good, or patience is at its end."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__()
        self._delivery = delivery

    def send(  # type: ignore[override]  # the options are passed on as they came
        self, request: requests.PreparedRequest, timeout: Any = None, **options: Any
    ) -> requests.Response:
        url = request.url or ""
        pause = _FIRST_PAUSE
        failure = "the process ended before it could be sent"
        while True:
            if self._delivery.time_left() <= 0:
                self._delivery.report_dropped(url, failure)
                raise UndeliverableError(failure, request=request)
            response, failure = self._attempt(request, timeout, options)
            if response is not None and response.status_code not in _TRY_AGAIN:
                if response.ok:
                    self._delivery.succeeded()
                else:
                    self._delivery.report_dropped(url, failure)
                return response
            if not self._delivery.wait(_retry_after(response) or pause, url, failure):
                self._delivery.report_dropped(url, failure)
                raise UndeliverableError(failure, request=request)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def close(self) -> None:
        """Close the connections; left to the garbage collector, Python's development mode warns of them."""
        for key in self.poolmanager.pools.keys():  # noqa: SIM118 - not a dict: it cannot be iterated over
            pool = self.poolmanager.pools.get(key)
            if pool is not None:
                pool.close()
        super().close()

    def _attempt(
        self, request: requests.PreparedRequest, timeout: Any, options: Mapping[str, Any]
    ) -> tuple[requests.Response | None, str]:
        """Send once; return the answer if there was one, and what is wrong with it or why there was none."""
        if isinstance(timeout, int | float):
            timeout = min(timeout, max(self._delivery.time_left(), _FIRST_PAUSE))
        try:
            response = super().send(request, timeout=timeout, **options)
        except (requests.ConnectionError, requests.Timeout) as error:
            return None, _innermost(error)
        return response, f"it answers {response.status_code} {response.reason}"


def _retry_after(response: requests.Response | None) -> float | None:
    """Return the seconds that the receiver asks to wait, bounded; None where it does not say."""
    text = "" if response is None else response.headers.get("retry-after", "")
    # The other form that HTTP allows, a date, is not what OTLP receivers send.
    return min(float(text), 30.0) if text.isascii() and text.isdigit() else None


def _innermost(error: BaseException) -> str:
    """Return the reason at the bottom of what requests and urllib3 have wrapped around it."""
    while isinstance(cause := error.__context__ or error.__cause__, BaseException):
        error = cause
    return str(error) or type(error).__name__


class QuietExporter(logging.Filter):
    """Keeps the exporters from logging each batch that fails: ``Delivery`` has said it once."""

    # opentelemetry.exporter.otlp.proto.http since 1.12; "batch" is what all three signals say.
    _PREFIXES = ("Failed to export ", "Transient error ")

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass unless it is about a batch that could not be sent."""
        return not str(record.msg).startswith(self._PREFIXES)


class QuietQueue(logging.Filter):
    """Has a queue that is full for want of a receiver said once, by ``Delivery``, and not by the SDK too."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__()
        self._delivery = delivery

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass unless it is about a queue that is full since nothing takes what is in it."""
        return not (str(record.msg).startswith("Queue full") and self._delivery.report_full())
