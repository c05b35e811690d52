"""Code that uses the X-Ray SDK and OpenTelemetry is one tree: spans inside subsegments, and the reverse."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import environment
from tests.support import sidecar
from tests.support.instrumented import run_code
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT, XRAY_TRACE_ID

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.otlp_sink import OtlpSink

SETUP = """
import asyncio
from aws_xray_sdk.core import xray_recorder as x
from opentelemetry import trace
span = trace.get_tracer("t").start_as_current_span
"""
BOTH_WAYS = """
with span("outer"):
    with x.in_segment("job"):
        with x.in_subsegment("read"):
            with span("parse"):
                with x.in_subsegment("match"):
                    with x.in_subsegment("look up"): pass
                with span("count"): pass
        with x.in_subsegment("write"): pass
    with span("after"): pass
"""


def run(code: str, sink: OtlpSink, xray_address: str, **variables: str) -> str:
    """Run code in a container of the run; return its stderr."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}",
        "AWS_XRAY_DAEMON_ADDRESS": xray_address,
        "PREFECT_FLOW_RUN_ID": RUN_ID,
        "TRACEPARENT": TRACEPARENT,
        **variables,
    }
    return run_code(SETUP + code, env)


def with_daemon(code: str, sink: OtlpSink, **variables: str) -> dict[str, dict[str, Any]]:
    """Run code with an X-Ray daemon's socket; return the documents that it is sent, by name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        assert run(code, sink, f"127.0.0.1:{receiver.getsockname()[1]}", **variables) == ""
        receiver.settimeout(0.2)
        documents = {}
        try:
            while True:
                document = json.loads(receiver.recv(65_536).partition(b"\n")[2])
                assert document["name"] not in documents
                documents[document["name"]] = document
        except TimeoutError:
            return documents


def parents(sink: OtlpSink, documents: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return every span's and segment's parent, by name; check that each is of the run's trace."""
    names = {f"{PARENT_SPAN_ID:016x}": "the process's"}
    of: dict[str, str] = {}

    def walk(document: dict[str, Any], parent_id: str | None) -> None:
        assert document["trace_id"] == XRAY_TRACE_ID
        assert document["annotations"]["flow_run_id"] == RUN_ID
        names[document["id"]] = document["name"]
        of[document["name"]] = parent_id or document["parent_id"]
        for child in document.get("subsegments", []):
            walk(child, document["id"])

    for document in documents.values():
        walk(document, None)
    for span in sink.spans():
        assert span.record.trace_id == TRACE_ID.to_bytes(16, "big")
        names[span.record.span_id.hex()] = span.record.name
        of[span.record.name] = span.record.parent_span_id.hex()
    return {name: names[parent] for name, parent in of.items()}


TREE = {
    "job": "outer",
    "read": "job",
    "parse": "read",
    "match": "parse",
    "look up": "match",
    "count": "parse",
    "write": "job",
    "after": "outer",
}


def test_spans_and_subsegments_are_one_tree(sink: OtlpSink) -> None:
    documents = with_daemon(BOTH_WAYS, sink)
    found = parents(sink, documents)
    assert {name: found[name] for name in TREE} == TREE
    assert set(documents) == {"job", "match"}
    assert documents["match"]["type"] == "subsegment"


def test_asynchronous_code_is_one_tree_too(sink: OtlpSink) -> None:
    code = """
from aws_xray_sdk.core.async_context import AsyncContext
from aws_xray_sdk.core.async_recorder import AsyncAWSXRayRecorder
async def part(x, name):
    async with x.in_subsegment_async(name):
        await asyncio.sleep(0.01)
        with span("in " + name):
            await asyncio.sleep(0.01)
async def main():
    x = AsyncAWSXRayRecorder()
    x.configure(context=AsyncContext(), sampling=False)
    async with x.in_segment_async("job"):
        await asyncio.gather(part(x, "a"), part(x, "b"))
asyncio.run(main())
"""
    found = parents(sink, with_daemon(code, sink))
    wanted = {"a": "job", "b": "job", "in a": "a", "in b": "b"}
    assert {name: found[name] for name in wanted} == wanted


def test_what_is_not_sampled_is_so_on_both_sides(sink: OtlpSink) -> None:
    documents = with_daemon('with x.in_segment("job", sampling=0):\n with span("inside"): pass', sink)
    assert documents == {}
    assert "inside" not in {span.record.name for span in sink.spans()}
    code = 'with x.in_segment("job"):\n with x.in_subsegment("read"):\n  with span("inside"): pass'
    assert with_daemon(code, sink, TRACEPARENT=TRACEPARENT[:-2] + "00") == {}
    assert "inside" not in {span.record.name for span in sink.spans()}


def test_with_the_xray_sdk_turned_off_spans_are_what_they_are_without_it(sink: OtlpSink) -> None:
    assert with_daemon(BOTH_WAYS, sink, AWS_XRAY_SDK_ENABLED="false") == {}
    found = parents(sink, {})
    assert {name: found[name] for name in ("parse", "count", "after")} == {
        "parse": "outer",
        "count": "parse",
        "after": "outer",
    }


@pytest.mark.parametrize("code", ['x.begin_subsegment("a")', "x.end_subsegment()", "x.end_segment()"])
def test_what_the_xray_sdk_complains_about_it_complains_about_as_ever(sink: OtlpSink, code: str) -> None:
    plain = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run(code, sink, "127.0.0.1:9") == plain.stderr


def test_a_segment_that_is_begun_over_another_leaves_nothing_behind(sink: OtlpSink) -> None:
    code = """
x.begin_segment("forgotten")
x.begin_segment("job")
x.end_segment()
with span("later"): pass
"""
    documents = with_daemon(code, sink)
    assert set(documents) == {"job"}
    found = parents(sink, documents)
    assert found["job"] == found["later"]


def test_the_collector_has_the_same_tree(sink: OtlpSink, tmp_path: Path) -> None:
    endpoint = f"127.0.0.1:{sink.grpc_port}"
    with sidecar.running(
        tmp_path, OTEL_PREFECT_TRACES="otlp", OTEL_PREFECT_OTLP_ENDPOINT=endpoint
    ) as running:
        run(BOTH_WAYS, sink, running.environ["OTEL_PREFECT_XRAY_UDP_ENDPOINT"])
        assert sink.wait_for(lambda _: {"job", "match"} <= {span.record.name for span in sink.spans()})
        running.stop()
    spans = {span.record.name: span for span in sink.spans()}
    by_id = {span.record.span_id: name for name, span in spans.items()}
    assert {name: by_id[spans[name].record.parent_span_id] for name in TREE} == TREE
    assert {span.record.trace_id.hex() for span in sink.spans()} == {f"{TRACE_ID:032x}"}
    assert {span.attributes["flow_run_id"] for span in sink.spans()} == {RUN_ID}
