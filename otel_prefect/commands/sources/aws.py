"""Runs in X-Ray and CloudWatch Logs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from otel_prefect import ids, links
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources.source import SLACK_SECONDS, NoTrace, elsewhere, noted
from otel_prefect.view import insights, log_lines, transaction_search, xray

if TYPE_CHECKING:
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

_ERRORS: Final = (BotoCoreError, ClientError)
_LOG_ERRORS: Final = (*_ERRORS, insights.Unanswered)
_NOT_FOUND: Final = 404


@dataclass(frozen=True)
class Aws:
    """X-Ray and CloudWatch Logs.

    Attributes:
        session: of boto3.
        group: the log group.
    """

    session: Any
    group: str

    @cached_property
    def _xray(self) -> Any:
        return self.session.client("xray")

    @cached_property
    def _logs(self) -> Any:
        return self.session.client("logs")

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.group} in {self.session.region_name}"

    def execution(self, trace_id: str, since: float) -> Execution:
        """Return what X-Ray has of a trace."""
        named = ids.xray_trace_id(int(trace_id, 16))
        try:
            found = noted(*xray.execution(self._xray, named))
        except _ERRORS as error:
            raise CommandError(f"xray:BatchGetTraces: {error}") from error
        if found.spans:
            return found
        looked = self._searched(trace_id, since)
        if not isinstance(looked, str):
            return looked
        raise NoTrace(
            f"X-Ray in {self.session.region_name} has no trace {named}: it keeps them for 30 days, and takes "
            f"seconds to show a new one{looked}"
        )

    def _searched(self, trace_id: str, since: float) -> Execution | str:
        """Return what Transaction Search has of a trace, or else what is to be said of it."""
        try:
            if not transaction_search.is_on(self._xray):
                return ""
        except _ERRORS as error:
            # An emulator does not know of it.
            if getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode") == _NOT_FOUND:
                return ""
            action = "xray:GetTraceSegmentDestination"
            return f". Whether Transaction Search is on, AWS does not say: {action}: {error}"
        named, refused = ids.xray_trace_id(int(trace_id, 16)), ""
        try:
            found = noted(*transaction_search.retrieved(self._xray, named, since, time.time()))
        except _ERRORS as error:
            refused = f"xray:StartTraceRetrieval, xray:ListRetrievedTraces: {error}; "
        else:
            if found.spans:
                return found
        group = transaction_search.SPANS_GROUP
        try:
            found = noted(*transaction_search.of_log_group(self._logs, trace_id, since, time.time()))
        except _LOG_ERRORS as error:
            raise CommandError(f"{refused}{_refused(error)} on {group}: {error}") from error
        if found.spans:
            return found
        hours = (time.time() - since) / 3600
        return f". Transaction Search is on, and {group} has nothing of it in the last {hours:.0f} hours"

    def when(self, trace_id: str, since: float) -> tuple[float, float]:
        """Return when a run was, or that it was since then."""
        try:
            found = self.execution(trace_id, since)
        except CommandError:
            # No trace, or no permission to see it: its lines may be there all the same.
            return since, time.time()
        return found.start, found.end

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:
        """Return what CloudWatch Logs has of a run."""
        start, end = start - SLACK_SECONDS, end + SLACK_SECONDS
        try:
            lines, left_out = log_lines.of_cloudwatch(self._logs, self.group, trace_id, start, end)
        except _LOG_ERRORS as error:
            return [], f"no log lines: {_refused(error)} on {self.group}: {error}"
        return lines, f"up to {left_out} more log lines of the same second are not here" if left_out else ""

    def places(self, trace_id: str, start: float, end: float) -> dict[str, str]:
        """Return links into AWS's consoles, to Prefect, and to what else is configured."""
        region = self.session.region_name
        consoles = links.of_run(region, self.group, int(trace_id, 16), start, end) if region else {}
        return consoles | elsewhere(trace_id, start, end)


def _refused(error: Exception) -> str:
    """Return the action that CloudWatch Logs has not allowed or done."""
    return f"logs:{error.operation_name if isinstance(error, ClientError) else 'StartQuery'}"
