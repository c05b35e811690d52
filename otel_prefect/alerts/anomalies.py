"""What is unusual: rows, bytes, duration and cost against the same weekday of the weeks before, robustly.

Each rule is a step, and its result a series that the next ones use:

- ``base``: what the last 24 hours came to. A table that was loaded in the last nine days and not in these
  is 0.
- ``level``: the median of two weeks of it, so that growth and a new level are taken as they are after some
  days.
- ``shape``: base in parts of the level; ``history``: the same, one to six weeks ago.
- ``usual``: the median of the history, once there are four weeks of it (before, nothing is said);
  ``expected``: usual times level, in rows, bytes, seconds or USD.
- ``deviation``: the natural logarithm of shape to usual: half as much is as far off as twice as much.
- ``spread``: 1.4826 times the median of how far it was off in four weeks, as the standard deviation is from
  the median absolute deviation (https://en.wikipedia.org/wiki/Median_absolute_deviation).
- ``score``: how many spreads the base is off; a spread below ``LEAST_SPREAD`` counts as that.
- ``common``: the part of all series of a measure that is off in the same direction, where three or more
  are: holidays and month's ends.
- ``detected``: 1 where the score is beyond ``THRESHOLD`` and has no common cause, else 0. At the end of a
  month that much is usual which was seen in the five weeks before.

All of it is plain PromQL, for the managed Prometheus too. How well it does: ``bench/anomalies.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_prefect import links, semconv
from otel_prefect.alerts.declared import FLOW, Alert, Group, Level, Recorded
from otel_prefect.prometheus_names import metric

THRESHOLD: Final = 4.5
LEAST_SPREAD: Final = 0.12
LEAST_PART: Final = 0.01
COMMON_SHARE: Final = 0.25
COMMON_LEAST: Final = 3
MONTHS_END_MORE: Final = 1.4
WEEKS: Final = 6
LEAST_WEEKS: Final = 4
PREFIX: Final = "pipeline:anomaly:"
SCORE: Final = f"{PREFIX}score"
DETECTED: Final = f"{PREFIX}detected"
MEASURE: Final = "measure"
_KNOWN: Final = "9d"
_OF_TABLE: Final = f"{semconv.TABLE}, {semconv.SOURCE}"
_OF_FLOW: Final = ", ".join(FLOW)


def _total(of: semconv.Metric) -> str:
    """Return PromQL for what was added to a table in a day; 0 where it is known and nothing was."""
    added, known = (f"sum by ({_OF_TABLE}) (sum_over_time({metric(of)}[{days}]))" for days in ("1d", _KNOWN))
    return f"{added}\nor\n0 * {known}"


def _base(measure: str, expression: str) -> Recorded:
    return Recorded(f"{PREFIX}base", expression, ((MEASURE, measure),))


_DURATION: Final = metric(semconv.METRIC_FLOW_RUN_DURATION)
_COMPLETED: Final = '{state="completed"}'
BASES: Final = (
    _base("rows", _total(semconv.METRIC_TABLE_ROWS)),
    _base("bytes", _total(semconv.METRIC_TABLE_SIZE)),
    _base(
        "duration",
        f"sum by ({_OF_FLOW}) (sum_over_time({_DURATION}_sum{_COMPLETED}[1d]))\n"
        f"/ sum by ({_OF_FLOW}) (sum_over_time({_DURATION}_count{_COMPLETED}[1d]))",
    ),
    _base(
        "cost",
        f"sum by ({semconv.SOURCE}) (last_over_time({metric(semconv.METRIC_COST)}[1d])) > 0",
    ),
)
_AGO: Final = "\nor\n".join(
    f'label_replace(last_over_time({PREFIX}shape[2h] offset {week}w), "week", "{week}", "", "")'
    for week in range(1, WEEKS + 1)
)
_DIRECTIONS: Final = (("low", f"< -{THRESHOLD:g}"), ("high", f"> {THRESHOLD:g}"))
_MONTHS_END: Final = (
    f"{PREFIX}shape < {MONTHS_END_MORE:g} * max_over_time({PREFIX}shape[35d] offset 2d)\n"
    f"    and {SCORE} > 0\n    and on () (day_of_month() == days_in_month() or day_of_month() == 1)"
)


def _detected() -> str:
    beyond = "\n  or\n".join(
        f"  ({SCORE} {limit} unless on ({MEASURE})"
        f' {PREFIX}common{{direction="{direction}"}} > {COMMON_SHARE:g})'
        for direction, limit in _DIRECTIONS
    )
    return f"(\n  (\n{beyond}\n  )\n  unless (\n    {_MONTHS_END}\n  )\n) * 0 + 1\nor\n0 * {SCORE}"


STEPS: Final = (
    Recorded(f"{PREFIX}level", f"quantile_over_time(0.5, {PREFIX}base[14d] offset 1d) > 0"),
    Recorded(f"{PREFIX}shape", f"{PREFIX}base / {PREFIX}level"),
    Recorded(f"{PREFIX}history", _AGO),
    Recorded(
        f"{PREFIX}usual",
        f"(\n  quantile without (week) (0.5, {PREFIX}history)\n"
        f"and\n  count without (week) ({PREFIX}history) >= {LEAST_WEEKS}\n) > 0",
    ),
    Recorded(f"{PREFIX}expected", f"{PREFIX}level * {PREFIX}usual"),
    Recorded(f"{PREFIX}deviation", f"ln(clamp_min({PREFIX}shape / {PREFIX}usual, {LEAST_PART:g}))"),
    Recorded(f"{PREFIX}distance", f"abs({PREFIX}deviation)"),
    Recorded(f"{PREFIX}spread", f"1.4826 * quantile_over_time(0.5, {PREFIX}distance[28d] offset 1d)"),
    Recorded(
        SCORE,
        f"{PREFIX}deviation\n"
        f"/ ({PREFIX}spread > {LEAST_SPREAD:g} or 0 * {PREFIX}deviation + {LEAST_SPREAD:g})",
    ),
    *(
        Recorded(
            f"{PREFIX}common",
            f"(count by ({MEASURE}) ({SCORE} {beyond}) >= {COMMON_LEAST})\n/ count by ({MEASURE}) ({SCORE})",
            (("direction", direction),),
        )
        for direction, beyond in _DIRECTIONS
    ),
    Recorded(DETECTED, _detected()),
)


@dataclass(frozen=True)
class _Of:
    """What an alert is about.

    Attributes:
        measures: regular expression of them.
        labels: that name it.
        named: how it is called in a message.
    """

    measures: str
    labels: tuple[str, ...]
    named: str


def _alert(name: str, level: Level, of: _Of, dashboard: str) -> Alert:
    """Return the alert on some measures; it waits until a load a little early or late no longer matters."""
    joined = f"* on ({MEASURE}, {_OF_TABLE}, {_OF_FLOW}) group_left () ({DETECTED} == 1)"
    way = "{{ if gt $value 0.0 }}above{{ else }}below{{ end }}"
    return Alert(
        name=name,
        level=level,
        expression=f'{SCORE}{{{MEASURE}=~"{of.measures}"}}\n{joined}',
        labels=of.labels,
        summary=f"{of.named}: {{{{ $labels.measure }}}} {way} what is usual",
        description=f"{{{{ $labels.measure }}}} of {of.named} in the last 24 hours are "
        '{{ $value | printf "%.1f" }} robust standard deviations off what is usual on this weekday.',
        dashboard=dashboard,
        hold="2h",
    )


ROWS_UNUSUAL: Final = _alert(
    "RowsUnusual",
    Level.P2,
    _Of("rows|bytes", (semconv.TABLE, semconv.SOURCE), "{{ $labels.table }}"),
    links.DATA_QUALITY,
)
COST_UNUSUAL: Final = _alert(
    "CostUnusual", Level.P3, _Of("cost", (semconv.SOURCE,), "source {{ $labels.source }}"), links.COST
)
DURATION_UNUSUAL: Final = _alert(
    "DurationUnusual", Level.P4, _Of("duration", FLOW, "flow {{ $labels.flow_name }}"), links.FLOW
)
ANOMALIES: Final = Group(
    "otel-prefect-anomalies",
    (ROWS_UNUSUAL, COST_UNUSUAL, DURATION_UNUSUAL),
    (*BASES, *STEPS),
    interval="15m",
)
