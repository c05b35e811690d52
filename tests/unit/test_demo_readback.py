"""What X-Ray's documents say becomes a trace in which every span has its process."""

from __future__ import annotations

import json
from typing import Any

from demo import readback

RUN_ID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE_ID = "1-3c32c202-99554b90b9365fbd34f1a6d5"


class XRay:
    """Answers BatchGetTraces with documents, a page each, as boto3 gives them."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        self._pages = list(documents)
        self.asked: list[dict[str, Any]] = []

    def batch_get_traces(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        page = int(request.get("NextToken", 0))
        answer: dict[str, Any] = {"Traces": []}
        if page < len(self._pages):
            segment = {"Id": "x", "Document": json.dumps(self._pages[page])}
            answer["Traces"] = [{"Id": TRACE_ID, "Segments": [segment]}]
        if page + 1 < len(self._pages):
            answer["NextToken"] = str(page + 1)
        return answer


def document(id_: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    made = {"id": id_, "name": id_, "trace_id": TRACE_ID, "start_time": 1.0, "end_time": 2.0, **more}
    return made if parent is None else {**made, "parent_id": parent}


def read(*documents: dict[str, Any]) -> readback.Trace:
    return readback.xray(XRay(*documents), RUN_ID)


def test_the_trace_is_asked_for_by_the_flow_run_id_over_all_pages() -> None:
    server = XRay(document("flow"), document("task", "flow", type="subsegment"))
    trace = readback.xray(server, RUN_ID)
    assert [request["TraceIds"] for request in server.asked] == [[TRACE_ID], [TRACE_ID]]
    assert trace.id == TRACE_ID
    assert set(trace.segments) == {"flow", "task"}


def test_a_span_is_of_the_process_of_its_nearest_segment() -> None:
    trace = read(
        document("flow"),
        document("task", "flow", type="subsegment"),
        document("job", "task", subsegments=[{"id": "s3", "name": "S3", "start_time": 1.2, "end_time": 1.3}]),
    )
    assert trace.by_service() == {"flow": 2, "job": 2}
    assert trace.processes() == {"flow": 1, "job": 1}
    assert trace.segments["s3"].parent_id == "job"
    assert trace.orphaned_parents() == set()


def test_a_parent_that_is_not_there_is_told() -> None:
    trace = read(document("flow"), document("task", "lost", type="subsegment"))
    assert trace.orphaned_parents() == {"lost"}
    assert trace.service_of(trace.segments["task"]) == "?"


def test_a_segment_in_progress_is_replaced_by_the_one_that_ends_it_in_either_order() -> None:
    running = {"id": "flow", "name": "flow", "trace_id": TRACE_ID, "start_time": 1.0, "in_progress": True}
    for documents in ([running, document("flow")], [document("flow"), running]):
        trace = read(*documents)
        assert trace.segments["flow"].status == "ok"
        assert trace.segments["flow"].end == 2.0
        assert trace.repeated == 0
    assert read(running).segments["flow"].status == "in progress"


def test_a_segment_that_is_there_twice_is_counted_as_repeated() -> None:
    assert read(document("flow"), document("flow")).repeated == 1


def test_another_traces_segments_are_left_out() -> None:
    assert read(document("flow", trace_id="1-00000000-000000000000000000000000")).segments == {}


def test_a_fault_is_told_before_an_error() -> None:
    trace = read(document("a", fault=True, error=True), document("b", error=True), document("c"))
    assert [trace.segments[each].status for each in "abc"] == ["fault", "error", "ok"]
