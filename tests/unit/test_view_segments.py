"""Segment documents of X-Ray as an execution."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_prefect.view import segments
from otel_prefect.view.execution import Caught, Execution, Status
from tests.support.view import TRACE_ID, XRAY_TRACE_ID

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
KEYS = ("id", "name", "start_time", "end_time", "parent_id", "type", "subsegments", "cause", "annotations")
DOCUMENTS = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), JSON)


def read(*documents: dict[str, Any]) -> Execution:
    made, odd = segments.execution(XRAY_TRACE_ID, map(json.dumps, documents))
    assert odd == 0
    return made


def document(**more: Any) -> dict[str, Any]:
    return {"id": "a", "name": "load", "start_time": 1.5, "end_time": 2.5, "trace_id": XRAY_TRACE_ID, **more}


def test_a_segment_is_a_process_with_the_name_of_its_first_span() -> None:
    made = read(
        document(name="daily-sales-flow", annotations={"operation": "flow daily-sales", "source": "crm"})
    )
    (span,) = made.spans.values()
    assert made.trace_id == TRACE_ID
    assert (span.service, span.name, span.parent_id) == ("daily-sales-flow", "flow daily-sales", None)
    assert (span.start, span.end, span.status) == (1.5, 2.5, Status.OK)
    assert span.attributes["source"] == "crm"


def test_subsegments_in_a_document_and_on_their_own_are_of_their_parents_process() -> None:
    made = read(
        document(
            subsegments=[{"id": "b", "name": "s3", "start_time": 1.6, "end_time": 1.7, "namespace": "aws"}]
        ),
        document(id="c", name="task extract", type="subsegment", parent_id="a"),
    )
    assert {each.id: (each.parent_id, each.service) for each in made.spans.values()} == {
        "a": (None, "load"),
        "b": ("a", None),
        "c": ("a", None),
    }


def test_one_that_has_ended_takes_the_place_of_the_one_in_progress() -> None:
    begun = document(in_progress=True)
    del begun["end_time"]
    assert read(begun).spans["a"].status is Status.IN_PROGRESS
    assert read(begun).spans["a"].end is None
    for both in ((begun, document(fault=True)), (document(fault=True), begun)):
        assert read(*both).spans["a"].status is Status.FAULT


def test_what_failed_says_how_and_with_which_exception() -> None:
    cause = {
        "exceptions": [
            {
                "id": "e",
                "type": "flow.LoadError",
                "message": "no such table",
                "stack": [
                    {"path": "in.py", "line": 2, "label": "load"},
                    {"path": "m.py", "line": 9, "label": "main"},
                ],
            }
        ]
    }
    (span,) = read(document(fault=True, error=True, throttle=True, cause=cause)).spans.values()
    assert span.status is Status.FAULT
    assert span.exceptions == (
        Caught("flow.LoadError", "no such table", ("m.py:9 in main", "in.py:2 in load")),
    )
    assert read(document(error=True, throttle=True)).spans["a"].status is Status.THROTTLED
    assert read(document(error=True, cause="4fe5fbe2e9e6ad5a")).spans["a"].exceptions == ()


def test_attributes_are_those_of_the_span_and_of_its_resource() -> None:
    metadata = {
        "default": {"otel.resource.stage": "ingest", "otel.resource.x": 1, "x": 2, "prefect.run.name": "r"}
    }
    http = {"request": {"method": "GET", "url": "https://example.com"}, "response": {"status": 503}}
    (span,) = read(document(metadata=metadata, http=http)).spans.values()
    assert span.attributes == {
        "stage": "ingest",
        "x": 2,
        "prefect.run.name": "r",
        "http.request.method": "GET",
        "http.request.url": "https://example.com",
        "http.response.status": 503,
    }


def test_what_is_no_document_is_counted_and_takes_no_other_with_it() -> None:
    bad = ["{", "[]", json.dumps(document(start_time="noon")), json.dumps(document(subsegments=[7]))]
    good = json.dumps(document(id="b"))
    made, odd = segments.execution(XRAY_TRACE_ID, [*bad, good])
    assert set(made.spans) == {"a", "b"}
    assert odd == 4


def test_documents_of_another_trace_are_left_out() -> None:
    other = document(trace_id="1-00000000-000000000000000000000001")
    assert segments.execution(XRAY_TRACE_ID, [json.dumps(other)])[0].spans == {}


@given(st.lists(DOCUMENTS.map(json.dumps) | st.text()))
def test_nothing_that_comes_breaks_it(documents: list[str]) -> None:
    made, odd = segments.execution(XRAY_TRACE_ID, documents)
    assert odd >= 0
    assert len(list(made.walk())) == len(made.spans)
