"""The critical path: at each moment one span, that which was waited for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given

from otel_prefect.view.critical_path import critical_path
from otel_prefect.view.execution import Execution, Span
from tests.support.view import TRACE_ID, execution, span
from tests.unit.test_view_execution import SPANS


def path(made: Execution, now: float | None = None) -> list[tuple[str, float, float]]:
    return [(step.span.name, step.start, step.end) for step in critical_path(made, now)]


def test_one_after_another_and_what_is_between_is_the_parents() -> None:
    made = execution(span("flow", 0, 10), span("a", 1, 4, "flow"), span("b", 5, 9, "flow"))
    assert path(made) == [("flow", 0, 1), ("a", 1, 4), ("flow", 4, 5), ("b", 5, 9), ("flow", 9, 10)]


def test_of_those_side_by_side_the_last_to_end_is_waited_for() -> None:
    made = execution(
        span("flow", 0, 10), span("fast", 1, 3, "flow"), span("slow", 1, 9, "flow"), span("in", 2, 8, "slow")
    )
    assert path(made) == [("flow", 0, 1), ("slow", 1, 2), ("in", 2, 8), ("slow", 8, 9), ("flow", 9, 10)]


def test_where_the_last_to_end_began_another_that_was_running_takes_over() -> None:
    made = execution(span("flow", 0, 10), span("a", 1, 8, "flow"), span("b", 5, 9, "flow"))
    assert path(made) == [("flow", 0, 1), ("a", 1, 5), ("b", 5, 9), ("flow", 9, 10)]


def test_what_runs_on_after_its_parent_is_not_waited_for() -> None:
    made = execution(span("flow", 0, 10), span("a", 1, 4, "flow"), span("background", 2, 15, "flow"))
    assert path(made) == [("flow", 0, 1), ("a", 1, 4), ("flow", 4, 10)]


def test_what_is_in_progress_lasts_until_now() -> None:
    made = execution(span("flow", 0, None), span("a", 1, 4, "flow"), span("b", 4, None, "flow"))
    assert path(made, now=20) == [("flow", 0, 1), ("a", 1, 4), ("b", 4, 20)]


def test_the_longest_root_is_the_execution() -> None:
    assert path(execution(span("lost", 0, 1, "nobody"), span("flow", 0, 9))) == [("flow", 0, 9)]


def test_an_execution_without_spans_has_none() -> None:
    assert path(execution()) == []


@given(SPANS)
def test_steps_follow_each_other_from_the_roots_start_to_its_end(spans: list[Span]) -> None:
    made = Execution(TRACE_ID, spans)
    steps = critical_path(made)
    for before, after in pairwise(steps):
        assert before.end == after.start
    for step in steps:
        assert step.end > step.start
    if steps:
        longest = max(root.until(made.end) - root.start for root in made.roots())
        assert steps[-1].end - steps[0].start == pytest.approx(longest)
