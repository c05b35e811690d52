"""What the page's scripts are given: an execution in columns, with each text once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.view import gaps
from otel_prefect.view.attempts import attempts
from otel_prefect.view.critical_path import seconds_by_span
from otel_prefect.view.execution import Status
from otel_prefect.view.log_of_processes import with_processes

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from otel_prefect.view.critical_path import Step
    from otel_prefect.view.execution import Execution, Span
    from otel_prefect.view.log_lines import Line

STATUSES: Final = [status.value for status in Status]
_STATUS_NUMBERS: Final = {status: number for number, status in enumerate(Status)}
MOST_LINES: Final = 20_000
"""Of a log: a ticket takes no more, and nobody reads them there."""
_BAD_LEVELS: Final = {"WARN", "WARNING", "ERROR", "FATAL", "CRITICAL"}


@dataclass
class _Table:
    """Values by number, each once."""

    values: list[Any] = field(default_factory=list)
    numbers: dict[Hashable, int] = field(default_factory=dict)

    def number(self, value: Hashable) -> int:
        """Return the number of a value."""
        known = self.numbers.setdefault(value, len(self.values))
        if known == len(self.values):
            self.values.append(value)
        return known


def data(execution: Execution, path: Sequence[Step], lines: Sequence[Line], until: float) -> dict[str, Any]:
    """Return what the scripts draw; times in milliseconds from the start of the execution.

    Args:
        execution: of one trace.
        path: its critical path.
        lines: of its log, by time; see ``kept``.
        until: seconds since 1970, for what is in progress.
    """
    spans = [(depth, span) for depth, span in execution.walk()]
    numbers = {span.id: number for number, (_, span) in enumerate(spans)}
    waited = seconds_by_span(path)
    names, processes, pairs = _Table(), _Table(), _Table()
    columns: dict[str, list[Any]] = defaultdict(list)
    for depth, span in spans:
        process = execution.process(span)
        columns["id"].append(span.id)
        columns["depth"].append(depth)
        columns["name"].append(names.number(span.name))
        columns["process"].append(processes.number(process.label))
        columns["first"].append(numbers[process.id])
        columns["start"].append(_ms(span.start - execution.start))
        columns["took"].append(_ms(span.until(until) - span.start))
        columns["status"].append(_STATUS_NUMBERS[span.status])
        columns["waited"].append(_ms(waited.get(span.id, 0.0)))
        columns["attributes"].append(_attributes(pairs, span, process))
    return {
        "began": execution.start,
        "took": _ms(until - execution.start),
        "names": names.values,
        "processes": processes.values,
        "pairs": pairs.values,
        "statuses": STATUSES,
        "spans": columns,
        "attempts": {numbers[span_id]: which for span_id, which in attempts(execution).items()},
        "exceptions": {
            numbers[span.id]: [
                {"type": e.type, "message": e.message, "stack": e.stack} for e in span.exceptions
            ]
            for _, span in spans
            if span.exceptions
        },
        "steps": [
            [numbers[step.span.id], _ms(step.start - execution.start), _ms(step.seconds), kind.of(waited_for)]
            for step, kind, waited_for in gaps.named(execution, path)
        ],
        "lines": _lines(execution, numbers, lines),
    }


def kept(lines: Sequence[Line], most: int = MOST_LINES) -> list[Line]:
    """Return as many lines as a page takes, by time: warnings and errors, and the last of the others.

    Args:
        lines: by time.
        most: how many.
    """
    if len(lines) <= most:
        return list(lines)
    bad = [number for number, line in enumerate(lines) if line.level.upper() in _BAD_LEVELS][-most:]
    bad_numbers = set(bad)
    others = [number for number in range(len(lines)) if number not in bad_numbers]
    room = most - len(bad)
    return [lines[number] for number in sorted([*bad, *(others[-room:] if room else [])])]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _attributes(pairs: _Table, span: Span, process: Span) -> list[int]:
    """Return the numbers of a span's attributes, without those that are its process's."""
    known: Mapping[str, Any] = {} if span is process else process.attributes
    own = sorted((key, str(value)) for key, value in span.attributes.items() if known.get(key) != value)
    return [pairs.number(pair) for pair in own]


def _lines(execution: Execution, numbers: Mapping[str, int], lines: Sequence[Line]) -> list[list[Any]]:
    """Return lines, each with the span that it was said in, or else the process that said it."""
    return [
        [
            _ms(line.time - execution.start),
            line.level,
            line.message,
            numbers.get(line.span_id or "", -1 if process is None else numbers[process.id]),
        ]
        for line, process in with_processes(execution, lines)
    ]
