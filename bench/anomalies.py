"""How well the shipped rules find what is unusual: precision and recall on a labelled synthetic year.

``python -m bench.anomalies`` writes ``bench/ANOMALIES.md``. A year of loads is made (trend, weekdays,
month's ends, holidays of two calendars, noise with heavy tails, level shifts, faults), given to a real
Prometheus as blocks, and the recording rules of ``otel_prefect.alerts.anomalies`` are evaluated in their
order, once a day at noon. The figures are of seeds that nothing was tuned with.
"""

from __future__ import annotations

import argparse
import math
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demo import prometheus
from demo.processes import Processes
from otel_prefect import prometheus_names, semconv
from otel_prefect.alerts import anomalies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from demo.prometheus import Prometheus
    from otel_prefect.alerts.declared import Recorded

RESULTS: Final = Path(__file__).with_name("ANOMALIES.md")
SEEDS: Final = (101, 102, 103)
"""Held out: thresholds were chosen with seeds below 10."""
DAYS: Final = 365
WARM_UP: Final = 56
_DAY: Final = 86_400
_BEGIN: Final = 1_735_689_600  # 1 January 2025, a Wednesday
_LOADED_AT: Final = 3 * 3600
_NOON: Final = 12 * 3600
_TABLES: Final = 12
_HOLIDAYS: Final = ((0, 108, 120, 121, 150, 227, 304, 358, 359), (0, 5, 114, 120, 152, 200, 281, 340, 359))
"""Days of the year, of two countries."""
_REACH: Final = 1
"""Days before and after a fault in which a detection is of it."""


@dataclass(frozen=True)
class Fault:
    """Something that was injected.

    Attributes:
        kind: of it.
        series: (measure, name).
        first: day of the year on which it begins,
        last: and on which it ends.
    """

    kind: str
    series: tuple[str, str]
    first: int
    last: int


@dataclass
class Year:
    """A year of one pipeline.

    Attributes:
        values: by (measure, name): one value a day; None: nothing came.
        faults: that are in them.
    """

    values: dict[tuple[str, str], list[float | None]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def year(seed: int, tables: int = _TABLES) -> Year:
    """Return a year: rows of tables, durations of flows, costs of sources."""
    source = random.Random(seed)  # noqa: S311 - a simulation
    made = Year()
    for number in range(tables):
        for measure in ("rows", "duration", "cost"):
            if measure == "rows" or number % 2 == 0:
                _add(made, source, (measure, f"{measure}-{number}"), number)
    return made


def _add(made: Year, source: random.Random, series: tuple[str, str], number: int) -> None:
    """Add a series and its faults."""
    level = 10 ** source.uniform(1.5, 6)
    trend = source.uniform(-0.1, 0.8)  # in a year
    weekdays = [source.uniform(0.8, 1.2) for _ in range(5)] + [source.uniform(0.3, 0.8) for _ in range(2)]
    noise = source.uniform(0.03, 0.1)
    holidays = _HOLIDAYS[number % 2]
    values: list[float | None] = []
    for day in range(DAYS):
        value = level * (1 + trend * day / DAYS) * weekdays[day % 7]
        value *= math.exp(noise * _heavy_tailed(source))
        if series[0] == "rows" and day in holidays:
            value *= source.uniform(0.2, 0.5)
        if series[0] == "rows" and number % 3 == 0 and _ends_a_month(day):
            value *= 1.8
        values.append(value)
    made.values[series] = values
    _inject(made, source, series)


def _heavy_tailed(source: random.Random) -> float:
    """Return noise of Student's distribution with five degrees of freedom."""
    squares = sum(source.gauss(0, 1) ** 2 for _ in range(5))
    return source.gauss(0, 1) / math.sqrt(squares / 5)


def _ends_a_month(day: int) -> bool:
    return day in (30, 58, 89, 119, 150, 180, 211, 242, 272, 303, 333, 364)


_KINDS: Final = {
    "rows": ("missing load", "empty load", "drop", "spike", "double load", "level shift"),
    "duration": ("slow run", "slow run", "level shift", "slow leak"),
    "cost": ("cost spike", "cost spike", "level shift", "slow leak"),
}


def _inject(made: Year, source: random.Random, series: tuple[str, str]) -> None:
    """Put each kind of fault of a measure into a series once, weeks apart."""
    kinds = list(_KINDS[series[0]])
    source.shuffle(kinds)
    room = (DAYS - WARM_UP - 10) // len(kinds)
    for number, kind in enumerate(kinds):
        first = WARM_UP + number * room + source.randrange(max(room - 30, 1))
        length = {"level shift": DAYS - first, "slow leak": 28}.get(kind, source.choice((1, 1, 1, 2)))
        _FAULTS[kind](made.values[series], source, first, length)
        # A new level is what there is to tell for its first days.
        told = 5 if kind == "level shift" else length
        made.faults.append(Fault(kind, series, first, first + told - 1))


def _scaled(least: float, most: float) -> Any:
    def change(values: list[float | None], source: random.Random, first: int, length: int) -> None:
        factor = source.uniform(least, most)
        for day in range(first, min(first + length, DAYS)):
            values[day] = (values[day] or 0.0) * factor

    return change


def _missing(values: list[float | None], _: random.Random, first: int, length: int) -> None:
    values[first : first + length] = [None] * length


def _leaking(values: list[float | None], _: random.Random, first: int, length: int) -> None:
    for number, day in enumerate(range(first, min(first + length, DAYS))):
        values[day] = (values[day] or 0.0) * (1 + 0.8 * number / length)


_FAULTS: Final = {
    "missing load": _missing,
    "empty load": _scaled(0, 0),
    "drop": _scaled(0.05, 0.5),
    "spike": _scaled(2, 6),
    "double load": _scaled(2, 2),
    "level shift": _scaled(1.7, 2.5),
    "slow run": _scaled(2, 4),
    "cost spike": _scaled(1.8, 4),
    "slow leak": _leaking,
}


def openmetrics(made: Year, seed: int) -> str:
    """Return a year's samples as the pipeline writes them: one a load, run or day, at about three o'clock."""
    source = random.Random(seed)  # noqa: S311 - as above
    lines = []
    for (measure, name), values in made.values.items():
        for day, value in enumerate(values):
            if value is None:
                continue
            at = _BEGIN + day * _DAY + _LOADED_AT + source.randrange(-1200, 1200)
            lines += [f"{series} {amount:.6g} {at}" for series, amount in _samples(measure, name, value)]
    return _file(lines)


def _samples(measure: str, name: str, value: float) -> Iterator[tuple[str, float]]:
    if measure == "rows":
        yield f'{prometheus_names.metric(semconv.METRIC_TABLE_ROWS)}{{table="{name}",source="{name}"}}', value
    elif measure == "cost":
        yield f'{prometheus_names.metric(semconv.METRIC_COST)}{{source="{name}",service="s"}}', value
    else:
        base = prometheus_names.metric(semconv.METRIC_FLOW_RUN_DURATION)
        yield f'{base}_sum{{flow_name="{name}",state="completed"}}', value
        yield f'{base}_count{{flow_name="{name}",state="completed"}}', 1


def detected(made: Year, seed: int, folder: Path) -> dict[tuple[str, str], set[int]]:
    """Evaluate the shipped rules on a year; return the days on which each series was unusual."""
    _make_blocks(openmetrics(made, seed), folder)
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for rules in _stages():
        with Processes(folder / "logs") as processes:
            server = prometheus.start(processes, folder, retention="10y")
            lines = [line for rule in rules for line in _evaluated(rule, server)]
        _make_blocks(_file(lines), folder)
    with Processes(folder / "logs") as processes:
        server = prometheus.start(processes, folder, retention="10y")
        for each in _along(f"{anomalies.DETECTED} == 1", server):
            labels = each["metric"]
            name = labels.get("table") or labels.get("flow_name") or labels["source"]
            found[labels["measure"], name] = {int((float(at) - _BEGIN) // _DAY) for at, _ in each["values"]}
    return found


def _stages() -> Iterator[Sequence[Recorded]]:
    """Give the rules as they can be evaluated together: all of one name."""
    names = list(dict.fromkeys(rule.name for rule in (*anomalies.BASES, *anomalies.STEPS)))
    for name in names:
        yield [rule for rule in (*anomalies.BASES, *anomalies.STEPS) if rule.name == name]


def _evaluated(rule: Recorded, server: Prometheus) -> Iterator[str]:
    for each in _along(rule.expression, server):
        labels = {**each["metric"], **dict(rule.labels)}
        labels.pop("__name__", None)
        inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        for at, value in each["values"]:
            yield f"{rule.name}{{{inside}}} {value} {at}"


def _along(expression: str, server: Prometheus) -> Any:
    asked = {
        "query": expression,
        "start": str(_BEGIN + _NOON),
        "end": str(_BEGIN + (DAYS - 1) * _DAY + _NOON),
        "step": str(_DAY),
    }
    return server.api("query_range", asked)["result"]


def _file(lines: Iterable[str]) -> str:
    """Return samples as a file: those of a series together, in the order of time."""
    by_time = sorted((line.rsplit(" ", 2)[0], int(line.rsplit(" ", 1)[1]), line) for line in lines)
    return "\n".join(line for _, _, line in by_time) + "\n# EOF\n"


def _make_blocks(text: str, folder: Path) -> None:
    file = folder / "samples.txt"
    file.write_text(text)
    tool = str(prometheus.fetch() / "promtool")
    command = [tool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=720h"]
    subprocess.run([*command, str(file), str(folder / "data")], check=True, capture_output=True)


@dataclass
class Score:
    """What was found.

    Attributes:
        found: faults by kind that were told of.
        all: faults by kind.
        right: events that were told of and belong to a fault.
        wrong: those that do not.
    """

    found: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    all: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    right: int = 0
    wrong: int = 0

    @property
    def precision(self) -> float:
        """The part of what was told of that was a fault."""
        return self.right / max(self.right + self.wrong, 1)

    @property
    def recall(self) -> float:
        """The part of the faults that was told of."""
        return sum(self.found.values()) / max(sum(self.all.values()), 1)


def judged(score: Score, made: Year, days: dict[tuple[str, str], set[int]]) -> None:
    """Add a year: an event is a run of days, with a day between them at most."""
    for fault in made.faults:
        score.all[fault.kind] += 1
        near = range(fault.first - _REACH, fault.last + _REACH + 1)
        score.found[fault.kind] += any(day in near for day in days.get(fault.series, ()))
    for series in made.values:
        faults = [fault for fault in made.faults if fault.series == series]
        for first, last in _events(days.get(series, set())):
            right = any(first <= fault.last + _REACH and last >= fault.first - _REACH for fault in faults)
            score.right += right
            score.wrong += not right


def _events(days: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for day in sorted(days):
        if first is None or last is None:
            first = day
        elif day > last + 2:
            yield first, last
            first = day
        last = day
    if first is not None and last is not None:
        yield first, last


def measure(seeds: Iterable[int], tables: int = _TABLES) -> Score:
    """Return the score over some years."""
    score = Score()
    for seed in seeds:
        made = year(seed, tables)
        with tempfile.TemporaryDirectory() as folder:
            judged(score, made, detected(made, seed, Path(folder)))
    return score


def table(score: Score, seeds: Sequence[int]) -> str:
    """Return the page with the results."""
    rows = [
        f"| {kind} | {score.found[kind]} of {total} | {score.found[kind] / total:.0%} |"
        for kind, total in sorted(score.all.items())
    ]
    return (
        "# How well anomalies are found\n\n"
        f"Made by `python -m bench.anomalies`, seeds {', '.join(map(str, seeds))}: {len(seeds)} years of "
        f"{_TABLES} tables, {_TABLES // 2} flows and {_TABLES // 2} sources.\n\n"
        f"**Precision {score.precision:.2f}, recall {score.recall:.2f}**: of "
        f"{score.right + score.wrong} events that were told of, {score.right} were faults; of "
        f"{sum(score.all.values())} faults {sum(score.found.values())} were told of.\n\n"
        "| fault | found | |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.anomalies")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    seeds = parser.parse_args(argv).seeds
    text = table(measure(seeds), seeds)
    sys.stdout.write(text)
    if tuple(seeds) == SEEDS:
        RESULTS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
