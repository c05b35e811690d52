"""What was measured in one run, and the arithmetic on it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.ways import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.cases import Case
    from bench.measure import Life, ManyRuns, Phase


@dataclass
class Results:
    """One run.

    Attributes:
        phases: of all rounds.
        lives: of all ways.
        many_runs: of the sidecar.
        missing: the ways, or parts of them, that could not be measured, and why.
    """

    phases: list[Phase] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    many_runs: list[ManyRuns] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def rounds(self, case: Case, way: str, rate: int) -> list[Phase]:
        """Return the rounds of one rate of a case through a way."""
        return [p for p in self.phases if (p.case, p.way, p.rate) == (case, way, rate)]

    def lives_of(self, way: str) -> list[Life]:
        """Return the lives of a way."""
        return [each for each in self.lives if each.way == way]


def middle(rounds: Iterable[Phase], read: Callable[[Phase], float]) -> float | None:
    """Return the median of what is read from each round; None where there is no round."""
    values = [read(each) for each in rounds]
    return statistics.median(values) if values else None


def whole_cpu(phase: Phase) -> float:
    """Return µs a span of all processes of the way."""
    return sum(phase.cpu.values())


def hop_share(phase: Phase) -> float:
    """Return which part of the whole pipeline's CPU the sidecar's Python is, in %; 0 where there is none."""
    return 100 * phase.cpu.get(PYTHON, 0.0) / whole_cpu(phase)


def spread(values: Iterable[float], digits: int) -> str:
    """Return ``median (least … most)``; the median alone of one value, a hyphen of none."""
    known = list(values)
    if not known:
        return "-"
    median = f"{statistics.median(known):,.{digits}f}"
    if len(known) == 1:
        return median
    return f"{median} ({min(known):,.{digits}f} … {max(known):,.{digits}f})"
