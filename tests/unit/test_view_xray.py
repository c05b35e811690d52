from __future__ import annotations

import json
from typing import Any

import pytest

from otel_prefect.view import xray
from tests.support.view import XRAY_TRACE_ID

SEGMENT = {
    "id": "00000000000000f0",
    "name": "flow",
    "trace_id": XRAY_TRACE_ID,
    "start_time": 1,
    "end_time": 2,
}


class XRay:
    """Answers BatchGetTraces in pages, as boto3 has it."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = pages

    def get_paginator(self, name: str) -> XRay:
        assert name == "batch_get_traces"
        return self

    def paginate(self, **asked: Any) -> tuple[dict[str, Any], ...]:
        assert asked == {"TraceIds": [XRAY_TRACE_ID]}
        return self.pages


def page(*ids: str, **more: Any) -> dict[str, Any]:
    segments = [{"Document": json.dumps({**SEGMENT, "id": id_})} for id_ in ids]
    return {"Traces": [{"Id": XRAY_TRACE_ID, "Segments": segments, **more}]}


def test_all_pages_are_read() -> None:
    execution, odd = xray.execution(XRay(page("a"), {}, page("b", "c")), XRAY_TRACE_ID)
    assert (sorted(execution.spans), odd, execution.incomplete()) == (["a", "b", "c"], 0, [])


@pytest.mark.parametrize("cut", [True, False])
def test_a_trace_that_x_ray_has_cut_is_said_to_be_incomplete(cut: bool) -> None:
    execution, _ = xray.execution(XRay(page("a"), page("b", LimitExceeded=cut)), XRAY_TRACE_ID)
    assert [note.partition(":")[0] for note in execution.incomplete()] == [
        "X-Ray has not taken all of it"
    ] * cut
