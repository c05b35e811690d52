"""Tells which spans are the first of their processes, where all that they say is the Resource they are of."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_prefect.view.execution import Span


@dataclass(frozen=True)
class Found:
    """A span as it was found.

    Attributes:
        trace_id: 32 hex digits.
        span: without its process.
        resource: attributes of the Resource.
    """

    trace_id: str
    span: Span
    resource: Mapping[str, Any]


def completed(found: Iterable[Found]) -> list[tuple[str, Span]]:
    """Return spans with their trace's id, with the attributes of their Resources, and with services.

    The first span of a process is one whose parent is of another Resource, or not there.

    Args:
        found: all that there is of a trace, or of several.
    """
    all_found = list(found)
    resources = {each.span.id: json.dumps(each.resource, sort_keys=True, default=str) for each in all_found}
    made = []
    for each in all_found:
        is_first = resources.get(each.span.parent_id or "") != resources[each.span.id]
        service = str(each.resource.get("service.name") or "?") if is_first else None
        attributes = {**each.resource, **each.span.attributes}
        made.append((each.trace_id, replace(each.span, service=service, attributes=attributes)))
    return made
