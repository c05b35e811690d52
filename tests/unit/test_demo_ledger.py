"""Lost is what was taken and did not arrive, and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from demo.ledger import Ledger, at_the_door
from demo.witness import LogKey, Witness

RECORDS = st.dictionaries(st.text(max_size=3), st.integers(1, 5), max_size=8)


@given(RECORDS)
def test_nothing_is_lost_where_all_arrived(records: dict[str, int]) -> None:
    ledger = Ledger()
    ledger.compare("there", records, records)
    assert (ledger.lost, ledger.duplicates) == (0, 0)


@given(RECORDS, st.data())
def test_each_record_that_did_not_arrive_is_lost_and_named(records: dict[str, int], data: Any) -> None:
    arrived = {name: data.draw(st.integers(0, count)) for name, count in records.items()}
    ledger = Ledger()
    ledger.compare("there", records, arrived)
    assert ledger.lost == sum(records.values()) - sum(arrived.values())
    assert ledger.missing["there"] == Counter(records) - Counter(arrived)
    assert ledger.duplicates == 0


@given(RECORDS, RECORDS)
def test_what_is_there_too_often_does_not_make_up_for_what_is_missing(
    records: dict[str, int], others: dict[str, int]
) -> None:
    ledger = Ledger()
    ledger.compare("there", {"missing": 1}, {f"other {name}": count for name, count in others.items()})
    ledger.compare("here", records, {name: count + 1 for name, count in records.items()})
    assert ledger.lost == 1
    assert ledger.duplicates == sum(others.values()) + len(records)


def test_more_than_was_expected_is_no_fault() -> None:
    ledger = Ledger()
    ledger.expect("processes", {"ingest": 3, "dbt": 1}, {"ingest": 2, "dbt": 2, "flow": 1})
    assert ledger.missing["processes"] == Counter({"ingest": 1})
    assert (ledger.lost, ledger.duplicates) == (1, 0)


def witness() -> Witness:
    # Two spans, one of them told of in progress before.
    logs = Counter({LogKey("flow", "hello", ""): 2})
    return Witness(spans={"a": "flow", "b": "flow"}, in_progress=1, logs=logs)


def test_what_the_sidecar_accepted_and_its_collector_never_took_is_lost() -> None:
    ledger = Ledger()
    at_the_door(ledger, {"accepted": {"traces": 3, "logs": 2}}, witness())
    assert ledger.lost == 0
    at_the_door(ledger, {"accepted": {"traces": 5, "logs": 3}}, witness())
    assert ledger.lost == 3


def test_a_span_that_came_twice_is_a_duplicate_at_the_door() -> None:
    seen = witness()
    seen.repeated = 1
    ledger = Ledger()
    at_the_door(ledger, {"accepted": {"traces": 3, "logs": 2}}, seen)
    assert (ledger.lost, ledger.duplicates) == (0, 1)
