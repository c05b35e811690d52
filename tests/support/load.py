"""Clients that send spans and log records, retry as a good SDK does, and remember what was acknowledged.

What a client was told OK for must be found at the destination: :func:`account` compares the two by ids.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

METHODS: Final = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
# https://opentelemetry.io/docs/specs/otlp/#failures and #failures-1
_RETRYABLE_CODES = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})
# Where nobody answers, so nobody says when to come again.
_NO_ANSWER_SECONDS = 0.2
_REQUEST_SECONDS = 10.0

RESOURCE: Final = {"service.name": "load", "prefect.flow-run.id": "3c32c202-9955-4b90-b936-5fbd34f1a6d5"}


class Again(Exception):  # noqa: N818 - an answer, not an error of the client
    """Raised when a request is to be sent again after ``seconds``."""

    def __init__(self, seconds: float, code: str) -> None:
        super().__init__(code)
        self.seconds = seconds
        self.code = code


class Never(Exception):  # noqa: N818 - an answer, not an error of the client
    """Raised when a request was refused for good."""


@dataclass(frozen=True)
class Request:
    """An encoded request and the ids of its records."""

    signal: str
    body: bytes
    ids: frozenset[str]


def spans(count: int, text: str = "") -> Request:
    """Return a request of so many spans; an id is a span id in hex. ``text`` is an attribute of each."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    _describe(of_resource.resource)
    of_scope = of_resource.scope_spans.add()
    now = time.time_ns()
    ids = set()
    for _ in range(count):
        span_id = os.urandom(8)
        span = of_scope.spans.add(trace_id=os.urandom(16), span_id=span_id, name="step", flags=0x101, kind=1)
        span.start_time_unix_nano, span.end_time_unix_nano = now - 1_000_000, now
        if text:
            span.attributes.add(key="text").value.string_value = text
        ids.add(span_id.hex())
    return Request("traces", request.SerializeToString(), frozenset(ids))


def logs(count: int, text: str = "") -> Request:
    """Return a request of so many log records; an id is the first word of a record's body."""
    request = ExportLogsServiceRequest()
    of_resource = request.resource_logs.add()
    _describe(of_resource.resource)
    of_scope = of_resource.scope_logs.add()
    ids = set()
    for _ in range(count):
        name = os.urandom(8).hex()
        record = of_scope.log_records.add(time_unix_nano=time.time_ns(), severity_number=9)
        record.body.string_value = f"{name} {text}"
        ids.add(name)
    return Request("logs", request.SerializeToString(), frozenset(ids))


def _describe(resource: Any) -> None:
    for key, value in RESOURCE.items():
        resource.attributes.add(key=key).value.string_value = value


@dataclass
class Load:
    """Four clients at once: spans and logs, over gRPC and over HTTP.

    Attributes:
        grpc_port, http_port: of the sidecar, on loopback.
        records: in a request.
        pause: seconds between two requests of a client.
        text: what each record carries beside its id.
        signals: which to send.
        acknowledged: ids that a client was told OK for, by signal.
        answers: how often a client was told to come again, by code.
        refused: what a client was told never to send again; must stay empty.
    """

    grpc_port: int
    http_port: int
    name: str = ""
    records: int = 20
    pause: float = 0.02
    text: str = ""
    signals: tuple[str, ...] = ("traces", "logs")
    acknowledged: dict[str, set[str]] = field(default_factory=lambda: {"traces": set(), "logs": set()})
    answers: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _give_up: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        makers = {"traces": spans, "logs": logs}
        for signal, send in itertools.product(self.signals, (self._by_grpc, self._by_http)):
            thread = threading.Thread(target=self._run, args=(makers[signal], send), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, seconds: float = 15) -> None:
        """Begin no further request; those under way are tried again for so long, then given up."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._give_up.set()
        for thread in self._threads:
            thread.join(_REQUEST_SECONDS + 5)
            assert not thread.is_alive(), "a client hangs"

    def wait_acknowledged(self, more: int, seconds: float = 20) -> None:
        """Wait until so many more records of each signal were acknowledged."""
        before = {signal: len(self.acknowledged[signal]) for signal in self.signals}
        deadline = time.monotonic() + seconds
        while any(len(self.acknowledged[signal]) < before[signal] + more for signal in self.signals):
            assert time.monotonic() < deadline, f"stuck: {self.answers}, {self.refused[:3]}"
            time.sleep(0.02)

    def _run(self, make: Callable[..., Request], send: Callable[[Request], None]) -> None:
        while not self._stop.is_set():
            self._deliver(make(self.records, self.text), send)
            self._stop.wait(self.pause)

    def _deliver(self, request: Request, send: Callable[[Request], None]) -> None:
        while not self._give_up.is_set() and not self._sent(request, send):
            pass

    def _sent(self, request: Request, send: Callable[[Request], None]) -> bool:
        """Send once; tell whether that is all there is to do, after having waited where it is not."""
        try:
            send(request)
        except Again as again:
            self.answers[again.code] = self.answers.get(again.code, 0) + 1
            self._give_up.wait(again.seconds)
            return False
        except Never as never:
            self.refused.append(str(never))
            return True
        self.acknowledged[request.signal] |= request.ids
        return True

    def _by_grpc(self, request: Request) -> None:
        # A channel of its own: gRPC's own back-off after a refused connection would be the test's pause.
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            try:
                channel.unary_unary(METHODS[request.signal])(request.body, timeout=_REQUEST_SECONDS)
            except grpc.RpcError as error:
                code, seconds = error.code(), _retry_delay(error)
                if code in _RETRYABLE_CODES or (
                    code is grpc.StatusCode.RESOURCE_EXHAUSTED and seconds is not None
                ):
                    raise Again(_NO_ANSWER_SECONDS if seconds is None else seconds, code.name) from None
                raise Never(f"{code.name}: {error.details()}") from None

    def _by_http(self, request: Request) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=_REQUEST_SECONDS)
        try:
            connection.request(
                "POST", f"/v1/{request.signal}", request.body, {"content-type": "application/x-protobuf"}
            )
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            raise Again(_NO_ANSWER_SECONDS, "no answer") from None
        finally:
            connection.close()
        if answer.status in _RETRYABLE_STATUSES:
            raise Again(float(answer.getheader("retry-after") or _NO_ANSWER_SECONDS), str(answer.status))
        if answer.status != 200:
            raise Never(f"HTTP {answer.status}")


def _retry_delay(error: Any) -> float | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    seconds: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                    return seconds
    return None


@contextlib.contextmanager
def running(load: Load) -> Iterator[Load]:
    """Have the clients send while the block runs."""
    load.start()
    try:
        yield load
    finally:
        load.stop()


@dataclass(frozen=True)
class Account:
    """One line of the table: what was acknowledged and what of it was found, in records."""

    signal: str
    acknowledged: int
    found: int
    lost: int
    duplicates: int

    def __str__(self) -> str:
        return (
            f"{self.signal}: acknowledged {self.acknowledged}, found {self.found}, lost {self.lost}, "
            f"duplicates {self.duplicates}"
        )


def account(signal: str, acknowledged: set[str], found: Counter[str]) -> Account:
    """Compare ids. What is found and was not acknowledged does not count: its answer was lost."""
    return Account(
        signal,
        len(acknowledged),
        len(acknowledged & set(found)),
        len(acknowledged - set(found)),
        sum(found[name] - 1 for name in acknowledged & set(found)),
    )
