"""What was read: numbers, each of a declared metric, and what could not be read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_prefect.semconv import Metric

OTHER: Final = "other"
"""What stands for all beyond the largest: a label of each would be a series of each."""


@dataclass(frozen=True)
class Reading:
    """One number.

    Attributes:
        metric: which; of a counter the number is what was added.
        value: in the metric's unit.
        attributes: those that the metric declares.
    """

    metric: Metric
    value: float
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Problem:
    """A call that has not brought what it should.

    Attributes:
        service: of AWS, as boto3 names it.
        reason: one of few: AWS's error code, or a word of ours.
        said: for a person, with what mends it.
    """

    service: str
    reason: str
    said: str


@dataclass
class Readings:
    """All of one reader.

    Attributes:
        numbers: what was read.
        problems: what was not.
    """

    numbers: list[Reading] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def largest(amounts: Mapping[tuple[str, ...], float], most: int) -> dict[tuple[str, ...], float]:
    """Return the largest amounts, by their size whatever their sign, and the others as one.

    Args:
        amounts: by their labels' values.
        most: how many keep their labels.
    """
    ordered = sorted(amounts.items(), key=lambda item: (-abs(item[1]), item[0]))
    kept, others = dict(ordered[:most]), ordered[most:]
    if others:
        rest = (OTHER,) * len(others[0][0])
        kept[rest] = kept.get(rest, 0.0) + sum(value for _, value in others)
    return kept


def together(pairs: Iterable[tuple[tuple[str, ...], float]]) -> dict[tuple[str, ...], float]:
    """Return the sums of amounts with the same labels."""
    sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for labels, value in pairs:
        sums[labels] += value
    return dict(sums)
