"""Runs in a file of OTLP in JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources.source import NoTrace, elsewhere, noted
from otel_prefect.view import otlp_json

if TYPE_CHECKING:
    from pathlib import Path

    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

_MOST_NAMED: Final = 5


@dataclass(frozen=True)
class File:
    """A file of OTLP in JSON.

    Attributes:
        path: of it.
    """

    path: Path

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.path)

    def execution(self, trace_id: str, since: float) -> Execution:  # noqa: ARG002 - it needs no time
        """Return what the file has of a trace."""
        try:
            found = otlp_json.read(self.path.read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            raise CommandError(f"{self.path}: cannot be read: {error.strerror}") from error
        execution = found.execution(trace_id)
        if not execution.spans:
            others = ", ".join(sorted(found.traces)[:_MOST_NAMED]) or "none"
            raise NoTrace(f"{self.path}: has no spans of trace {trace_id}; of these it has: {others}")
        return noted(execution, found.odd)

    def when(self, trace_id: str, since: float) -> tuple[float, float]:  # noqa: ARG002 - it has no lines
        """Return no time."""
        return 0.0, 0.0

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:  # noqa: ARG002 - as above
        """Return nothing: a file has spans only."""
        return [], ""

    def places(self, trace_id: str, start: float, end: float) -> dict[str, str]:
        """Return links to Prefect and what else is configured."""
        return elsewhere(trace_id, start, end)
