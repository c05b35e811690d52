"""The arithmetic of many tasks: the model of a queue, and the page that is made of it."""

from __future__ import annotations

import random

import pytest

from bench import scaling
from bench.scaling import WORKLOADS, Batching


def test_the_tables_in_the_docs_are_current() -> None:
    text = scaling.PAGE.read_text()
    assert scaling.page(text, 10_000) == text, "run `python -m bench.scaling`"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([(0.0, 3), (0.5, 4)], [(1.0, 7)]),
        ([(0.0, 3), (1.2, 4)], [(1.0, 3), (2.2, 4)]),
        ([(0.0, 10)], [(0.0, 10)]),
        ([(0.0, 4), (0.1, 7)], [(0.1, 11)]),
        ([(0.0, 50)], [(0.0, 20), (0.0, 20), (0.0, 10)]),
        ([(0.0, 45)], [(0.0, 20), (0.0, 20), (1.0, 5)]),
        ([], []),
    ],
)
def test_a_queue_fills_a_request_until_it_is_enough_or_its_time_is_up(
    sent: list[tuple[float, int]], expected: list[tuple[float, int]]
) -> None:
    assert list(scaling.requests(iter(sent), 100, Batching(1.0, 10, 20, "items"))) == expected


def test_a_queue_that_counts_bytes_divides_by_them() -> None:
    how = Batching(1.0, 1000, 1000, "bytes")
    assert list(scaling.requests(iter([(0.0, 25)]), 100, how)) == [(0.0, 10), (0.0, 10), (1.0, 5)]


def test_an_sdk_sends_what_came_since_its_last_tick_and_all_of_it() -> None:
    rng = random.Random(7)  # noqa: S311 - the same every time
    sent = list(scaling.emissions(3.0, 1.0, 5.0, 105.0, rng))
    assert all(5 < at <= 105 and count > 0 for at, count in sent)
    assert sum(count for _, count in sent) == pytest.approx(300, rel=0.2)


def test_the_settings_are_read_from_the_layers() -> None:
    assert scaling.batching("traces/xray") == Batching(1.0, 500, 500, "items")
    assert scaling.batching("traces/xray", 10) == Batching(10, 500, 500, "items")
    assert scaling.batching("metrics/cloudwatch-otlp", 60).seconds == 5  # heeds no variable
    assert scaling.batching("logs/cloudwatch-otlp").unit == "bytes"


def test_twice_the_tasks_make_twice_the_requests_and_all_records_arrive() -> None:
    one, two = (scaling.simulate(tasks, WORKLOADS[1]) for tasks in (400, 800))
    for name, load in one.items():
        assert two[name].requests == pytest.approx(2 * load.requests), name
    assert one[scaling.XRAY].records == pytest.approx(400 * WORKLOADS[1].spans, rel=0.1)
    assert one[scaling.XRAY_OTLP].records == pytest.approx(one[scaling.XRAY].records, rel=0.05)
