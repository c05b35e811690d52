"""Drives the load program (``bench/load``, in Go), which is both the client and the destination.

In Go, because what a client in Python measures is to a good part itself: with 2 cores and 10,000 spans a
second into this program's own destination, the median latency of a client of ``grpc.aio`` was 2 ms with 512
spans a request and 1.1 ms with 50, this one's 0.8 and 0.3 ms.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.cases import CLIENTS
from otel_prefect import semconv
from otel_prefect.collector import build as collector_build
from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from types import TracebackType

_SOURCE = Path(__file__).parent / "load"
# In the place of this the load program puts a run's id (request.go).
_RUN: Final = "00000000-0000-4000-8000-00000000cafe"
# Of a process of a flow, as the library describes it.
_RESOURCE: Final[dict[str, str | int]] = {
    semconv.SERVICE_NAME: "daily-sales-ingest",
    semconv.SERVICE_VERSION: "1.4.2",
    semconv.FLOW_RUN_ID: _RUN,
    semconv.CONTAINER_ID: "158d1c8083dd49d6b527399fd6414f5c-0527074092",
    semconv.SOURCE: "shop",
    semconv.STAGE: "ingest",
    semconv.PROCESS_PID: 42,
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.40.0",
}
# Of a call that an ingestion makes.
_SPAN: Final[dict[str, str | int]] = {
    semconv.RECORD_FLOW_RUN_ID: _RUN,
    "http.request.method": "GET",
    "url.full": "https://shop.example.com/api/v2/orders?page=17&updated_since=2026-01-01",
    "server.address": "shop.example.com",
    "http.response.status_code": 200,
    "thread.id": 140_213,
}
# What has not come for so long is lost: no queue here waits longer between two tries that fail.
_QUIET_SECONDS: Final = 4.0


class LoadError(RuntimeError):
    """Raised when the load program cannot be built or does not answer."""


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        protocol: ``grpc`` or ``http``.
        spans: in a request.
        rate: spans a second; 0: as many as are taken.
        seconds: how long.
        runs: flow runs that take turns, request by request.
    """

    protocol: str
    spans: int
    rate: float
    seconds: float
    runs: int = 1


@dataclass(frozen=True)
class Sent:
    """What became of a load at the door.

    Attributes:
        latencies: of requests that were taken, in seconds from when each was due.
        refused: of the others, by what the client was told.
        seconds: that the load took.
        cpu_seconds: of the load program itself, as client and destination.
    """

    latencies: list[float]
    refused: dict[str, int]
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Settled:
    """What came out at the other end.

    Attributes:
        acknowledged: spans.
        lost: of these, the ones that never came.
        duplicates: spans that came again.
        last_delivery: seconds since the last one came.
    """

    acknowledged: int
    lost: int
    duplicates: int
    last_delivery: float


class LoadProgram:
    """A running load program; use it in a ``with`` statement.

    Attributes:
        address: ``host:port`` of the destination: OTLP over gRPC and HTTP, X-Ray, Prefect's API.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen([build()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = str(self._answer()["address"])

    def send(self, target: str, load: Load) -> Sent:
        """Send a load to a receiver at ``host:port`` and wait for its last answer."""
        answer = self._order(
            "send",
            target=target,
            clients=CLIENTS,
            **asdict(load),
            resource=_attributes(_RESOURCE),
            span=_attributes(_SPAN),
        )
        latencies = [microseconds / 1e6 for microseconds in answer["latencies"] or ()]
        return Sent(latencies, answer["refused"], answer["seconds"], answer["cpu"])

    def settle(self) -> Settled:
        """Wait until all of the last load that was acknowledged has come, or nothing does any more."""
        return Settled(**self._order("settle", quiet_seconds=_QUIET_SECONDS))

    def _order(self, what: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None, "it was started with a pipe"  # noqa: S101 - an invariant
        self._process.stdin.write(json.dumps({what: arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "it was started with a pipe"  # noqa: S101 - an invariant
        line = self._process.stdout.readline()
        if not line:
            raise LoadError(f"the load program ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> LoadProgram:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()  # closes its stdin, which ends it


def build() -> Path:
    """Build the load program into the cache and return it; Go does nothing where nothing changed.

    Raises:
        LoadError: it does not build.
    """
    target = collector.cache_dir() / "bench" / "load"
    environ = {**os.environ, "GOTOOLCHAIN": "local"}
    environ.setdefault("GOCACHE", str(collector.cache_dir() / "go" / "build"))
    try:
        go = collector_build.find_go()
    except collector_build.BuildError as error:
        raise LoadError(str(error)) from None
    built = subprocess.run(
        [go, "build", "-o", target, "."],
        cwd=_SOURCE,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise LoadError(f"bench/load does not build: {built.stderr.strip()}")
    return target


def _attributes(values: dict[str, str | int]) -> list[dict[str, str | int]]:
    return [
        {"key": key, "int": value} if isinstance(value, int) else {"key": key, "text": value}
        for key, value in values.items()
    ]
