"""Turns boards into one dashboard of CloudWatch itself, for ``aws cloudwatch put-dashboard``.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from dashboards.cloudwatch import Math
from dashboards.panels import Kind, Unit
from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dashboards.cloudwatch import Search
    from dashboards.panels import Board, Panel

REGION: Final = "us-east-1"
"""What stands in the file; it is the one word to replace for another region."""
_VIEWS: Final = {
    Kind.STAT: "singleValue",
    Kind.LINES: "timeSeries",
    Kind.BARS: "timeSeries",
    Kind.RANKS: "bar",
    Kind.TABLE: "table",
}
_HEADING_HEIGHT: Final = 1
_HEIGHT: Final = 6
_COLUMNS: Final = 24


def body(boards: Iterable[Board]) -> str:
    """Return the body of the dashboard: the panels of all boards, each once."""
    widgets: list[dict[str, Any]] = []
    seen: set[str] = set()
    top = 0
    for board in boards:
        panels = [panel for panel in board.panels() if _says_something(panel) and panel.title not in seen]
        seen |= {panel.title for panel in panels}
        if not panels:
            continue
        widgets.append(_heading(board, top))
        top = _laid_out(panels, top + _HEADING_HEIGHT, widgets)
    content = {"start": "-P7D", "periodOverride": "auto", "widgets": widgets}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _says_something(panel: Panel) -> bool:
    # CloudWatch shows a time as a number.
    return bool(panel.cloudwatch) and panel.cloudwatch_unit is not Unit.FROM_NOW


def _heading(board: Board, top: int) -> dict[str, Any]:
    text = {"markdown": f"## {board.title}\n{board.about}", "background": "transparent"}
    return {"type": "text", "x": 0, "y": top, "width": _COLUMNS, "height": 1, "properties": text}


def _laid_out(panels: list[Panel], top: int, widgets: list[dict[str, Any]]) -> int:
    """Add panels from left to right, then down; return the next free line."""
    left = 0
    for panel in panels:
        if left + panel.width > _COLUMNS:
            left, top = 0, top + _HEIGHT
        place = {"x": left, "y": top, "width": panel.width, "height": _HEIGHT}
        widgets.append({"type": "metric", **place, "properties": _properties(panel)})
        left += panel.width
    return top + _HEIGHT


def _properties(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": panel.title,
        "region": REGION,
        "view": _VIEWS[panel.kind],
        "metrics": [[_query(query)] for query in panel.cloudwatch],
        "period": next((query.period for query in panel.cloudwatch if query.period), 300),
    }
    if panel.kind in (Kind.LINES, Kind.BARS):
        axis: dict[str, Any] = {"label": _AXES[panel.unit], "showUnits": False, "min": 0}
        found |= {"stacked": panel.kind is Kind.BARS, "yAxis": {"left": axis}}
    else:
        found["setPeriodToTimeRange"] = panel.total
    return found


_AXES: Final = {
    Unit.COUNT: "",
    Unit.SHARE: "share",
    Unit.SECONDS: "seconds",
    Unit.BYTES: "bytes",
    Unit.MEBIBYTES: "MiB",
    Unit.USD: "USD",
}


def _query(query: Search | Math) -> dict[str, Any]:
    if isinstance(query, Math):
        expression, label = query.expression, query.label
    else:
        expression = query.expression_of(semconv.ENV_METRIC_NAMESPACE.default)
        label = query.label_of()
    found: dict[str, Any] = {"id": query.id, "expression": expression, "label": label or query.id}
    if query.period is not None:
        found["period"] = query.period
    if query.hidden:
        found["visible"] = False
    return found
