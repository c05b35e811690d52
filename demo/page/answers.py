"""Asks a panel's queries as Grafana would: its variables filled in, at the end of the range or along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashboards.panels import Kind
from otel_prefect import prometheus_names

if TYPE_CHECKING:
    from dashboards.panels import Panel, Promql
    from demo.prometheus import Prometheus

_STEPS: Final = 60
_LEAST_STEP: Final = 15.0  # Grafana's own, for a Prometheus that is scraped so often
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Span:
    """A range of time.

    Attributes:
        end: seconds since 1970.
        seconds: its length.
    """

    end: float
    seconds: float

    @property
    def start(self) -> float:
        """Seconds since 1970."""
        return self.end - self.seconds

    def step(self, query: Promql) -> float:
        """Return the seconds between two points of a query along it."""
        least = _LEAST_STEP if query.step is None else int(query.step[:-1]) * _UNITS[query.step[-1]]
        return max(self.seconds / _STEPS, float(least))


@dataclass(frozen=True)
class Series:
    """One of a panel's series.

    Attributes:
        name: its legend.
        labels: its labels.
        points: (seconds since 1970, value); one, where the panel shows the end of the range only.
    """

    name: str
    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


def filled_in(expression: str, span: Span, step: float) -> str:
    """Return a query with Grafana's variables filled in; all flows, sources and stages."""
    for name, value in {
        "$__range": f"{span.seconds:.0f}s",
        "$__interval": f"{step:.0f}s",
        "$flow": ".*",
        "$source": ".*",
        "$stage": ".*",
    }.items():
        expression = expression.replace(name, value)
    return expression


def of(panel: Panel, server: Prometheus, span: Span) -> list[Series]:
    """Return the series of a panel; those that are no numbers are left out.

    Raises:
        urllib.error.HTTPError: Prometheus does not take a query.
    """
    found = []
    for query in panel.prometheus:
        step = span.step(query)
        expression = filled_in(query.expression, span, step)
        if panel.kind in (Kind.LINES, Kind.BARS):
            found += _along(expression, query, server, span, step)
        else:
            found += [
                Series(named(query.legend, labels), labels, ((span.end, value),))
                for labels, value in server.query(expression, at=span.end)
                if value == value  # noqa: PLR0124 - NaN alone is not itself
            ]
    return found


def _along(expression: str, query: Promql, server: Prometheus, span: Span, step: float) -> list[Series]:
    # On whole steps, as Grafana does: each point has what came since the one before it.
    first = span.start - span.start % step + step
    asked = {"query": expression, "start": str(first), "end": str(span.end + step), "step": str(step)}
    found = []
    for each in server.api("query_range", asked)["result"]:
        points = tuple((float(at), float(value)) for at, value in each["values"] if value != "NaN")
        if points:
            found.append(Series(named(query.legend, each["metric"]), each["metric"], points))
    return found


def named(legend: str, labels: dict[str, str]) -> str:
    """Return a legend with a series's labels in it."""
    if not legend or "{{" not in legend:
        return legend
    for label in {*labels, *_labels_in(legend)}:
        legend = legend.replace(f"{{{{{label}}}}}", labels.get(label, ""))
    return " ".join(legend.replace("()", "").split()) or "all"


def _labels_in(legend: str) -> list[str]:
    return [part.partition("}}")[0] for part in legend.split("{{")[1:]]


def columns(panel: Panel) -> list[str]:
    """Return the labels that a table shows, in its order."""
    return [prometheus_names.label(name) for name in panel.by]
