"""Runs in a domain of OpenSearch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opensearchpy.exceptions import OpenSearchException

from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources.source import SLACK_SECONDS, NoTrace, elsewhere, noted
from otel_prefect.view import opensearch

if TYPE_CHECKING:
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line


@dataclass(frozen=True)
class OpenSearch:
    """A domain of OpenSearch.

    Attributes:
        client: of it.
    """

    client: Any

    @property
    def name(self) -> str:
        """What people call it."""
        return "OpenSearch"

    def execution(self, trace_id: str, since: float) -> Execution:  # noqa: ARG002 - it needs no time
        """Return what OpenSearch has of a trace."""
        try:
            found, odd = opensearch.execution(self.client, trace_id)
        except OpenSearchException as error:
            raise CommandError(f"OpenSearch, {opensearch.SPANS}: {error}") from error
        if not found.spans:
            raise NoTrace(f"OpenSearch has no spans of trace {trace_id} in {opensearch.SPANS}")
        return noted(found, odd)

    def when(self, trace_id: str, since: float) -> tuple[float, float]:  # noqa: ARG002 - as above
        """Return all of the time: it needs none."""
        return 0.0, math.inf

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:
        """Return what OpenSearch has of a run's log."""
        try:
            found = opensearch.lines(self.client, trace_id)
        except OpenSearchException as error:
            return [], f"no log lines: OpenSearch, {opensearch.LOGS}: {error}"
        return [line for line in found if start - SLACK_SECONDS <= line.time <= end + SLACK_SECONDS], ""

    def places(self, trace_id: str, start: float, end: float) -> dict[str, str]:
        """Return links to Prefect and what else is configured."""
        return elsewhere(trace_id, start, end)
