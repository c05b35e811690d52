"""Runs in a domain of OpenSearch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opensearchpy.exceptions import OpenSearchException

from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources.source import NoTrace, prefect
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

    def execution(self, trace_id: str, since: float) -> tuple[Execution, int]:  # noqa: ARG002 - it needs no time
        """Return what OpenSearch has of a trace."""
        try:
            found, odd = opensearch.execution(self.client, trace_id)
        except OpenSearchException as error:
            raise CommandError(f"OpenSearch, {opensearch.SPANS}: {error}") from error
        if not found.spans:
            raise NoTrace(f"OpenSearch has no spans of trace {trace_id} in {opensearch.SPANS}")
        return found, odd

    def lines(
        self,
        trace_id: str,
        since: float,  # noqa: ARG002 - as above
        execution: Execution | None,  # noqa: ARG002 - as above
    ) -> tuple[list[Line], str]:
        """Return what OpenSearch has of a run's log."""
        try:
            return opensearch.lines(self.client, trace_id), ""
        except OpenSearchException as error:
            return [], f"OpenSearch, {opensearch.LOGS}: {error}"

    def places(self, execution: Execution) -> dict[str, str]:
        """Return a link to Prefect."""
        return prefect(execution)
