"""What a program gives us that cannot be sent as it is costs itself alone, and its secrets stay with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.instrumented import run_code

if TYPE_CHECKING:
    from tests.support.otlp_sink import OtlpSink


def run(sink: OtlpSink, code: str, **variables: str) -> str:
    """Run code; return its stderr."""
    return run_code(code, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}", **variables})


def test_an_attribute_of_another_type_is_text(sink: OtlpSink) -> None:
    code = """
from datetime import date
from opentelemetry import trace
with trace.get_tracer("t").start_as_current_span("load", attributes={"day": date(2026, 3, 1)}) as span:
    span.set_attribute("path", __import__("pathlib").Path("raw/x.csv"))
"""
    run(sink, code)
    attributes = sink.span("load").attributes
    assert (attributes["day"], attributes["path"]) == ("2026-03-01", "raw/x.csv")


def test_text_that_utf8_cannot_hold_costs_no_other_span(sink: OtlpSink) -> None:
    code = r"""
from opentelemetry import trace
tracer = trace.get_tracer("t")
with tracer.start_as_current_span("good"): pass
with tracer.start_as_current_span("file \udce9", attributes={"path": "\udce9", "rows": 3}) as span:
    span.add_event("read \udce9", {"path": "\udce9"})
"""
    run(sink, code)
    names = [span.record.name for span in sink.spans()]
    assert names == ["good", "file ?"]
    (event,) = sink.span("file ?").record.events
    assert event.name == "read ?"
    assert sink.span("file ?").attributes == {"path": "?", "rows": 3}


def test_ids_that_are_malformed_are_warned_of_once_and_ignored(sink: OtlpSink) -> None:
    code = """
from opentelemetry import trace
for name in ("a", "b"):
    with trace.get_tracer("t").start_as_current_span(name): pass
"""
    errors = run(sink, code, PREFECT_FLOW_RUN_ID="today's", TRACEPARENT="00-xyz")
    assert errors.count("PREFECT_FLOW_RUN_ID is ignored") == 1
    assert errors.count("TRACEPARENT is ignored") == 1
    assert len(sink.spans()) == 2
