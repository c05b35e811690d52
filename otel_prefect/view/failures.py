"""What failed first: of all the spans that say so, those that have it from nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_prefect import semconv
from otel_prefect.view.execution import Status

if TYPE_CHECKING:
    from otel_prefect.view.execution import Execution, Span


@dataclass(frozen=True)
class Failure:
    """Spans that failed in the same way.

    Attributes:
        span: the last of them.
        count: how many there are: attempts, or the same in several processes.
        recovered: whether what they were done for ended well all the same.
    """

    span: Span
    count: int
    recovered: bool

    @property
    def said(self) -> str:
        """What it failed with, in a line."""
        if self.span.exceptions:
            last = self.span.exceptions[0]
            kind = last.type.rpartition(".")[2]
            return f"{kind}: {last.message}" if last.message else kind
        code = self.span.attributes.get(semconv.PROCESS_EXIT_CODE)
        if code:
            return f"exit code {code}"
        state = self.span.attributes.get(semconv.PREFECT_STATE_NAME)
        return str(state or self.span.status.value)

    @property
    def was_killed(self) -> bool:
        """Whether the process could not end the span itself, and the sidecar did."""
        return self.span.attributes.get(semconv.CLOSED_BY) is not None


def failures(execution: Execution) -> list[Failure]:
    """Return what failed first, the unrecovered before the recovered, each by the time of its end.

    Args:
        execution: of one trace.
    """
    bad = {span.id for span in execution.spans.values() if span.status.is_bad}
    has_bad_below: set[str] = set()
    for _, span in reversed(list(execution.walk())):
        above = execution.above(span)
        if (span.id in bad or span.id in has_bad_below) and above is not None:
            has_bad_below.add(above.id)
    first = [span for span in execution.spans.values() if span.id in bad and span.id not in has_bad_below]
    alike: dict[tuple[str, ...], list[Span]] = {}
    for span in sorted(first, key=lambda each: each.until(each.start)):
        alike.setdefault(_likeness(execution, span), []).append(span)
    found = [
        Failure(spans[-1], len(spans), all(_is_recovered(execution, span) for span in spans))
        for spans in alike.values()
    ]
    return sorted(found, key=lambda failure: (failure.recovered, failure.span.until(failure.span.start)))


def _likeness(execution: Execution, span: Span) -> tuple[str, ...]:
    process = execution.process(span)
    caught = [(each.type, each.message) for each in span.exceptions[:1]]
    source = str(process.attributes.get(semconv.SOURCE, ""))
    return (process.service or "", source, span.name, *(part for pair in caught for part in pair))


def _is_recovered(execution: Execution, span: Span) -> bool:
    """Tell whether a span above it ended well: a run that was tried again, code that caught it."""
    above = execution.above(span)
    seen = {span.id}
    while above is not None and above.id not in seen:
        if above.status is Status.OK:
            return True
        seen.add(above.id)
        above = execution.above(above)
    return False
