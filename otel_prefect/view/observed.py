"""What a run's trace and log say of it in a row: where it failed, how much it sent, and what that costs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_prefect import semconv
from otel_prefect.view.failures import failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

DOLLARS_PER_TRACE: Final = 5.0 / 1_000_000
"""What X-Ray takes for a trace that is recorded: https://aws.amazon.com/cloudwatch/pricing/, us-east-1."""
DOLLARS_PER_GIGABYTE: Final = 0.5
"""What CloudWatch Logs takes for what it ingests, as above."""
_GIGABYTE: Final = 2**30


@dataclass(frozen=True)
class Observed:
    """What there is of a run.

    Attributes:
        failed_in: process, source and span that failed first and for good; empty where none did.
        sources: of its processes.
        spans: how many.
        lines: of its log.
        log_bytes: of these, as JSON.
        dollars: for one trace and for its log.
    """

    failed_in: str
    sources: tuple[str, ...]
    spans: int
    lines: int
    log_bytes: int
    dollars: float


def observed(
    execution: Execution, lines: Sequence[Line], dollars_per_gigabyte: float = DOLLARS_PER_GIGABYTE
) -> Observed:
    """Return what a trace and a log say.

    Args:
        execution: of one trace.
        lines: its log.
        dollars_per_gigabyte: of log, in the region.
    """
    lasting = [failure for failure in failures(execution) if not failure.recovered]
    failed = lasting[0].span if lasting else None
    size = sum(len(json.dumps(dict(line.fields), ensure_ascii=False).encode()) for line in lines)
    sources = {process.attributes.get(semconv.SOURCE) for process in execution.processes()}
    return Observed(
        failed_in="" if failed is None else f"{execution.process(failed).label} ▸ {failed.name}",
        sources=tuple(sorted(str(source) for source in sources if source)),
        spans=len(execution.spans),
        lines=len(lines),
        log_bytes=size,
        dollars=DOLLARS_PER_TRACE + size / _GIGABYTE * dollars_per_gigabyte,
    )
