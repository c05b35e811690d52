"""Which process said a line of a log."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_prefect.view.execution import Execution, Span
    from otel_prefect.view.log_lines import Line

_Known = tuple[str | None, str | None]
"""A service, and a source, or None for any."""


def with_processes(execution: Execution, lines: Sequence[Line]) -> Iterator[tuple[Line, Span | None]]:
    """Yield lines with the first span of the process that said each; None where that cannot be told.

    That is the process of the span in which it was said; of a line outside of spans, or in one that is not
    there, the last process of the line's service, and source where it names one, that had begun by then.

    Args:
        execution: of one trace.
        lines: of its log.
    """
    known: dict[_Known, list[Span]] = defaultdict(list)
    for process in execution.processes():
        for source in {None, process.attributes.get(semconv.SOURCE)}:
            known[process.service, source].append(process)
    for line in lines:
        span = execution.spans.get(line.span_id or "")
        yield line, _by_time(line, known) if span is None else execution.process(span)


def _by_time(line: Line, known: Mapping[_Known, Sequence[Span]]) -> Span | None:
    processes = known.get((line.service, line.fields.get(semconv.SOURCE))) or known.get((line.service, None))
    if not processes:
        return None
    begun = bisect_right(processes, line.time, key=lambda process: process.start)
    return processes[max(begun - 1, 0)]


def by_process(execution: Execution, lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the lines that each process has said, by the id of its first span.

    Args:
        execution: of one trace.
        lines: of its log, by time.
    """
    said: dict[str, list[Line]] = defaultdict(list)
    for line, process in with_processes(execution, lines):
        if process is not None:
            said[process.id].append(line)
    return said


def around(lines: Sequence[Line], time: float, count: int = 10) -> Sequence[Line]:
    """Return the lines about a time: most of those before it, and a few after.

    Args:
        lines: by time.
        time: seconds since 1970.
        count: how many lines at most.
    """
    after = bisect_right(lines, time, key=lambda line: line.time)
    last = min(len(lines), max(after + count // 4, count))
    return lines[max(0, last - count) : last]
