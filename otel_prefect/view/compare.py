"""Two executions side by side: what got slower, what failed in one only, what is in one only."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_prefect.view.execution import Execution, Span

Work = tuple[str, str]
"""A process, with its source where it has one, and the name of a span: what is the same from run to run."""


@dataclass(frozen=True)
class Side:
    """What one execution has of some work.

    Attributes:
        count: of its spans.
        seconds: that they took together.
        failed: how many of them failed.
    """

    count: int = 0
    seconds: float = 0.0
    failed: int = 0


@dataclass(frozen=True)
class Difference:
    """Some work in both.

    Attributes:
        work: which.
        before: in the execution that is compared with.
        after: in the one that is looked at.
    """

    work: Work
    before: Side
    after: Side

    @property
    def seconds(self) -> float:
        """How much longer it took; negative where it was faster."""
        return self.after.seconds - self.before.seconds

    @property
    def fails_anew(self) -> bool:
        """Whether more of it failed."""
        return self.after.failed > self.before.failed


Sides = dict[Work, Side]


@dataclass(frozen=True)
class Baseline:
    """What an execution is compared with.

    Attributes:
        name: what people call it.
        start: in seconds since 1970; None where it is more than one execution.
        seconds: that it took.
        sides: its work.
    """

    name: str
    start: float | None
    seconds: float
    sides: Sides


def one(execution: Execution, name: str) -> Baseline:
    """Return an execution as what another is compared with."""
    return Baseline(name, execution.start, execution.end - execution.start, _sides(execution))


def median(executions: Sequence[Execution]) -> Baseline:
    """Return what is usual in some executions.

    Args:
        executions: one at least. Work that is missing in one counts as no time there.
    """
    all_sides = [_sides(execution) for execution in executions]
    sides = {work: _median([each.get(work, Side()) for each in all_sides]) for work in _in_order(all_sides)}
    seconds = statistics.median(execution.end - execution.start for execution in executions)
    usual = {work: side for work, side in sides.items() if side.count}
    return Baseline(f"the median of {len(executions)} runs", None, seconds, usual)


def _in_order(all_sides: Iterable[Sides]) -> Iterable[Work]:
    return dict.fromkeys(work for sides in all_sides for work in sides)


def _median(sides: Sequence[Side]) -> Side:
    return Side(
        # Of an even number the lower one: there are no half spans.
        statistics.median_low(each.count for each in sides),
        statistics.median(each.seconds for each in sides),
        statistics.median_low(each.failed for each in sides),
    )


def compare(after: Execution, before: Baseline) -> list[Difference]:
    """Return the work of both: what fails anew first, then by how much its time differs.

    Args:
        after: the execution that is looked at.
        before: what it is compared with.
    """
    left, right = before.sides, _sides(after)
    # In the order in which they were done, for those that differ by the same.
    differences = [
        Difference(work, left.get(work, Side()), right.get(work, Side()))
        for work in dict.fromkeys([*right, *left])
    ]
    return sorted(differences, key=lambda each: (not each.fails_anew, -abs(each.seconds)))


def _sides(execution: Execution) -> Sides:
    spans: dict[Work, list[Span]] = defaultdict(list)
    for _, span in execution.walk():
        spans[_work(execution, span)].append(span)
    return {
        work: Side(
            len(each),
            sum(span.until(execution.end) - span.start for span in each),
            sum(span.status.is_bad for span in each),
        )
        for work, each in spans.items()
    }


def _work(execution: Execution, span: Span) -> Work:
    return execution.process(span).label, span.name
