"""What a span did while nothing was done for it: it waited for a process to start or to end, or for a retry.

A span's own time on the critical path lies between those of its children. Where the next of them is another
process, it was being started: in a queue, an image being pulled, an interpreter that imports. Where the last
one was, its end had not been noticed yet.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from otel_prefect import semconv
from otel_prefect.view.execution import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_prefect.view.critical_path import Step
    from otel_prefect.view.execution import Execution, Span

_Work = TypeVar("_Work")


class Kind(Enum):
    """Why a span's own time went by."""

    OWN = ""
    """It worked, as far as is known."""
    START = "until {} began"
    END = "after {} had ended"
    RETRY = "until {} was tried again"

    def of(self, name: str) -> str:
        """Return it in words."""
        return self.value.format(name)


def named(execution: Execution, path: Sequence[Step]) -> Iterator[tuple[Step, Kind, str]]:
    """Yield the steps of a critical path with what each waited for.

    Args:
        execution: of one trace.
        path: as ``critical_path`` gives it.

    Yields:
        A step, the kind of it, and the name of the process that was waited for; empty where it is ``OWN``.
    """
    for number, step in enumerate(path):
        after = _child(execution, step.span, path[number + 1].span) if number + 1 < len(path) else None
        before = _child(execution, step.span, path[number - 1].span) if number else None
        yield step, *_kind(step.span, before, after, execution.process(step.span).service)


@dataclass(frozen=True)
class Share:
    """What was waited for in spans of one name.

    Attributes:
        process: of them, with its source.
        name: of the spans.
        waiting: what they did nothing but wait for; empty where they worked.
        seconds: together.
        share: of the execution, from 0 to 1.
    """

    process: str
    name: str
    waiting: str
    seconds: float
    share: float


def shares(execution: Execution, path: Sequence[Step]) -> list[Share]:
    """Return what the time went into, by process and what it did, the longest first.

    Args:
        execution: of one trace.
        path: as ``critical_path`` gives it.
    """
    seconds: dict[tuple[str, str, str], float] = defaultdict(float)
    for step, kind, waited_for in named(execution, path):
        seconds[execution.process(step.span).label, step.span.name, kind.of(waited_for)] += step.seconds
    return [Share(*work, each, share) for work, each, share in _longest_first(seconds)]


@dataclass(frozen=True)
class StageShare:
    """What was waited for in the processes of one stage.

    Attributes:
        stage: of them; of processes that say none, the name.
        seconds: together, waiting included.
        share: of the execution, from 0 to 1.
    """

    stage: str
    seconds: float
    share: float


def stages(execution: Execution, path: Sequence[Step]) -> list[StageShare]:
    """Return what the time went into by the stages of the pipeline, the longest first.

    Args:
        execution: of one trace.
        path: as ``critical_path`` gives it.
    """
    seconds: dict[str, float] = defaultdict(float)
    for step in path:
        process = execution.process(step.span)
        seconds[str(process.attributes.get(semconv.STAGE) or process.service or "?")] += step.seconds
    return [StageShare(stage, each, share) for stage, each, share in _longest_first(seconds)]


def _longest_first(seconds: Mapping[_Work, float]) -> Iterator[tuple[_Work, float, float]]:
    """Yield what takes time with its seconds and its share of all of them."""
    whole = sum(seconds.values()) or 1.0
    for work, each in sorted(seconds.items(), key=lambda each: -each[1]):
        yield work, each, each / whole


def _kind(span: Span, before: Span | None, after: Span | None, own: str | None) -> tuple[Kind, str]:
    if before is not None and after is not None and before.status.is_bad and _is_the_same(before, after):
        return Kind.RETRY, after.service or (span.name if after.is_attempt else after.name)
    # A segment of X-Ray's SDK has its process's name, and is none of its own.
    if after is not None and after.service not in (None, own):
        return Kind.START, after.service or ""
    if before is not None and before.service not in (None, own) and before.status is not Status.IN_PROGRESS:
        return Kind.END, before.service or ""
    return Kind.OWN, ""


def _is_the_same(one: Span, other: Span) -> bool:
    return one.name == other.name or (one.is_attempt and other.is_attempt)


def _child(execution: Execution, span: Span, other: Span) -> Span | None:
    """Return the child of a span that another one is or is below of."""
    seen: set[str] = set()
    above = execution.above(other)
    while above is not None and above.id != span.id and other.id not in seen:
        seen.add(other.id)
        other, above = above, execution.above(above)
    return other if above is not None and above.id == span.id else None
