"""What a log record says about its run, in any handler and over OTLP."""

from __future__ import annotations

import io
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from otel_prefect import logs
from otel_prefect.log import export as log_export
from otel_prefect.log import fields as log_fields
from otel_prefect.log import records as log_records
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, XRAY_TRACE_ID, told

if TYPE_CHECKING:
    from collections.abc import Iterator

TASK_RUN_ID = "01a20f69-9df3-7524-aeb5-73ebe6ee89bb"


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A process of a run, whose logger ``pipeline`` has a handler that shows every field."""
    told(monkeypatch, {"PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm", "STAGE": "ingest"})
    log_fields.install()
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter(" ".join(f"{name}=%({name})s" for name in log_fields.FIELDS)))
    logger = logging.getLogger("pipeline")
    logger.addHandler(handler)
    yield output
    logger.removeHandler(handler)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryLogRecordExporter]:
    """A process of a run whose records go to an exporter in memory."""
    told(monkeypatch, {"PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm"})
    log_fields.install()
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's, without annotations
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    log_export.install(provider)
    yield exporter
    log_export.uninstall()


def only(exporter: InMemoryLogRecordExporter) -> Any:
    (found,) = exporter.get_finished_logs()
    return found


def test_any_format_string_can_use_the_fields(stream: io.StringIO) -> None:
    logging.getLogger("pipeline").warning("x")
    assert stream.getvalue() == (
        f"flow_run_id={RUN_ID} log_correlation_id={RUN_ID} source=crm stage=ingest task_run_id=unknown "
        f"trace_id={TRACE_ID:032x} xray_trace_id={XRAY_TRACE_ID}\n"
    )


def test_the_fields_say_unknown_where_there_is_no_run(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch)
    logging.getLogger("pipeline").warning("x")
    assert stream.getvalue() == " ".join(f"{name}=unknown" for name in log_fields.FIELDS) + "\n"


def test_a_plain_thread_has_the_fields_too(stream: io.StringIO) -> None:
    thread = threading.Thread(target=logging.getLogger("pipeline").warning, args=("x",))
    thread.start()
    thread.join()
    assert f"flow_run_id={RUN_ID} " in stream.getvalue()


def test_the_fields_of_the_users_extra_win_and_are_no_error(stream: io.StringIO) -> None:
    extra = {"flow_run_id": "my own", "source": "billing"}
    logging.getLogger("pipeline").warning("x", extra=extra)
    assert "flow_run_id=my own " in stream.getvalue()
    assert "source=billing " in stream.getvalue()


def test_the_trace_is_the_current_spans(stream: io.StringIO) -> None:
    span = trace.NonRecordingSpan(trace.SpanContext(0xAB, 0xCD, is_remote=False))
    with trace.use_span(span):
        logging.getLogger("pipeline").warning("x")
    assert f"trace_id={0xAB:032x} xray_trace_id=1-00000000-{0xAB:024x}" in stream.getvalue()


def test_the_users_text_format_has_the_run_id_behind_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, {"PREFECT_FLOW_RUN_ID": RUN_ID})
    log_fields.install()
    output = io.StringIO()
    logger = logging.getLogger("ingest.load")
    handler = logging.StreamHandler(output)
    handler.setFormatter(logs.TextFormatter())
    logger.addHandler(handler)
    logger.error("no such table")
    logger.removeHandler(handler)
    assert output.getvalue()[23:] == f" [flow_run_id={RUN_ID}] ERROR ingest.load: no such table\n"


def test_a_record_made_before_configuration_shows_unknown_in_text_and_json() -> None:
    record = logging.LogRecord("early", logging.INFO, __file__, 1, "hello %s", ("you",), None)
    assert "[flow_run_id=unknown] INFO early: hello you" in logs.TextFormatter().format(record)
    assert json.loads(logs.JsonFormatter().format(record))["xray_trace_id"] == "unknown"


def test_a_json_line_has_the_same_names_and_the_exception() -> None:
    try:
        raise KeyError("id")
    except KeyError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("load", logging.ERROR, __file__, 1, "failed\nagain", (), info)
    record.rows = 17
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed["message"] == "failed\nagain"
    assert (parsed["level"], parsed["logger"], parsed["rows"]) == ("ERROR", "load", 17)
    assert parsed["exception.type"] == "KeyError"
    assert set(log_fields.FIELDS) <= set(parsed)


def test_basic_config_refuses_a_format_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="format='xml'"):
        logs.basic_config(format="xml")  # type: ignore[arg-type]  # what a user may write


def test_a_record_goes_out_once_whatever_handlers_there_are(exported: InMemoryLogRecordExporter) -> None:
    logger = logging.getLogger("pipeline.deep.down")
    handlers = [logging.NullHandler(), logging.NullHandler()]
    for handler in handlers:
        logger.addHandler(handler)
        logging.getLogger("pipeline").addHandler(handler)
    logger.warning("once")
    for handler in handlers:
        logger.removeHandler(handler)
        logging.getLogger("pipeline").removeHandler(handler)
    found = only(exported)
    assert found.log_record.body == "once"
    assert found.instrumentation_scope.name == "pipeline.deep.down"


def test_an_exported_record_carries_the_ids_and_leaves_out_what_is_unknown(
    exported: InMemoryLogRecordExporter,
) -> None:
    logging.getLogger("pipeline").warning("x")
    record = only(exported).log_record
    assert dict(record.attributes) == {
        "flow_run_id": RUN_ID,
        "xray_trace_id": XRAY_TRACE_ID,
        "log_correlation_id": RUN_ID,
        "source": "crm",
    }
    assert record.trace_id == TRACE_ID
    assert record.span_id == 0
    assert record.severity_number is SeverityNumber.WARN
    assert record.severity_text == "WARN"


def test_an_exported_record_is_of_the_current_span(exported: InMemoryLogRecordExporter) -> None:
    span = trace.NonRecordingSpan(trace.SpanContext(TRACE_ID, PARENT_SPAN_ID, is_remote=False))
    with trace.use_span(span):
        logging.getLogger("pipeline").warning("x")
    record = only(exported).log_record
    assert (record.trace_id, record.span_id) == (TRACE_ID, PARENT_SPAN_ID)


def test_the_extras_of_prefects_run_loggers_become_attributes_by_their_names(
    exported: InMemoryLogRecordExporter,
) -> None:
    extra = {
        "flow_run_id": RUN_ID,
        "flow_run_name": "brave-newt",
        "task_run_id": TASK_RUN_ID,
        "task_name": "extract",
        "send_to_api": False,
    }
    logging.getLogger("prefect.task_runs").warning("x", extra=extra)
    attributes = dict(only(exported).log_record.attributes)
    assert attributes["prefect.task-run.id"] == TASK_RUN_ID
    assert attributes["prefect.flow-run.name"] == "brave-newt"
    assert attributes["prefect.task.name"] == "extract"
    assert not {"task_run_id", "flow_run_name", "send_to_api"} & set(attributes)


def test_an_exception_goes_out_by_semantic_conventions(exported: InMemoryLogRecordExporter) -> None:
    try:
        raise io.UnsupportedOperation("not writable")
    except io.UnsupportedOperation:
        logging.getLogger("pipeline").exception("failed")
    attributes = only(exported).log_record.attributes
    assert attributes["exception.type"] == "io.UnsupportedOperation"
    assert attributes["exception.message"] == "not writable"
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):")
    assert attributes["exception.stacktrace"].endswith("io.UnsupportedOperation: not writable\n")


def test_an_attribute_that_cannot_be_encoded_becomes_text(exported: InMemoryLogRecordExporter) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    logging.getLogger("pipeline").warning(
        "x", extra={"big": 2**70, "odd": Odd(), "items": [1, "a"], "ok": True, "rows": 3}
    )
    attributes = only(exported).log_record.attributes
    assert attributes["big"] == str(2**70)
    assert attributes["odd"] == "<Odd that cannot be shown>"
    assert attributes["items"] == "[1, 'a']"
    assert attributes["ok"] is True
    assert attributes["rows"] == 3


def test_a_message_whose_arguments_do_not_fit_goes_out_all_the_same(
    exported: InMemoryLogRecordExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logging.getLogger("pipeline").warning("%d rows", "many")
    assert only(exported).log_record.body == "%d rows ('many',)"


def test_records_of_the_exporter_itself_are_left_out(exported: InMemoryLogRecordExporter) -> None:
    with suppress_instrumentation():
        logging.getLogger("urllib3").warning("Starting new HTTP connection")
    assert exported.get_finished_logs() == ()
    assert context.get_current() is not None


def test_what_a_filter_of_the_logger_holds_back_does_not_go_out(
    exported: InMemoryLogRecordExporter,
) -> None:
    def secret(record: logging.LogRecord) -> bool:
        return "password" not in record.getMessage()

    logger = logging.getLogger("pipeline")
    logger.addFilter(secret)
    logger.warning("password=x")
    logger.warning("rows=3")
    logger.removeFilter(secret)
    assert only(exported).log_record.body == "rows=3"


def test_text_that_utf8_cannot_hold_does_not_cost_the_batch(exported: InMemoryLogRecordExporter) -> None:
    logging.getLogger("pipeline").warning("file \udce9", extra={"path": "\udce9"})
    record = only(exported).log_record
    assert record.body == "file ?"
    assert record.attributes["path"] == "?"


@given(st.text(), st.dictionaries(st.text(min_size=1), st.none() | st.integers() | st.floats() | st.text()))
def test_every_record_can_be_translated(message: str, extra: dict[str, Any]) -> None:
    record = logging.makeLogRecord({"msg": message, **{f"x{key}": value for key, value in extra.items()}})
    assert log_records.translate(record).body == message


@given(st.text())
def test_every_message_is_one_json_line_that_reads_back(message: str) -> None:
    line = logs.JsonFormatter().format(logging.makeLogRecord({"msg": message}))
    assert "\n" not in line
    assert json.loads(line)["message"] == message
