"""What a panel is, before it is one of Grafana's or CloudWatch's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dashboards.cloudwatch import Math, Search

OK: Final = "green"
WARN: Final = "orange"
BAD: Final = "red"
PLAIN: Final = "blue"


class Unit(Enum):
    """Units, by Grafana's ids (``@grafana/data``, valueFormats)."""

    COUNT = "short"
    SHARE = "percentunit"
    PERCENT = "percent"
    SECONDS = "s"
    BYTES = "decbytes"
    MEBIBYTES = "mbytes"
    USD = "currencyUSD"
    FROM_NOW = "dateTimeFromNow"
    """Milliseconds since 1970."""
    TEXT = "string"


class Kind(Enum):
    """How a panel looks, by the id of Grafana's plugin; bars are a time series drawn in another way."""

    STAT = "stat"
    LINES = "timeseries"
    BARS = "bars"
    RANKS = "bargauge"
    TABLE = "table"


@dataclass(frozen=True)
class Promql:
    """A query of Prometheus.

    Attributes:
        expression: PromQL with Grafana's variables in it.
        legend: of a series, with ``{{label}}`` in it; the column's title in a table.
        unit: of the column in a table, where it is not the panel's.
        step: the shortest step of a range query, such as ``1d``.
        exemplars: whether the metric has exemplars, which lead to traces.
    """

    expression: str
    legend: str = ""
    unit: Unit | None = None
    step: str | None = None
    exemplars: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel, for both backends.

    Attributes:
        title: what people call it.
        meaning: what the number says and how it is made.
        empty: shown where there is no data: why that may be.
        kind: how it looks.
        unit: of its values.
        prometheus: its queries; several make columns of a table.
        cloudwatch: the same for CloudWatch; none where it cannot say, and ``not_in_cloudwatch`` says why.
        by: the labels that its series have, in the order in which a table shows them.
        thresholds: from which value on it has which colour, rising; the first is for all below.
        width: of 24 columns.
        height: in rows of Grafana's grid.
        total: in CloudWatch, whether a single number is the sum over the range, and not the newest.
        instant: whether Prometheus is asked for the end of the range only (bars and lines are not).
        highest: the end of its scale, where it has one.
        not_in_cloudwatch: why CloudWatch cannot show it.
        cloudwatch_unit: of its values there, where it is not ``unit``.
    """

    title: str
    meaning: str
    empty: str
    kind: Kind
    unit: Unit
    prometheus: tuple[Promql, ...]
    cloudwatch: tuple[Search | Math, ...] = ()
    by: tuple[str, ...] = ()
    thresholds: tuple[tuple[float | None, str], ...] = ((None, PLAIN),)
    width: int = 6
    height: int = 7
    total: bool = False
    highest: float | None = None
    not_in_cloudwatch: str = ""
    cloudwatch_unit: Unit | None = None


@dataclass(frozen=True)
class Section:
    """A row of panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """A dashboard, for both backends.

    Attributes:
        name: of its files, and in its uid.
        title: what people call it.
        about: one or two sentences.
        since: the range that it opens with, such as ``now-24h``.
        sections: its panels, from the top down.
        variables: which of ``flow``, ``source``, ``stage`` it has.
        one_flow: whether ``flow`` is one flow, not any number.
    """

    name: str
    title: str
    about: str
    since: str
    sections: tuple[Section, ...]
    variables: tuple[str, ...] = ("flow", "source", "stage")
    one_flow: bool = False

    def panels(self) -> tuple[Panel, ...]:
        """Return all its panels."""
        return tuple(panel for section in self.sections for panel in section.panels)
