"""What failed first, each with its exception and the log around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from otel_prefect.view.log_of_processes import around, by_process
from otel_prefect.view.terminal.style import BAD, log, process_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from otel_prefect.view.execution import Execution
    from otel_prefect.view.failures import Failure
    from otel_prefect.view.log_lines import Line

_MOST_FAILURES: Final = 5
_MOST_FRAMES: Final = 4


def failed(execution: Execution, found: Sequence[Failure], lines: Sequence[Line]) -> Iterator[RenderableType]:
    """Yield what failed.

    Args:
        execution: of one trace.
        found: its failures.
        lines: its log, by time.
    """
    said = by_process(execution, lines)
    for number, failure in enumerate(found[:_MOST_FAILURES]):
        if number:
            yield Text()
        yield _failure(execution, failure)
        if not failure.recovered:
            span = failure.span
            own = said.get(execution.process(span).id, ())
            near = around(own, span.until(execution.end))
            if near:
                yield log(near)
    if len(found) > _MOST_FAILURES:
        yield Text(f"and {len(found) - _MOST_FAILURES} more", style="dim")


def _failure(execution: Execution, failure: Failure) -> Text:
    span = failure.span
    text = Text.assemble(
        *process_name(execution.process(span)), (" ▸ ", "dim"), span.name, "  ", (failure.said, BAD)
    )
    if failure.count > 1:
        text.append(f"  {failure.count} times", "bold")
    if failure.was_killed:
        text.append("  closed by the sidecar", "yellow")
    if failure.recovered:
        text.append("  recovered", "green")
    for caught in span.exceptions[:1]:
        for frame in caught.stack[-_MOST_FRAMES:]:
            text.append(f"\n    {frame}", "dim")
    return text
