"""What an execution's time went into: at each moment one span, that which was waited for.

From the end of a span backwards: the child that ended last was waited for; where that began, the one that
ended last of those that had begun before; and what no child covers is the span's own. A child that runs on
after its parent has ended is not waited for.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_prefect.view.execution import Execution, Span


@dataclass(frozen=True)
class Step:
    """A stretch of the critical path.

    Attributes:
        span: whose own time it is.
        start: seconds since 1970.
        end: the same.
    """

    span: Span
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def critical_path(execution: Execution, now: float | None = None) -> list[Step]:
    """Return the critical path, by time; its steps do not overlap.

    Args:
        execution: of one trace.
        now: in seconds since 1970, for what is in progress; None: the last time that the trace knows.

    Returns:
        Steps from the start of the first root to its end; those of other roots that come before or after are
        not of it. Empty where there are no spans.
    """
    if not execution.spans:
        return []
    until = execution.end if now is None else now
    root = execution.first
    steps: list[Step] = []
    waiting = [(root, root.start, root.until(until))]
    while waiting:
        span, start, end = waiting.pop()
        cursor = end
        for child in _by_end(execution.children(span), until):
            child_end = min(child.until(until), cursor)
            if child.until(until) > end or child.start >= child_end or child_end <= start:
                continue
            if child_end < cursor:
                steps.append(Step(span, child_end, cursor))
            cursor = max(child.start, start)
            waiting.append((child, cursor, child_end))
        if start < cursor:
            steps.append(Step(span, start, cursor))
    return sorted(steps, key=lambda step: step.start)


def seconds_by_span(path: Iterable[Step]) -> dict[str, float]:
    """Return how long each span of a critical path was waited for, by its id."""
    seconds: dict[str, float] = defaultdict(float)
    for step in path:
        seconds[step.span.id] += step.seconds
    return seconds


def _by_end(children: Sequence[Span], until: float) -> list[Span]:
    """Return children, the last to end first; of two, that which began first."""
    return sorted(children, key=lambda child: (-child.until(until), child.start))
