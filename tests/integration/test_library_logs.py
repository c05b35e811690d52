"""What a program says by other ways than `logging` is found with its run: warnings, uncaught exceptions, and
the records of other libraries. What its user sees on stderr stays what it was."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from demo.processes import environment
from tests.support.process_state import RUN_ID, TRACE_ID

if TYPE_CHECKING:
    from tests.support.otlp_sink import OtlpSink, Received

INSTRUMENT = str(Path(sys.executable).parent / "opentelemetry-instrument")

# Python's development mode shows warnings that are hidden otherwise.
DEVELOPMENT = ("-X", "dev")


def run(program: Path, sink: OtlpSink | None, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program, with us where there is a sink; its user sees the same either way."""
    program.write_text(code)
    ours = [INSTRUMENT] if sink else []
    variables = {"PREFECT_FLOW_RUN_ID": RUN_ID}
    if sink:
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{sink.http_port}"
    return subprocess.run(
        [*ours, sys.executable, *options, str(program)],
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def assert_seen_as_without_us(program: Path, sink: OtlpSink, code: str) -> list[Received]:
    """Check that what the user sees is the same; return what was sent."""
    plain, ours = run(program, None, code, *DEVELOPMENT), run(program, sink, code, *DEVELOPMENT)
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    for log in sink.logs():
        assert log.attributes["flow_run_id"] == RUN_ID
        assert log.record.trace_id == TRACE_ID.to_bytes(16, "big")
    return sink.logs()


def test_an_uncaught_exception_is_a_record_and_the_programs_own_hook_is_called(
    sink: OtlpSink, tmp_path: Path
) -> None:
    code = """
import sys
def own(kind, error, trace_back):
    print("own hook:", kind.__name__, error, file=sys.stderr)
sys.excepthook = own
def load(): raise ValueError("no such table")
load()
"""
    (log,) = assert_seen_as_without_us(tmp_path / "load.py", sink, code)
    assert log.record.severity_text == "FATAL"
    assert log.record.body.string_value == "ValueError: no such table"
    assert log.attributes["exception.type"] == "ValueError"
    assert log.attributes["exception.message"] == "no such table"
    stack = log.attributes["exception.stacktrace"]
    assert stack.startswith("Traceback (most recent call last):")
    assert 'def load(): raise ValueError("no such table")' in stack


def test_an_uncaught_exception_that_was_logged_before_is_no_second_record(
    sink: OtlpSink, tmp_path: Path
) -> None:
    code = """
import logging
try: raise ValueError("no such table")
except ValueError:
    logging.exception("failed")
    raise
"""
    (log,) = assert_seen_as_without_us(tmp_path / "load.py", sink, code)
    assert (log.record.body.string_value, log.record.severity_text) == ("failed", "ERROR")


def test_exceptions_that_end_threads_or_are_ignored_are_records_too(sink: OtlpSink, tmp_path: Path) -> None:
    code = """
import sys, threading
threading.excepthook = lambda args: print("own:", args.exc_value, file=sys.stderr)
sys.unraisablehook = lambda args: print("own:", args.exc_value, file=sys.stderr)
def fail(): raise LookupError("in a thread")
def leave(): raise SystemExit(3)
class Odd:
    def __del__(self): raise OSError("in __del__")
for target in (fail, leave):
    thread = threading.Thread(target=target, name="loader")
    thread.start()
    thread.join()
odd = Odd()
del odd
"""
    logs = assert_seen_as_without_us(tmp_path / "load.py", sink, code)
    found = {log.attributes["exception.type"]: log for log in logs}
    assert set(found) == {"LookupError", "OSError"}
    assert len(logs) == 2
    assert found["LookupError"].attributes["thread.name"] == "loader"
    assert found["LookupError"].record.severity_text == "ERROR"
    assert "Odd.__del__" in found["OSError"].record.body.string_value


def test_a_warning_is_a_record_once_and_those_that_code_catches_are_not(
    sink: OtlpSink, tmp_path: Path
) -> None:
    code = """
import warnings
for _ in range(3): warnings.warn("use load_all", DeprecationWarning)
with warnings.catch_warnings(record=True) as caught:
    warnings.warn("caught")
assert len(caught) == 1
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    warnings.warn("ignored")
"""
    (log,) = assert_seen_as_without_us(tmp_path / "load.py", sink, code)
    assert log.scope == "py.warnings"
    assert (log.record.body.string_value, log.record.severity_text) == ("use load_all", "WARN")
    assert log.attributes["exception.type"] == "DeprecationWarning"
    assert log.attributes["code.file.path"] == str(tmp_path / "load.py")
    assert log.attributes["code.line.number"] == 3


def test_warnings_that_the_program_sends_to_logging_are_one_record_each(
    sink: OtlpSink, tmp_path: Path
) -> None:
    code = """
import logging, warnings
logging.basicConfig(format="%(name)s %(message)s")
logging.captureWarnings(True)
warnings.warn("first")
logging.captureWarnings(False)
warnings.warn("second")
"""
    logs = assert_seen_as_without_us(tmp_path / "load.py", sink, code)
    texts = [log.record.body.string_value for log in logs]
    assert len(texts) == 2
    assert "first" in texts[0]
    assert texts[1] == "second"


def test_structlog_and_loguru_are_found_with_their_run_once(sink: OtlpSink, tmp_path: Path) -> None:
    code = """
import logging, structlog
from loguru import logger
structlog.get_logger().info("by structlog", rows=3)
logger.info("by loguru")
logging.getLogger("load").warning("by logging")
"""
    assert run(tmp_path / "load.py", sink, code).returncode == 0
    texts = Counter(log.record.body.string_value for log in sink.logs())
    assert texts == {"by structlog": 1, "by loguru": 1, "by logging": 1}
    assert {log.attributes["flow_run_id"] for log in sink.logs()} == {RUN_ID}


def test_records_from_a_process_without_us_and_from_before_have_the_fields(
    sink: OtlpSink, tmp_path: Path
) -> None:
    code = """
import logging, logging.handlers
early = logging.makeLogRecord({"msg": "made elsewhere", "levelno": 20, "name": "load"})
handler = logging.StreamHandler()
handler.setFormatter(logging.Formatter("%(flow_run_id)s %(stage)s %(message)s"))
handler.handle(early)
"""
    assert run(tmp_path / "load.py", sink, code).stderr == f"{RUN_ID} unknown made elsewhere\n"
