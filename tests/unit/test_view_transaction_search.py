"""The log group ``aws/spans`` as its reader sees it: texts of which anything may be in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_prefect.view import transaction_search
from otel_prefect.view.execution import Caught, Status
from tests.support.view import TRACE_ID

DOCUMENT = {
    "traceId": TRACE_ID,
    "spanId": "00000000000000a1",
    "parentSpanId": "00000000000000f0",
    "name": "ingest",
    "startTimeUnixNano": 1_795_616_667_500_000_000,
    "endTimeUnixNano": "1795616669000000000",
    "attributes": {"source": "crm"},
    "resource": {"attributes": {"service.name": "daily-sales-ingest"}},
    "status": {"code": "ERROR"},
    "events": [
        {
            "name": "exception",
            "attributes": {
                "exception.type": "EOFError",
                "exception.message": "early",
                "exception.stacktrace": 'Traceback\n  File "load.py", line 12, in read\nEOFError: early',
            },
        }
    ],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


class Logs:
    """A client whose group has some events."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.asked: dict[str, Any] = {}

    def get_paginator(self, name: str) -> Logs:
        assert name == "filter_log_events"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        self.asked = asked
        return [{"events": [{"message": text} for text in self.texts]}]


def test_a_span_is_read_with_its_process_its_status_and_its_exception() -> None:
    logs = Logs(json.dumps(DOCUMENT))
    execution, odd = transaction_search.of_log_group(logs, TRACE_ID, 10.0, 20.0)
    span = execution.first
    assert odd == 0
    assert (span.id, span.parent_id, span.name) == ("00000000000000a1", "00000000000000f0", "ingest")
    assert (span.start, span.end) == pytest.approx((1_795_616_667.5, 1_795_616_669.0))
    assert (span.status, span.service) == (Status.FAULT, "daily-sales-ingest")
    assert span.attributes == {"service.name": "daily-sales-ingest", "source": "crm"}
    assert span.exceptions == (Caught("EOFError", "early", ('File "load.py", line 12, in read',)),)
    assert (logs.asked["startTime"], logs.asked["endTime"]) == (10_000, 20_001)
    assert logs.asked["filterPattern"] == f'{{ $.traceId = "{TRACE_ID}" }}'


def test_what_is_no_span_is_counted_and_what_is_of_another_trace_left_out() -> None:
    logs = Logs(
        "no JSON", "[]", json.dumps({"traceId": TRACE_ID}), json.dumps({**DOCUMENT, "traceId": "f" * 32})
    )
    execution, odd = transaction_search.of_log_group(logs, TRACE_ID, 0, 1)
    assert (execution.spans, odd) == ({}, 3)


@given(st.sampled_from(sorted(DOCUMENT)), JSON)
def test_whatever_a_field_holds_it_is_read_or_counted(key: str, value: Any) -> None:
    execution, odd = transaction_search.of_log_group(
        Logs(json.dumps({**DOCUMENT, key: value})), TRACE_ID, 0, 1
    )
    assert len(execution.spans) + odd <= 1
