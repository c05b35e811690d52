"""Compares what was taken with what arrived, record by record, so that 0 lost is a finding."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from demo.witness import Witness


@dataclass
class Ledger:
    """What is missing, and what is there more than once.

    Attributes:
        missing: where → the records that should be there and are not.
        surplus: where → the records that are there more often than they were taken.
    """

    missing: dict[str, Counter[Any]] = field(default_factory=dict)
    surplus: dict[str, Counter[Any]] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """How many records are missing, over all places."""
        return sum(sum(records.values()) for records in self.missing.values())

    @property
    def duplicates(self) -> int:
        """How many records are there too often, over all places."""
        return sum(sum(records.values()) for records in self.surplus.values())

    def compare(self, where: str, taken: Mapping[Any, int], found: Mapping[Any, int]) -> None:
        """Enter the difference between two lists of records.

        Args:
            where: a destination and a signal, for people.
            taken: record → how many times the Collector acknowledged it.
            found: record → how many times the destination returned it.
        """
        self.missing[where] = Counter(taken) - Counter(found)
        self.surplus[where] = Counter(found) - Counter(taken)

    def expect(self, where: str, expected: Mapping[Any, int], found: Mapping[Any, int]) -> None:
        """Enter what should be there at least; more of it is no fault."""
        self.missing[where] = Counter(expected) - Counter(found)

    def compare_counts(self, where: str, sent: int, taken: int) -> None:
        """Enter the difference between two counts of records that have no names.

        Args:
            where: between which two, for people.
            sent: how many the first says it handed on.
            taken: how many the second has.
        """
        record: Hashable = "a record without a name"
        self.compare(where, {record: sent}, {record: taken})


def at_the_door(ledger: Ledger, accounts: Mapping[str, Any], witness: Witness) -> None:
    """Enter what lies between the sidecar's door and the Collector: accepted, but never taken.

    Args:
        ledger: takes the result.
        accounts: the sidecar's line of accounts.
        witness: what the Collector took.
    """
    accepted = accounts["accepted"]
    ledger.compare_counts("sidecar → collector, spans", accepted["traces"], witness.spans_through_sidecar)
    ledger.compare_counts("sidecar → collector, logs", accepted["logs"], sum(witness.logs.values()))
