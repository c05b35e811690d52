"""An execution: the spans of one trace, as a tree of processes and what they did."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from otel_prefect import semconv
from otel_prefect.view.words import process_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Status(Enum):
    """How a span came out, by X-Ray's words where they are clearer."""

    OK = "ok"
    ERROR = "error"
    """It failed, by what it was asked (X-Ray: a client's error)."""
    FAULT = "fault"
    """It failed, by itself."""
    THROTTLED = "throttled"
    IN_PROGRESS = "in progress"

    @property
    def is_bad(self) -> bool:
        """Whether a person looks there first."""
        return self in (Status.ERROR, Status.FAULT, Status.THROTTLED)


@dataclass(frozen=True)
class Caught:
    """An exception of a span.

    Attributes:
        type: its class's name.
        message: its text.
        stack: its frames as lines, the outermost first.
    """

    type: str
    message: str
    stack: tuple[str, ...] = ()


def frames(stack: str) -> list[str]:
    """Return the frames of a stack trace: of Python's the lines that name them, of another all.

    Args:
        stack: as ``exception.stacktrace`` has it.
    """
    all_lines = [line.strip() for line in stack.splitlines() if line.strip()]
    return [line for line in all_lines if line.startswith("File ")] or all_lines


def caught(event: Mapping[str, Any]) -> Caught:
    """Return the exception that an event of that name tells of.

    Args:
        event: its attributes: https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/.
    """
    return Caught(
        str(event.get(semconv.EXCEPTION_TYPE, "")),
        str(event.get(semconv.EXCEPTION_MESSAGE, "")),
        tuple(frames(str(event.get(semconv.EXCEPTION_STACKTRACE) or ""))),
    )


@dataclass(frozen=True)
class Span:
    """Something that was done.

    Attributes:
        id: 16 hex digits.
        parent_id: the same, of what it was done for; None for the first.
        name: such as ``task extract``.
        start: seconds since 1970.
        end: the same; None while it is in progress.
        status: how it came out.
        service: name of its process; None where it is no process's first span.
        attributes: what is known of it, by OpenTelemetry's names.
        exceptions: that it ended with, the last one first.
    """

    id: str
    parent_id: str | None
    name: str
    start: float
    end: float | None
    status: Status = Status.OK
    service: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    exceptions: tuple[Caught, ...] = ()

    @property
    def is_attempt(self) -> bool:
        """Whether it is one attempt of a flow or task run that is tried again."""
        return bool(self.attributes.get(semconv.PREFECT_RUN_TYPE) == semconv.RUN_TYPE_ATTEMPT)

    @property
    def label(self) -> str:
        """The process that it is the first span of, with its source; else its name."""
        return process_label(self.service, self.attributes.get(semconv.SOURCE)) if self.service else self.name

    def until(self, now: float) -> float:
        """Return its end, or where it has none yet a time that is not before its start."""
        return max(self.start, now) if self.end is None else max(self.start, self.end)


class Execution:
    """The spans of one trace.

    What is not as it should be is kept and does no harm: a span whose parent is missing stands at the top,
    and so does each span of a ring.

    Attributes:
        trace_id: 32 hex digits.
        spans: by their ids.
        notes: what whoever looks at it should know of how whole it is, each a sentence without a full stop.
    """

    def __init__(self, trace_id: str, spans: Iterable[Span]) -> None:
        """Take spans.

        Args:
            trace_id: 32 hex digits.
            spans: in any order. Of two with one id the one that has ended stays, or else the first.
        """
        self.trace_id = trace_id
        self.spans: dict[str, Span] = {}
        self.notes: list[str] = []
        for span in spans:
            known = self.spans.get(span.id)
            if known is None or (known.end is None and span.end is not None):
                self.spans[span.id] = span

    @property
    def missing_parents(self) -> set[str]:
        """The ids that spans name as their parents and that are not there."""
        return {
            span.parent_id
            for span in self.spans.values()
            if span.parent_id is not None and span.parent_id not in self.spans
        }

    def incomplete(self) -> list[str]:
        """Return what is missing of it, as far as is known: its notes, and the spans that are not there."""
        missing = len(self.missing_parents)
        if not missing:
            return self.notes
        said = "span that others are under is" if missing == 1 else "spans that others are under are"
        return [*self.notes, f"{missing} {said} not there"]

    @cached_property
    def start(self) -> float:
        """When the first span began, in seconds since 1970; 0 where there is none."""
        return min((span.start for span in self.spans.values()), default=0.0)

    @cached_property
    def end(self) -> float:
        """When the last thing happened that is known of, in seconds since 1970."""
        return max((span.until(span.start) for span in self.spans.values()), default=0.0)

    @property
    def in_progress(self) -> bool:
        """Whether a span has not ended."""
        return any(span.end is None for span in self.spans.values())

    def until(self, now: float | None) -> float:
        """Return its end, or while it is in progress a time that is not before what is known of it."""
        return max(self.end, now or 0.0) if self.in_progress else self.end

    def above(self, span: Span) -> Span | None:
        """Return what a span is under; None where it stands at the top, or where that is missing.

        That is its parent, or the attempt in which it was done: the first attempt of a run has a span only
        when it has failed, so that what was done in it is beside it.
        """
        return self.spans.get(self._adopted.get(span.id) or span.parent_id or "")

    @cached_property
    def _adopted(self) -> dict[str, str]:
        """By the id of a span that is beside an attempt: the id of the attempt in which it began."""
        attempts: dict[str | None, list[Span]] = defaultdict(list)
        for span in self.spans.values():
            if span.is_attempt:
                attempts[span.parent_id].append(span)
        return {
            span.id: attempt.id
            for span in self.spans.values()
            if not span.is_attempt
            for attempt in attempts.get(span.parent_id, ())
            if attempt.start <= span.start < attempt.until(self.end)
        }

    @cached_property
    def _children(self) -> dict[str | None, list[Span]]:
        found: dict[str | None, list[Span]] = defaultdict(list)
        for span in sorted(self.spans.values(), key=lambda each: (each.start, each.id)):
            above = self.above(span)
            found[above.id if above else None].append(span)
        in_rings = self._in_rings(found)
        for parent_id in {above.id for above in map(self.above, in_rings) if above}:
            found[parent_id] = [span for span in found[parent_id] if span not in in_rings]
        found[None] = sorted([*found[None], *in_rings], key=lambda each: (each.start, each.id))
        return found

    def _in_rings(self, children: Mapping[str | None, list[Span]]) -> list[Span]:
        """Return a span of each ring: what no walk from the top reaches, one at a time."""
        reached: set[str] = set()
        broken: list[Span] = []

        def reach(first: Iterable[Span]) -> None:
            waiting = list(first)
            while waiting:
                span = waiting.pop()
                if span.id not in reached:
                    reached.add(span.id)
                    waiting += children.get(span.id, ())

        reach(children.get(None, ()))
        for span in sorted(self.spans.values(), key=lambda each: (each.start, each.id)):
            if span.id not in reached:
                broken.append(span)
                reach([span])
        return broken

    def roots(self) -> list[Span]:
        """Return what stands at the top, by start."""
        return self._children.get(None, [])

    @property
    def first(self) -> Span:
        """The span that the execution is: of those at the top the longest.

        Raises:
            ValueError: there are no spans.
        """
        return max(self.roots(), key=lambda span: (span.until(self.end) - span.start, -span.start))

    @property
    def name(self) -> str:
        """What Prefect calls the run, or else the id of its trace."""
        return str(self.first.attributes.get(semconv.PREFECT_RUN_NAME) or self.trace_id)

    @property
    def state(self) -> str:
        """How it is going or has ended: what Prefect calls its state, or else its first span's status."""
        return str(self.first.attributes.get(semconv.PREFECT_STATE_NAME) or self.first.status.value)

    def children(self, span: Span) -> list[Span]:
        """Return what was done for a span, by start."""
        return self._children.get(span.id, [])

    def walk(self) -> Iterator[tuple[int, Span]]:
        """Yield all spans, each after its parent, with how deep it is: 0 at the top."""
        waiting = [(0, span) for span in reversed(self.roots())]
        while waiting:
            depth, span = waiting.pop()
            yield depth, span
            waiting += [(depth + 1, child) for child in reversed(self.children(span))]

    @cached_property
    def _processes(self) -> dict[str, str]:
        """By span id: the id of the first span of its process."""
        found: dict[str, str] = {}
        for _, span in self.walk():
            above = self.above(span)
            first = found.get(above.id) if above else None
            found[span.id] = span.id if span.service is not None or first is None else first
        return found

    def process(self, span: Span) -> Span:
        """Return the first span of the process that a span is of."""
        return self.spans[self._processes[span.id]]

    def processes(self) -> list[Span]:
        """Return the first spans of all processes, by start."""
        return [span for _, span in sorted(self._firsts(), key=lambda each: each[0])]

    def _firsts(self) -> Iterator[tuple[tuple[float, str], Span]]:
        for span_id, first in self._processes.items():
            if span_id == first:
                span = self.spans[span_id]
                yield (span.start, span.id), span
