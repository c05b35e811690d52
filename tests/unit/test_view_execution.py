"""An execution is a tree, whatever its spans say of their parents."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from otel_prefect.view.execution import Execution, Span, Status
from tests.support.view import TRACE_ID, execution, span

IDS = st.sampled_from("abcdefgh")
SPANS = st.lists(
    st.builds(
        Span,
        id=IDS,
        parent_id=st.none() | IDS,
        name=st.just("x"),
        start=st.floats(0, 100),
        end=st.none() | st.floats(0, 100),
        service=st.none() | st.just("s"),
    )
)


def test_a_span_stands_under_its_parent_siblings_by_their_start() -> None:
    made = execution(
        span("late", 5, 6, "flow"), span("flow", 0, 9), span("early", 1, 2, "flow"), span("in", 1, 2, "early")
    )
    assert [(depth, each.name) for depth, each in made.walk()] == [
        (0, "flow"),
        (1, "early"),
        (2, "in"),
        (1, "late"),
    ]


def test_a_span_whose_parent_is_missing_stands_at_the_top_and_is_told_of() -> None:
    made = execution(span("flow", 0, 9), span("lost", 1, 2, "nobody"))
    assert [each.name for each in made.roots()] == ["flow", "lost"]
    assert made.missing_parents == {"nobody"}


def test_of_two_spans_with_one_id_that_which_has_ended_stays() -> None:
    begun, ended = Span("a", None, "a", 1, None), Span("a", None, "a", 1, 2)
    assert Execution(TRACE_ID, [begun, ended]).spans["a"] is ended
    assert Execution(TRACE_ID, [ended, begun]).spans["a"] is ended


def test_a_span_is_of_the_nearest_process_above_it() -> None:
    made = execution(
        span("flow", 0, 9, service="flow-task"),
        span("ingest", 1, 8, "flow"),
        span("program", 2, 7, "ingest", service="ingest-task"),
        span("read", 3, 4, "program"),
    )
    assert {each.name: made.process(each).name for each in made.spans.values()} == {
        "flow": "flow",
        "ingest": "flow",
        "program": "program",
        "read": "program",
    }
    assert [each.name for each in made.processes()] == ["flow", "program"]


def test_where_nothing_is_known_there_is_nothing() -> None:
    made = execution()
    assert (made.start, made.end, made.roots(), list(made.walk()), made.in_progress) == (0, 0, [], [], False)


def test_twenty_thousand_spans_in_each_other_are_walked() -> None:
    deep = execution(*(span(str(n), n, 30_000, str(n - 1) if n else None) for n in range(20_000)))
    assert [depth for depth, _ in deep.walk()] == list(range(20_000))


@given(SPANS)
def test_every_span_is_walked_once_and_has_a_process(spans: list[Span]) -> None:
    made = Execution(TRACE_ID, spans)
    walked = [each.id for _, each in made.walk()]
    assert sorted(walked) == sorted(made.spans)
    for each in made.spans.values():
        assert made.process(each).id in made.spans
    assert made.start <= made.end


def attempt(number: int, start: float, end: float, *, failed: bool) -> Span:
    """An attempt of `run`, as the library tells it."""
    made = span(f"attempt {number}", start, end, "run", status=Status.FAULT if failed else Status.OK)
    return replace(made, attributes={"prefect.run.type": "attempt"})


def test_what_was_done_in_an_attempt_is_under_it_even_if_it_was_told_beside_it() -> None:
    made = execution(
        span("run", 0, 10),
        attempt(1, 1, 4, failed=True),
        span("program", 2, 3.9, "run", service="ingest"),
        span("before", 0, 0.5, "run"),
        span("between", 4, 5, "run"),
        attempt(2, 6, 9, failed=False),
    )
    assert [(depth, each.name) for depth, each in made.walk()] == [
        (0, "run"),
        (1, "before"),
        (1, "attempt 1"),
        (2, "program"),
        (1, "between"),
        (1, "attempt 2"),
    ]
    assert made.spans["program"].parent_id == "run"
    assert made.missing_parents == set()
