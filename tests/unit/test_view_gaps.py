"""What a span waited for has a name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from otel_prefect.view.critical_path import critical_path
from otel_prefect.view.execution import Execution, Span, Status
from otel_prefect.view.gaps import named, shares, stages
from tests.support.view import TRACE_ID, execution, span
from tests.unit.test_view_execution import SPANS


def told(made: Execution) -> list[tuple[str, str, float]]:
    return [
        (step.span.name, kind.of(name), step.seconds) for step, kind, name in named(made, critical_path(made))
    ]


def test_before_a_process_it_was_being_started_and_after_it_its_end_was_not_noticed_yet() -> None:
    made = execution(
        span("task", 0, 10, service="flow"),
        span("program", 3, 8, "task", service="ingest"),
        span("read", 4, 8, "program"),
    )
    assert told(made) == [
        ("task", "until ingest began", 3),
        ("program", "", 1),
        ("read", "", 4),
        ("task", "after ingest had ended", 2),
    ]


def test_between_an_attempt_that_failed_and_the_next_it_waited_to_try_again() -> None:
    made = Execution(
        TRACE_ID,
        [
            span("task", 0, 10),
            replace(span("1", 0, 3, "task", status=Status.FAULT), name="attempt"),
            replace(span("2", 5, 10, "task"), name="attempt"),
        ],
    )
    assert told(made) == [
        ("attempt", "", 3),
        ("task", "until attempt was tried again", 2),
        ("attempt", "", 5),
    ]


def test_between_spans_of_its_own_process_it_worked() -> None:
    made = execution(span("task", 0, 10), span("a", 1, 4, "task"), span("b", 5, 10, "task"))
    assert [kind for name, kind, _ in told(made) if name == "task"] == ["", ""]


def test_a_segment_of_the_process_itself_is_no_process_that_is_waited_for() -> None:
    made = execution(span("program", 0, 10, service="job"), span("segment", 3, 8, "program", service="job"))
    assert [kind for _, kind, _ in told(made)] == ["", "", ""]


@given(SPANS)
def test_every_step_is_named(spans: list[Span]) -> None:
    made = Execution(TRACE_ID, spans)
    path = critical_path(made)
    assert [step for step, _, _ in named(made, path)] == path


def test_between_two_attempts_of_a_run_it_waited_to_be_tried_again() -> None:
    attempts = [
        replace(
            span(f"attempt {n}", start, end, "task load", status=Status.FAULT if n == 1 else Status.OK),
            attributes={"prefect.run.type": "attempt"},
        )
        for n, start, end in ((1, 0, 3), (2, 5, 10))
    ]
    made = execution(span("task load", 0, 10), *attempts)
    assert told(made)[1] == ("task load", "until task load was tried again", 2)


def test_time_is_told_by_stage_and_where_there_is_none_by_process() -> None:
    made = execution(
        span("flow", 0, 10, service="sales"),
        replace(span("a", 0, 3, "flow", service="ingest-container"), attributes={"stage": "ingest"}),
        span("read", 1, 2, "a"),
        replace(span("b", 3, 7, "flow", service="other"), attributes={"stage": "ingest"}),
    )
    found = [(each.stage, each.seconds, each.share) for each in stages(made, critical_path(made))]
    assert found == [("ingest", 7, 0.7), ("sales", 3, 0.3)]


@given(SPANS)
def test_stages_and_shares_are_all_of_the_time(spans: list[Span]) -> None:
    made = Execution(TRACE_ID, spans)
    path = critical_path(made)
    whole = pytest.approx(sum(step.seconds for step in path))
    assert sum(each.seconds for each in stages(made, path)) == whole
    assert sum(each.seconds for each in shares(made, path)) == whole
