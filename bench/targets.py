"""What is to be reached, each with how it is read from the results."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.cases import COLLECTOR, GATE_RATE, SIDECAR
from bench.results import hop_share, middle
from bench.ways import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.measure import Phase
    from bench.results import Results


@dataclass(frozen=True)
class Target:
    """One thing to reach.

    Attributes:
        what: in words.
        limit: that the value is to be under.
        unit: of both.
        read: the value; None where it was not measured.
        inclusive: the limit itself is still reached.
    """

    what: str
    limit: float
    unit: str
    read: Callable[[Results], float | None]
    inclusive: bool = False

    def reached(self, value: float) -> bool:
        """Tell whether a value is within the limit."""
        return value <= self.limit if self.inclusive else value < self.limit


def _hop(spans: int) -> Callable[[Results], float | None]:
    def read(results: Results) -> float | None:
        return _worst(middle(rounds, hop_share) for _, rounds in _gate(results, spans))

    return read


def _lost(results: Results) -> float | None:
    rounds = [phase for phase in results.phases if phase.way == SIDECAR]
    return float(sum(phase.lost for phase in rounds)) if rounds else None


def _added_p99(spans: int) -> Callable[[Results], float | None]:
    def read(results: Results) -> float | None:
        added = []
        for alone, rounds in _gate(results, spans):
            with_hop, without = middle(rounds, lambda p: p.p99), middle(alone, lambda p: p.p99)
            if with_hop is not None and without is not None:
                added.append(with_hop - without)
        return _worst(added)

    return read


def _peak(results: Results, of: Callable[[Phase], float]) -> float | None:
    return _worst(middle(rounds, of) for _, rounds in _gate(results))


def _life(seconds: Callable[[Results], list[float]]) -> Callable[[Results], float | None]:
    def read(results: Results) -> float | None:
        values = seconds(results)
        return statistics.median(values) if values else None

    return read


def _gate(results: Results, spans: int | None = None) -> list[tuple[list[Phase], list[Phase]]]:
    """Return, of every case with X-Ray out, the rounds of the Collector alone and of the sidecar."""
    cases = {p.case: None for p in results.phases if p.case.layer == "xray" and spans in (None, p.case.spans)}
    return [
        (results.rounds(case, COLLECTOR, GATE_RATE), results.rounds(case, SIDECAR, GATE_RATE))
        for case in cases
    ]


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _growth(results: Results) -> float | None:
    ratios = [after / before for before, _, after in (each.cpu for each in results.many_runs)]
    return statistics.median(ratios) if ratios else None


# Where several cases speak of one target, that of the two protocols with the worse median counts.
TARGETS: Final = (
    Target("hop's part of the whole CPU, X-Ray out, 512 spans a request", 8, "%", _hop(512), inclusive=True),
    Target("the same, 50 spans a request", 35, "%", _hop(50), inclusive=True),
    Target("spans lost, all cases of the sidecar", 0, "spans", _lost, inclusive=True),
    Target("added p99 at 10,000 spans/s, 512 spans a request", 5, "ms", _added_p99(512)),
    Target("the same, 50 spans a request", 5, "ms", _added_p99(50)),
    Target(
        "peak RSS of the sidecar's Python at that rate",
        48,
        "MB",
        lambda r: _peak(r, lambda p: p.peak[PYTHON]),
    ),
    Target(
        "peak RSS of both processes at that rate",
        140,
        "MB",
        lambda r: _peak(r, lambda p: sum(p.peak.values())),
    ),
    Target(
        "from start to healthy",
        1.5,
        "s",
        _life(lambda r: [each.start_seconds for each in r.lives_of(SIDECAR)]),
    ),
    Target(
        "drain of an idle task", 1, "s", _life(lambda r: [each.stop_seconds for each in r.lives_of(SIDECAR)])
    ),
    Target("cost of a record after 2,000 runs were seen, to that before", 1.1, "times", _growth),
)
