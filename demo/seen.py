"""The run as ``otel-prefect trace`` shows it, read by what that command reads with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_prefect import ids, semconv
from otel_prefect.view import log_lines, xray
from otel_prefect.view.critical_path import critical_path
from otel_prefect.view.page import html
from otel_prefect.view.terminal import style
from otel_prefect.view.terminal.show import show
from otel_prefect.view.terminal.waterfall import waterfall

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from demo.aws import Aws
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line


@dataclass(frozen=True)
class Seen:
    """A run.

    Attributes:
        execution: from X-Ray.
        lines: of its log, from CloudWatch Logs.
        page: the page that was written of it.
    """

    execution: Execution
    lines: list[Line]
    page: Path

    def waterfall(self) -> RenderableType:
        """Return its spans to scale."""
        return waterfall(self.execution, critical_path(self.execution), self.execution.end)

    def whole(self) -> RenderableType:
        """Return what somebody sees who asks for the run."""
        return show(self.execution, self.lines)

    def colours(self) -> dict[str, str]:
        """Return the colours of its processes by their services, in the order in which they began."""
        by_id = style.colours(self.execution)
        return {str(each.service): by_id[each.id] for each in self.execution.processes()}


def see(aws: Aws, flow_run_id: str, page: Path) -> Seen:
    """Read a run, and write its page.

    Args:
        aws: the stand-in that has it.
        flow_run_id: a UUID.
        page: the file that is written.
    """
    trace_id = ids.trace_id_of(flow_run_id)
    execution, _ = xray.execution(aws.client("xray"), ids.xray_trace_id(int(trace_id, 16)))
    group, now = semconv.ENV_LOG_GROUP.default, time.time()
    lines, _ = log_lines.of_cloudwatch(aws.client("logs"), group, trace_id, execution.start - 60, now)
    page.write_text(html.page(execution, lines), encoding="utf-8")
    return Seen(execution, lines, page)
