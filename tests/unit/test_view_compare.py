"""Two executions side by side."""

from __future__ import annotations

import pytest
from hypothesis import given

from otel_prefect.view import compare as comparing
from otel_prefect.view.compare import Difference, Side
from otel_prefect.view.execution import Execution, Span, Status
from tests.support.view import TRACE_ID, execution, span
from tests.unit.test_view_execution import SPANS


def compare(after: Execution, before: Execution) -> list[Difference]:
    return comparing.compare(after, comparing.one(before, "before"))


def test_what_got_slower_or_faster_stands_by_how_much() -> None:
    before = execution(span("flow", 0, 10, service="s"), span("a", 0, 2, "flow"), span("b", 2, 9, "flow"))
    after = execution(span("flow", 0, 12, service="s"), span("a", 0, 7, "flow"), span("b", 7, 11, "flow"))
    found = compare(after, before)
    assert [(each.work, each.seconds) for each in found] == [
        (("s", "a"), 5),
        (("s", "b"), -3),
        (("s", "flow"), 2),
    ]


def test_what_fails_anew_comes_first_and_what_failed_before_does_not() -> None:
    bad = Status.FAULT
    before = execution(span("flow", 0, 10, service="s"), span("old", 0, 9, "flow", status=bad))
    after = execution(
        span("flow", 0, 90, service="s"),
        span("old", 0, 9, "flow", status=bad),
        span("new", 9, 10, "flow", status=bad),
    )
    found = compare(after, before)
    assert [(each.work[1], each.fails_anew) for each in found] == [
        ("new", True),
        ("flow", False),
        ("old", False),
    ]
    assert found[0].before == Side()
    assert found[0].after == Side(1, 1, 1)


def test_spans_of_one_name_are_taken_together() -> None:
    spans = [Span(str(n), "flow", "task", n, n + 1) for n in range(3)]
    after = Execution(TRACE_ID, [span("flow", 0, 9, service="s"), *spans])
    found = {each.work[1]: each for each in compare(after, execution())}
    assert found["task"].after == Side(3, 3, 0)


@given(SPANS, SPANS)
def test_both_ways_it_is_the_same_difference(left: list[Span], right: list[Span]) -> None:
    one, other = Execution(TRACE_ID, left), Execution(TRACE_ID, right)
    there = {each.work: each.seconds for each in compare(one, other)}
    back = {each.work: -each.seconds for each in compare(other, one)}
    assert there == pytest.approx(back)
    assert {each.work for each in compare(one, one)} == {
        each.work for each in compare(one, one) if not each.seconds
    }


def test_of_several_runs_the_median_is_what_is_usual() -> None:
    runs = [
        execution(span("flow", 0, end, service="s"), span("load", 0, load, "flow", status=status))
        for end, load, status in ((10, 2, Status.OK), (30, 20, Status.FAULT), (12, 4, Status.OK))
    ]
    usual = comparing.median(runs)
    assert (usual.name, usual.start, usual.seconds) == ("the median of 3 runs", None, 12)
    assert usual.sides == {("s", "flow"): Side(1, 12, 0), ("s", "load"): Side(1, 4, 0)}


def test_what_most_runs_have_not_is_not_usual() -> None:
    runs = [execution(span("flow", 0, 10, service="s")) for _ in range(2)]
    odd = execution(span("flow", 0, 10, service="s"), span("once", 0, 9, "flow"))
    assert comparing.median([*runs, odd]).sides == {("s", "flow"): Side(1, 10, 0)}


@given(SPANS)
def test_the_median_of_one_run_is_that_run(spans: list[Span]) -> None:
    only = Execution(TRACE_ID, spans)
    assert comparing.median([only]).sides == comparing.one(only, "it").sides
