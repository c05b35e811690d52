"""An execution for machines: what the terminal says of it, as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from otel_prefect import ids, semconv
from otel_prefect.view import gaps
from otel_prefect.view.compare import compare
from otel_prefect.view.critical_path import critical_path, seconds_by_span
from otel_prefect.view.failures import failures

if TYPE_CHECKING:
    from otel_prefect.view.compare import Baseline
    from otel_prefect.view.execution import Execution, Span
    from otel_prefect.view.failures import Failure


def summary(execution: Execution, now: float | None = None) -> dict[str, Any]:
    """Return what there is to say; times in seconds since 1970, durations in seconds.

    Args:
        execution: of one trace, with one span at least.
        now: for what is in progress; None: the last time that the trace knows.
    """
    until = execution.until(now)
    path = critical_path(execution, until)
    waited = seconds_by_span(path)
    return {
        "trace_id": execution.trace_id,
        "xray_trace_id": ids.xray_trace_id(int(execution.trace_id, 16)),
        "start": execution.start,
        "seconds": until - execution.start,
        "in_progress": execution.in_progress,
        "missing_parents": sorted(execution.missing_parents),
        "incomplete": execution.incomplete(),
        "failures": [_failure(execution, each) for each in failures(execution)],
        "stages": [asdict(each) for each in gaps.stages(execution, path)],
        "waited_for": [asdict(each) for each in gaps.shares(execution, path)],
        "spans": [
            {
                **_named(execution, span),
                "parent_id": span.parent_id,
                "depth": depth,
                "start": span.start,
                "seconds": None if span.end is None else span.end - span.start,
                "waited_for": round(waited.get(span.id, 0.0), 6),
                "status": span.status.value,
            }
            for depth, span in execution.walk()
        ],
    }


def difference(after: Execution, before: Baseline) -> dict[str, Any]:
    """Return how an execution differs from what it is compared with; durations in seconds.

    Args:
        after: the execution that is looked at.
        before: what it is compared with.
    """
    return {
        "run": after.name,
        "seconds": after.end - after.start,
        "compared_with": before.name,
        "compared_seconds": before.seconds,
        "differences": [
            {
                "process": each.work[0],
                "name": each.work[1],
                "seconds": each.seconds,
                "fails_anew": each.fails_anew,
                "before": asdict(each.before),
                "after": asdict(each.after),
            }
            for each in compare(after, before)
        ],
    }


def _named(execution: Execution, span: Span) -> dict[str, Any]:
    process = execution.process(span)
    return {
        "id": span.id,
        "name": span.name,
        "process": process.service,
        "source": process.attributes.get(semconv.SOURCE),
        "stage": process.attributes.get(semconv.STAGE),
    }


def _failure(execution: Execution, failure: Failure) -> dict[str, Any]:
    return {
        **_named(execution, failure.span),
        "said": failure.said,
        "count": failure.count,
        "recovered": failure.recovered,
        "closed_by_the_sidecar": failure.was_killed,
        "exceptions": [
            {"type": each.type, "message": each.message, "stack": list(each.stack)}
            for each in failure.span.exceptions
        ],
    }
