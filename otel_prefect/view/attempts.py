"""Which spans are attempts at the same: of one name, below one span, each after one that failed.

Attempts of flow and task runs have spans that say so by their names (``attempt 2``); these are the programs
and jobs that such a run starts anew, and whatever else somebody tries again.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_prefect.view.execution import Execution, Span


def attempts(execution: Execution) -> dict[str, tuple[int, int]]:
    """Return by a span's id which attempt it is, from 1, and of how many; what was tried once is not there.

    Args:
        execution: of one trace.
    """
    found: dict[str, tuple[int, int]] = {}
    for _, parent in execution.walk():
        alike: dict[tuple[str, str | None], list[Span]] = defaultdict(list)
        for child in execution.children(parent):
            alike[child.name, child.service].append(child)
        for spans in alike.values():
            if len(spans) > 1 and _each_after_one_that_failed(spans):
                found |= {span.id: (number, len(spans)) for number, span in enumerate(spans, 1)}
    return found


def _each_after_one_that_failed(spans: Sequence[Span]) -> bool:
    return all(
        before.status.is_bad and before.until(before.start) <= after.start
        for before, after in pairwise(spans)
    )
