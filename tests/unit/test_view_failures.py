"""What failed first is told first."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from otel_prefect import semconv
from otel_prefect.view.execution import Caught, Execution, Span, Status
from otel_prefect.view.failures import failures
from tests.support.view import TRACE_ID, execution, span
from tests.unit.test_view_execution import SPANS

BAD = Status.FAULT


def test_of_spans_that_failed_with_each_other_the_innermost_is_the_cause() -> None:
    made = execution(
        span("flow", 0, 9, status=BAD),
        span("ingest", 1, 8, "flow", status=BAD),
        span("read", 2, 3, "ingest", status=BAD),
        span("check", 2, 3, "ingest"),
    )
    assert [(each.span.name, each.count, each.recovered) for each in failures(made)] == [("read", 1, False)]


def test_attempts_that_failed_alike_are_one_with_their_number() -> None:
    caught = (Caught("botocore.EndpointError", "no route"),)
    attempts = [
        replace(span(f"{n}", n, n + 1, "flow", status=BAD), name="attempt", exceptions=caught)
        for n in range(3)
    ]
    made = Execution(TRACE_ID, [span("flow", 0, 9, status=BAD), *attempts])
    (found,) = failures(made)
    assert (found.count, found.span.id, found.said) == (3, "2", "EndpointError: no route")


def test_what_was_caught_or_tried_again_with_success_is_told_last() -> None:
    made = execution(
        span("flow", 0, 9, status=BAD),
        span("early", 1, 4, "flow"),
        span("caught", 2, 3, "early", status=BAD),
        span("late", 5, 8, "flow", status=BAD),
    )
    assert [(each.span.name, each.recovered) for each in failures(made)] == [
        ("late", False),
        ("caught", True),
    ]


def test_a_program_says_its_exit_code_and_a_killed_one_that_it_was() -> None:
    exited = replace(
        span("dbt", 0, 9, status=BAD), attributes={semconv.PROCESS_EXIT_CODE: 2, semconv.CLOSED_BY: "sidecar"}
    )
    (found,) = failures(Execution(TRACE_ID, [exited]))
    assert (found.said, found.was_killed) == ("exit code 2", True)


@given(SPANS)
def test_where_a_span_is_bad_something_is_told(spans: list[Span]) -> None:
    bad = [replace(each, status=BAD) if n % 2 else each for n, each in enumerate(spans)]
    made = Execution(TRACE_ID, bad)
    has_bad = any(each.status.is_bad for each in made.spans.values())
    in_a_ring = len(made.roots()) > len([s for s in made.spans.values() if s.parent_id not in made.spans])
    if has_bad and not in_a_ring:
        assert failures(made)
    assert all(each.count >= 1 for each in failures(made))


def test_an_attempt_has_its_failure_from_what_was_done_in_it() -> None:
    failed = replace(
        span("attempt 1", 1, 4, "run", status=Status.FAULT), attributes={"prefect.run.type": "attempt"}
    )
    made = execution(
        span("run", 0, 10, status=Status.FAULT),
        failed,
        span("program", 2, 3.9, "run", service="ingest", status=Status.FAULT),
    )
    assert [each.span.name for each in failures(made)] == ["program"]
