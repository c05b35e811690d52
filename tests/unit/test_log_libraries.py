"""What structlog and loguru log: it carries the fields of the run, and goes out over OTLP once."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import loguru
import pytest
import structlog
from loguru import logger as loguru_logger
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from otel_prefect.log import export as log_export
from otel_prefect.log import fields as log_fields
from otel_prefect.log import loguru_records as loguru_logs
from otel_prefect.log import structlog_events as structlog_logs
from tests.support.process_state import RUN_ID, TRACE_ID, XRAY_TRACE_ID, told

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryLogRecordExporter]:
    """A process of a run whose records go to an exporter in memory."""
    told(monkeypatch, {"PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm"})
    log_fields.install()
    structlog_logs.install()
    loguru_logs.install()
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's, without annotations
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    log_export.install(provider)
    yield exporter
    log_export.uninstall()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    loguru_logger.remove()


def only(exporter: InMemoryLogRecordExporter) -> Any:
    (found,) = exporter.get_finished_logs()
    return found


def printing(*processors: Any) -> io.StringIO:
    """Have structlog print JSON lines; return where to."""
    output = io.StringIO()
    structlog.configure(
        [structlog.contextvars.merge_contextvars, *processors, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(output),
    )
    return output


def test_an_event_of_structlog_shows_every_field_and_goes_out_once(
    exported: InMemoryLogRecordExporter,
) -> None:
    output = printing()
    structlog.get_logger().bind(table="orders").warning("loaded", rows=3)
    assert json.loads(output.getvalue()) == {
        "event": "loaded",
        "table": "orders",
        "rows": 3,
        "flow_run_id": RUN_ID,
        "log_correlation_id": RUN_ID,
        "source": "crm",
        "stage": "unknown",
        "task_run_id": "unknown",
        "trace_id": f"{TRACE_ID:032x}",
        "xray_trace_id": XRAY_TRACE_ID,
    }
    record = only(exported).log_record
    assert (record.body, record.severity_text, record.trace_id) == ("loaded", "WARN", TRACE_ID)
    assert dict(record.attributes) == {
        "table": "orders",
        "rows": 3,
        "flow_run_id": RUN_ID,
        "log_correlation_id": RUN_ID,
        "source": "crm",
        "xray_trace_id": XRAY_TRACE_ID,
    }


def test_what_the_code_has_bound_itself_wins(exported: InMemoryLogRecordExporter) -> None:
    output = printing()
    structlog.contextvars.bind_contextvars(source="billing")
    structlog.get_logger().bind(stage="mine").info("x", task_run_id="own")
    shown = json.loads(output.getvalue())
    assert (shown["source"], shown["stage"], shown["task_run_id"]) == ("billing", "mine", "own")
    assert only(exported).log_record.severity_text == "INFO"


def test_what_a_processor_takes_out_or_drops_does_not_leave(exported: InMemoryLogRecordExporter) -> None:
    def without_password(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] == "ping":
            raise structlog.DropEvent
        event.pop("password", None)
        return event

    printing(without_password)
    structlog.get_logger().info("ping")
    structlog.get_logger().info("login", password="hunter2")
    assert "hunter2" not in repr(exported.get_finished_logs())
    assert only(exported).log_record.body == "login"


def test_an_exception_of_structlog_goes_out_by_semantic_conventions(
    exported: InMemoryLogRecordExporter,
) -> None:
    printing(structlog.processors.format_exc_info)
    try:
        raise KeyError("id")
    except KeyError:
        structlog.get_logger().exception("failed")
    attributes = only(exported).log_record.attributes
    assert (attributes["exception.type"], attributes["exception.message"]) == ("KeyError", "'id'")
    assert attributes["exception.stacktrace"].startswith("Traceback")
    assert "exception" not in attributes
    assert only(exported).log_record.severity_text == "ERROR"


@pytest.mark.parametrize("last", ["json", "formatter", "kwargs"])
def test_structlog_through_logging_goes_out_once_with_its_values(
    exported: InMemoryLogRecordExporter, last: str
) -> None:
    renderers: dict[str, Any] = {
        "json": structlog.processors.JSONRenderer(),
        "formatter": structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        "kwargs": structlog.stdlib.render_to_log_kwargs,
    }
    structlog.configure(
        [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, renderers[last]],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    structlog.get_logger("pipeline.load").warning("loaded", rows=3)
    found = only(exported)
    assert found.instrumentation_scope.name == "pipeline.load"
    assert (found.log_record.body, found.log_record.severity_text) == ("loaded", "WARN")
    assert found.log_record.attributes["rows"] == 3
    assert found.log_record.attributes["flow_run_id"] == RUN_ID


def test_a_processor_still_finds_where_the_event_was_logged(exported: InMemoryLogRecordExporter) -> None:
    wanted = {
        structlog.processors.CallsiteParameter.FILENAME,
        structlog.processors.CallsiteParameter.FUNC_NAME,
    }
    output = printing(structlog.processors.CallsiteParameterAdder(wanted))
    structlog.get_logger().info("x")
    assert json.loads(output.getvalue())["filename"] == "test_log_libraries.py"
    assert only(exported).log_record.attributes["func_name"].startswith("test_a_processor_still")


def test_what_a_test_of_the_users_captures_is_as_it_was_logged(exported: InMemoryLogRecordExporter) -> None:
    printing()
    logger = structlog.get_logger().bind(table="orders")
    with structlog.testing.capture_logs() as captured:
        logger.info("loaded", rows=3)
    assert captured == [{"event": "loaded", "table": "orders", "rows": 3, "log_level": "info"}]
    assert exported.get_finished_logs() == ()


async def test_structlogs_asynchronous_methods_go_out_once(exported: InMemoryLogRecordExporter) -> None:
    printing()
    await structlog.get_logger().ainfo("loaded")
    assert only(exported).log_record.body == "loaded"


def test_an_exception_of_a_processor_is_the_users_own(exported: InMemoryLogRecordExporter) -> None:
    def broken(_logger: object, _method: str, _event: Any) -> Any:
        raise LookupError("mine")

    printing(broken)
    with pytest.raises(LookupError, match="mine"):
        structlog.get_logger().info("x")
    assert exported.get_finished_logs() == ()


def test_a_record_of_loguru_shows_every_field_and_goes_out_once_whatever_handlers_there_are(
    exported: InMemoryLogRecordExporter,
) -> None:
    output, second = io.StringIO(), io.StringIO()
    loguru_logger.remove()
    form = " ".join(f"{{extra[{name}]}}" for name in log_fields.FIELDS) + " {function} {message}"
    loguru_logger.add(output, format=form)
    loguru_logger.add(second, serialize=True)
    loguru_logger.bind(rows=3).warning("loaded {}", "orders")
    shown = output.getvalue().split()
    assert shown[:4] == [RUN_ID, RUN_ID, "crm", "unknown"]
    assert shown[5:7] == [f"{TRACE_ID:032x}", XRAY_TRACE_ID]
    # Where it was logged is still right: we add no frame.
    assert shown[7].startswith("test_a_record_of_loguru")
    assert json.loads(second.getvalue())["record"]["extra"]["flow_run_id"] == RUN_ID
    found = only(exported)
    assert found.instrumentation_scope.name == __name__
    record = found.log_record
    assert (record.body, record.severity_text, record.trace_id) == ("loaded orders", "WARN", TRACE_ID)
    assert dict(record.attributes) == {
        "rows": 3,
        "flow_run_id": RUN_ID,
        "log_correlation_id": RUN_ID,
        "source": "crm",
        "xray_trace_id": XRAY_TRACE_ID,
    }


def test_loguru_sends_what_a_handlers_level_asks_for_and_its_exceptions(
    exported: InMemoryLogRecordExporter,
) -> None:
    loguru_logger.remove()
    loguru_logger.add(io.StringIO(), level="INFO", format="{message}")
    loguru_logger.debug("detail")
    try:
        raise io.UnsupportedOperation("not writable")
    except io.UnsupportedOperation:
        loguru_logger.bind(source="own").exception("failed")
    attributes = only(exported).log_record.attributes
    assert attributes["exception.type"] == "io.UnsupportedOperation"
    assert attributes["exception.message"] == "not writable"
    assert "test_log_libraries.py" in attributes["exception.stacktrace"]


class ToLoguru(logging.Handler):
    """Hands records of ``logging`` to loguru, as loguru's documentation has it."""

    def emit(self, record: logging.LogRecord) -> None:
        loguru_logger.opt(exception=record.exc_info).log(record.levelname, record.getMessage())


class ToLogging(logging.Handler):
    """Hands records of loguru to ``logging``, as loguru's documentation has it."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


@pytest.mark.parametrize("enqueue", [False, True])
def test_loguru_through_logging_goes_out_once(exported: InMemoryLogRecordExporter, enqueue: bool) -> None:
    loguru_logger.remove()
    loguru_logger.add(ToLogging(), format="{message}", enqueue=enqueue)
    loguru_logger.warning("loaded")
    loguru_logger.complete()
    assert only(exported).log_record.body == "loaded"


def test_logging_through_loguru_goes_out_once(exported: InMemoryLogRecordExporter) -> None:
    output = io.StringIO()
    loguru_logger.remove()
    loguru_logger.add(output, format="{extra[flow_run_id]} {message}")
    logger = logging.getLogger("pipeline.intercepted")
    logger.addHandler(ToLoguru())
    logger.warning("loaded")
    logger.handlers.clear()
    assert output.getvalue() == f"{RUN_ID} loaded\n"
    assert only(exported).instrumentation_scope.name == "pipeline.intercepted"


def test_a_record_that_loguru_has_patched_goes_out_as_patched(exported: InMemoryLogRecordExporter) -> None:
    def without_password(record: loguru.Record) -> None:
        record["message"] = record["message"].replace("hunter2", "***")

    loguru_logger.remove()
    loguru_logger.add(io.StringIO(), format="{message}")
    loguru_logger.patch(without_password).info("password=hunter2")
    assert only(exported).log_record.body == "password=***"
