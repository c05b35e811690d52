"""Writes the results as a page."""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING, Final

from bench.cases import (
    AS_MANY,
    ATTRIBUTES,
    CLIENTS,
    COLLECTOR,
    DISTINCT_RUNS,
    GATE_RATE,
    SECONDS,
    SIDECAR,
    WAYS,
)
from bench.results import hop_share, middle, spread, whole_cpu
from bench.targets import TARGETS
from bench.ways import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bench.cases import Plan
    from bench.measure import Phase
    from bench.results import Results


def _requests(spans: int) -> int:
    return int(SECONDS[GATE_RATE] * GATE_RATE) // spans


_HEADS: Final = ("request", "way", "hop µs", "rest µs", "whole µs", "hop %", "p50 ms", "p99 ms", "added")
_HEADS_MEMORY: Final = ("RSS hop MB", "RSS rest MB")
_HEADS_AS_MANY: Final = ("taken/s", "delivered/s", "refused")
_LAYERS: Final = {
    "xray": "X-Ray out (`xray`, the default)",
    "otlp": "OTLP out (`otlp`)",
    "xray-otlp": "X-Ray by its OTLP endpoint (`xray-otlp`)",
}
_HEAD: Final = """\
# What the sidecar costs

Written by `make bench`; not to be edited. All figures are of one run on one machine: compare them with each
other, not with those of another machine.
"""
_READING: Final = f"""\
## How to read it

- A way is started anew for each case and round; the ways of a case take turns (A B C D, A B C D, …). A figure
  is the median of the rounds, with the least and the most in brackets.
- Every way adds the same {len(ATTRIBUTES)} attributes to each Resource. All but rotel have the data in a
  queue on disk before they acknowledge it.
- **CPU** is user and system time of a process from the first request until the last span was at the
  destination, divided by the spans that were acknowledged. Client and destination are not in it: they are
  one program of their own (`bench/load`). *Hop* is the sidecar's Python, *rest* the Collector or rotel;
  *hop %* is the hop's part of the whole.
- **Latency** is from when a request was due, not from when it was sent, to its acknowledgement: what a stall
  delays counts. *Added* is the way's median less that of the Collector alone. At {GATE_RATE:,} spans a
  second a round has {_requests(512)} requests of 512 spans, or {_requests(50)} of 50: of so few, the p99 is
  nearly the slowest.
- **RSS** is the most that was resident, in MB (10⁶ bytes). The two processes need not peak at once.
- **Lost** are spans whose request was acknowledged and that had not come when nothing came any more.
- *As many as are taken*: {CLIENTS} clients, each of which sends when its last request was answered, for
  {SECONDS[AS_MANY]:.1f} s. What is taken faster than it is delivered is on disk meanwhile; *delivered* counts
  until the last had come, which is at least the second for which a queue waits to fill a batch.
- rotel's X-Ray exporter sends 50 segments at a time; a request of many more it acknowledges and drops ("Too
  many batch items split, dropping data"). Its segments have few of a span's attributes and no annotations.
"""


def page(results: Results, plan: Plan, machine: Mapping[str, str], seconds: float) -> str:
    """Return the page in Markdown.

    Args:
        results: what was measured.
        plan: what was to be measured.
        machine: on what.
        seconds: that the run took.
    """
    taken = f"rounds: {plan.rounds}; {seconds / 60:.1f} minutes"
    parts = [
        _HEAD,
        _table(("", ""), [*machine.items(), ("run", taken)]),
        "## Targets\n",
        _targets(results),
        "## Ways\n",
        _table(("way", "what it is"), WAYS.items()),
        *_missing(results),
    ]
    for layer, title in _LAYERS.items():
        rates = dict.fromkeys(rate for case in plan.cases if case.layer == layer for rate in case.rates)
        if rates:
            parts.append(f"## {title}\n")
        for rate in rates:
            parts += _rate(results, plan, layer, rate)
    parts += [*_saved(results, plan), "## Start, rest and end\n", _lives(results)]
    parts += [*_many_runs(results), _READING]
    return "\n".join(parts)


def _targets(results: Results) -> str:
    rows = []
    for target in TARGETS:
        value = target.read(results)
        sign = "≤" if target.inclusive else "<"
        wanted = f"{sign} {target.limit:g} {target.unit}"
        if value is None:
            rows.append((target.what, wanted, "-", "not measured"))
        else:
            verdict = "reached" if target.reached(value) else "**missed**"
            rows.append((target.what, wanted, f"{value:.3g} {target.unit}", verdict))
    return _table(("target", "wanted", "measured", ""), rows)


def _missing(results: Results) -> list[str]:
    if not results.missing:
        return []
    return ["Not measured:\n", *(f"- {way}: {why}" for way, why in results.missing.items()), ""]


def _rate(results: Results, plan: Plan, layer: str, rate: int) -> list[str]:
    speed = f"{rate:,} spans a second" if rate else "As many as are taken"
    head = [*_HEADS, *_HEADS_MEMORY, *(_HEADS_AS_MANY if rate == AS_MANY else ()), "lost of acknowledged"]
    rows = []
    for case in plan.cases:
        if case.layer != layer or rate not in case.rates:
            continue
        base = [phase.p99 for phase in results.rounds(case, COLLECTOR, rate)]
        for way in case.ways:
            rounds = results.rounds(case, way, rate)
            if rounds:
                rows.append((f"{case.spans} {case.protocol}", way, *_cells(rounds, rate, base)))
    return [f"### {speed}\n", _table(head, rows)] if rows else []


def _cells(rounds: list[Phase], rate: int, base: list[float]) -> list[str]:
    def cell(read: Callable[[Phase], float], digits: int) -> str:
        return spread(map(read, rounds), digits)

    has_hop = PYTHON in rounds[0].cpu
    rest = next(role for role in rounds[0].cpu if role != PYTHON)
    p99 = statistics.median(phase.p99 for phase in rounds)
    as_many = [
        cell(lambda p: p.taken, 0),
        cell(lambda p: p.delivered, 0),
        f"{sum(p.refused for p in rounds):,}",
    ]
    lost, acknowledged = sum(p.lost for p in rounds), sum(p.acknowledged for p in rounds)
    twice = sum(p.duplicates for p in rounds)
    return [
        cell(lambda p: p.cpu[PYTHON], 2) if has_hop else "",
        cell(lambda p: p.cpu[rest], 1),
        cell(whole_cpu, 1),
        cell(hop_share, 1) if has_hop else "",
        cell(lambda p: p.p50, 1),
        cell(lambda p: p.p99, 1),
        f"{p99 - statistics.median(base):+.1f}" if base else "",
        cell(lambda p: p.peak[PYTHON], 1) if has_hop else "",
        cell(lambda p: p.peak[rest], 1),
        *(as_many if rate == AS_MANY else ()),
        f"{lost:,} of {acknowledged:,}" + (f"; {twice:,} twice" if twice else ""),
    ]


def _saved(results: Results, plan: Plan) -> list[str]:
    """Compare the two ways into X-Ray: the whole pipeline's CPU, with the sidecar."""
    rows = []
    for case, newer in itertools.product(plan.cases, plan.cases):
        same = (case.protocol, case.spans) == (newer.protocol, newer.spans)
        if same and (case.layer, newer.layer) == ("xray", "xray-otlp"):
            classic = middle(results.rounds(case, SIDECAR, GATE_RATE), whole_cpu)
            by_otlp = middle(results.rounds(newer, SIDECAR, GATE_RATE), whole_cpu)
            if classic and by_otlp:
                saved = f"{100 * (1 - by_otlp / classic):.0f} %"
                rows.append((f"{case.spans} {case.protocol}", f"{classic:.1f}", f"{by_otlp:.1f}", saved))
    head = ("request", "`xray`, whole µs", "`xray-otlp`, whole µs", "saved")
    return (
        [f"## What `xray-otlp` saves at {GATE_RATE:,} spans a second\n", _table(head, rows)] if rows else []
    )


def _lives(results: Results) -> str:
    rows = []
    for way in WAYS:
        lives = results.lives_of(way)
        if lives:
            start = spread((each.start_seconds for each in lives), 2)
            idle = [f"{role} {spread((each.idle[role] for each in lives), 1)}" for role in lives[0].idle]
            stop = spread((each.stop_seconds for each in lives), 2)
            rows.append((way, start, ", ".join(idle), stop))
    return _table(("way", "start until it takes data, s", "RSS idle, MB", "SIGTERM until its end, s"), rows)


def _many_runs(results: Results) -> list[str]:
    names = ("one run", f"{DISTINCT_RUNS:,} runs, each looked up in Prefect's API", "one run again")
    rows = []
    for part, name in enumerate(names):
        cpu = spread((each.cpu[part] for each in results.many_runs), 1)
        rows.append((name, cpu, spread((each.rss[part] for each in results.many_runs), 1)))
    return [
        "## Many runs\n",
        "The sidecar's Python, one after the other in one process, with 10 spans a request.\n",
        _table(("sent", "µs a span", "RSS after, MB"), rows),
    ]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
