"""The one path that every request takes, whichever transport it came by.

    room in memory? → well formed, Resources completed? (wire, regroup, enrichment) → taken? (forward)

Only after the last step is the client told that its data was accepted. Nothing is kept here.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from otel_prefect import semconv
from sidecar import metrics, regroup, wire
from sidecar.open_spans import mentions_runs
from sidecar.otlp import TRACES
from sidecar.refusal import Refusal, busy, malformed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sidecar.enrichment import Enricher
    from sidecar.forward import CollectorClient
    from sidecar.metrics import SelfMetrics
    from sidecar.otlp import Signal
    from sidecar.wire import ResourceX

# Spans of runs wait so long for the names of their run: they are what people look for.
_NAMES_SECONDS: Final = 1.0

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
MALFORMED: Final = "malformed"


class Room:
    """Bounds the bytes that are in work at once.

    Args:
        limit: bytes. One request that is larger than this alone is taken when nothing else is in work.
        numbers: where the bytes in work are shown.
    """

    def __init__(self, limit: int, numbers: SelfMetrics) -> None:
        self._limit = limit
        self._numbers = numbers
        self._taken = 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes room for so many more bytes; all of it is free again at the end.

        The function raises a Refusal, which has the client try again, where there is no room.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            alone = self._taken == held
            if not alone and self._taken + size > self._limit:
                raise busy(
                    f"too many bytes are in work; {semconv.ENV_MAX_IN_FLIGHT_MIB.name} raises the limit"
                )
            held += size
            self._change(size)

        try:
            yield take
        finally:
            self._change(-held)

    def _change(self, size: int) -> None:
        self._taken += size
        self._numbers.set(metrics.IN_FLIGHT, self._taken)


class Intake:
    """Takes requests in and passes them on.

    Args:
        enricher: completes Resources.
        names: waits for so many seconds at most until what can be known of new runs is known; tells whether
            there were any.
        on_traces: is shown each request of traces that was taken, as it was passed on, and told whether it
            mentions runs.
        collector: where they go.
        room: bounds what is in work at once.
        numbers: counts what happened.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of the path, each named once, at the start
        self,
        enricher: Enricher,
        names: Callable[[float], Awaitable[bool]],
        on_traces: Callable[[bytes, bool], None],
        collector: CollectorClient,
        room: Room,
        numbers: SelfMetrics,
    ) -> None:
        self._enricher = enricher
        self._names = names
        self._on_traces = on_traces
        self._collector = collector
        self._numbers = numbers
        self.room = room
        self.last_request: float = time.monotonic()
        self.in_work = 0

    async def take(self, signal: Signal, transport: str, body: bytes, timeout: float) -> bytes:
        """Pass one request on; the caller holds room for it.

        Args:
            signal: what the request carries.
            transport: ``grpc``, ``http`` or ``own``, for the count.
            body: the encoded request.
            timeout: seconds that the client waits.

        Returns:
            The Collector's encoded response.

        Raises:
            Refusal: it was not taken.
        """
        self.in_work += 1
        self.last_request = time.monotonic()
        records = 0
        outcome = REFUSED
        try:
            spliced = self._complete(signal, body)
            records = spliced.records
            of_runs = signal is TRACES and mentions_runs(body)
            if of_runs:
                spliced = await self._with_names(spliced, body, timeout)
            response = await self._collector.export(signal, spliced.body, timeout) if body else b""
            outcome = ACCEPTED
            if signal is TRACES:
                self._on_traces(spliced.body, of_runs)
            return response
        except wire.MalformedError as error:
            outcome = MALFORMED
            raise malformed(f"not an OTLP request of {signal.name}: {error}") from None
        except Refusal as refusal:
            outcome = REFUSED if refusal.retry else MALFORMED
            raise
        finally:
            self.in_work -= 1
            self._numbers.add(metrics.REQUESTS, 1, signal=signal.name, transport=transport, outcome=outcome)
            self._numbers.add(metrics.RECORDS, records, signal=signal.name, outcome=outcome)

    async def _with_names(self, spliced: wire.Spliced, body: bytes, timeout: float) -> wire.Spliced:
        """Wait a little for the names of runs that are new, once for each run."""
        if await self._names(min(_NAMES_SECONDS, timeout / 2)):
            return self._complete(TRACES, body)
        return spliced

    def _complete(self, signal: Signal, body: bytes) -> wire.Spliced:
        """Give every record a Resource that is complete and of its own run."""

        def divide(source: bytes, of_resource: ResourceX) -> list[bytes]:
            own = self._enricher.run_of(of_resource.resource)
            return regroup.divide(signal, source, of_resource, own)

        return wire.splice(body, signal.frames, self._enricher.enrich, divide)
