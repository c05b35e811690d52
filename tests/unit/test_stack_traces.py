"""Stack traces stay together, whatever stands around them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber

from otel_prefect.program.output import parse
from otel_prefect.program.stack_traces import MAX_TRACE_BYTES, TraceGatherer

JAVA = """Exception in thread "main" java.lang.RuntimeException: no table
\tat com.acme.Load.read(Load.java:12)
\tat com.acme.Load.main(Load.java:5)
Caused by: java.sql.SQLException: gone
\tat com.acme.Db.open(Db.java:9)
\t... 1 more"""
LOGBACK = """12:00:01.000 [main] ERROR com.acme.Load - load failed
java.lang.IllegalStateException: no table
\tat com.acme.Load.read(Load.java:12)
\tSuppressed: java.io.IOException: closed
\t\tat com.acme.Load.close(Load.java:20)"""
NODE = """TypeError: Cannot read properties of undefined
    at load (/app/load.js:3:9)
    at Object.<anonymous> (/app/load.js:7:1)"""
DOTNET = """Unhandled exception. System.InvalidOperationException: no table
   at Load.Read() in /src/Load.cs:line 3
   --- End of inner exception stack trace ---
   at Load.Main()"""
GO = """panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.load(...)
\t/src/main.go:8
main.main()
\t/src/main.go:12 +0x1d
exit status 2"""


def gathered(text: str) -> list[str]:
    gatherer = TraceGatherer()
    found = [record for line in text.encode().split(b"\n") for record in gatherer.feed(line)]
    return [record.decode() for record in [*found, *gatherer.flush()]]


def of_python(code: str) -> str:
    """What Python itself writes of an exception in some code."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr.rstrip()


PYTHON = of_python("def f(): raise ValueError('no table')\nf()")
CHAINED = of_python("try: {}['x']\nexcept KeyError as e: raise RuntimeError('load') from e")
HANDLING = of_python("try: {}['x']\nexcept KeyError: raise RuntimeError('load')")
GROUP = of_python("raise ExceptionGroup('two', [ValueError(1), TypeError(2)])")
LOGGED = of_python(
    "import logging\ntry: 1/0\nexcept Exception: logging.exception('load failed')\nraise SystemExit(1)"
)
TRACES = {
    "java": JAVA,
    "logback": LOGBACK,
    "node": NODE,
    "dotnet": DOTNET,
    "go": GO,
    "python": PYTHON,
    "chained": CHAINED,
    "while handling": HANDLING,
    "group": GROUP,
    "logging.exception": LOGGED,
}


@pytest.mark.parametrize("trace", TRACES.values(), ids=list(TRACES))
def test_a_trace_is_one_record_and_the_lines_around_it_are_their_own(trace: str) -> None:
    assert gathered(trace) == [trace]
    assert gathered(f"before\n{trace}\n\nINFO after") == ["before", trace, *_rest(trace), "INFO after"]


def _rest(trace: str) -> list[str]:
    """The empty line after a trace: it belongs to those whose own may have some."""
    return [] if trace in {GO, PYTHON, CHAINED, HANDLING, LOGGED} else [""]


@pytest.mark.parametrize(
    ("trace", "kind", "message"),
    [
        (JAVA, "java.lang.RuntimeException", "no table"),
        (LOGBACK, "java.lang.IllegalStateException", "no table"),
        (NODE, "TypeError", "Cannot read properties of undefined"),
        (DOTNET, "System.InvalidOperationException", "no table"),
        (PYTHON, "ValueError", "no table"),
        (CHAINED, "RuntimeError", "load"),
        (LOGGED, "ZeroDivisionError", "division by zero"),
    ],
)
def test_a_trace_is_an_error_and_says_its_exception(trace: str, kind: str, message: str) -> None:
    said = parse(trace.encode())
    assert said is not None
    assert said.body == trace
    assert said.severity is SeverityNumber.ERROR
    assert said.attributes == {"exception.type": kind, "exception.message": message}


def test_two_traces_in_a_row_are_two_records() -> None:
    assert gathered(f"{PYTHON}\n{PYTHON}") == [PYTHON, PYTHON]
    assert gathered(f"{JAVA}\n{JAVA}") == [JAVA, JAVA]


def test_lines_that_only_look_like_a_beginning_come_as_they_are() -> None:
    lines = ["ERROR one", "ValueError: two", "three", "  indented", "", "WARN four", "WARN five", "{}"]
    assert gathered("\n".join(lines)) == lines


def test_json_is_never_part_of_a_trace() -> None:
    line = '{"level": "error", "message": "x"}'
    assert gathered(f"ERROR a\n{line}\n{line}") == ["ERROR a", line, line]


def test_what_waits_can_be_asked_for_at_any_time() -> None:
    gatherer = TraceGatherer()
    lines = PYTHON.encode().split(b"\n")
    assert [record for line in lines[:2] for record in gatherer.feed(line)] == []
    assert gatherer.waits
    assert list(gatherer.flush()) == [b"\n".join(lines[:2])]
    assert not gatherer.waits
    assert list(gatherer.flush()) == []


def test_a_very_long_trace_becomes_several_records_of_frames() -> None:
    frames = [f"\tat com.acme.Load.read(Load.java:{number})" for number in range(5000)]
    records = gathered("\n".join(["java.lang.StackOverflowError", *frames]))
    assert all(len(record) <= MAX_TRACE_BYTES for record in records)
    assert len(records) <= 4
    assert "\n".join(records).split("\n")[1:] == frames


@given(
    st.lists(
        st.sampled_from(
            [line for trace in TRACES.values() for line in trace.split("\n")]
            + ["", "  x", "plain", "ERROR x", "{}", "\t"]
        ),
        max_size=60,
    )
)
def test_no_line_is_lost_or_changed_in_any_order(lines: list[str]) -> None:
    joined = "\n".join(gathered("\n".join(lines))).split("\n")
    assert [line.rstrip() for line in joined if line.strip()] == [
        line.rstrip() for line in lines if line.strip()
    ]
