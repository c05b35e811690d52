from __future__ import annotations

from dataclasses import replace

from otel_prefect.view.attempts import attempts
from otel_prefect.view.execution import Span, Status
from tests.support.view import execution, span


def tried(id_: str, start: float, *, failed: bool) -> Span:
    status = Status.FAULT if failed else Status.OK
    return replace(span(id_, start, start + 1, "flow", service="ingest", status=status), name="ingest")


def test_what_began_again_after_it_had_failed_is_an_attempt() -> None:
    run = execution(
        span("flow", 0, 10),
        tried("a", 0, failed=True),
        tried("b", 2, failed=True),
        tried("c", 5, failed=False),
    )
    assert attempts(run) == {"a": (1, 3), "b": (2, 3), "c": (3, 3)}


def test_what_is_done_again_after_it_went_well_is_none() -> None:
    run = execution(span("flow", 0, 10), tried("a", 0, failed=False), tried("b", 2, failed=True))
    assert attempts(run) == {}


def test_what_runs_at_the_same_time_is_none() -> None:
    run = execution(span("flow", 0, 10), tried("a", 0, failed=True), tried("b", 0.5, failed=True))
    assert attempts(run) == {}


def test_what_is_below_another_span_or_has_another_name_is_none() -> None:
    other = replace(tried("b", 2, failed=False), name="load")
    run = execution(span("flow", 0, 10), tried("a", 0, failed=True), other, span("d", 3, 4, "a"))
    assert attempts(run) == {}
