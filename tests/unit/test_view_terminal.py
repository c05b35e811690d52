"""What the terminal shows, compared with ``tests/unit/golden``.

``UPDATE_GOLDEN=1`` writes those anew: look at them then.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from otel_prefect import semconv
from otel_prefect.view import compare, words
from otel_prefect.view.execution import Caught, Execution, Span, Status
from otel_prefect.view.log_lines import Line
from otel_prefect.view.terminal import compare as terminal_compare
from otel_prefect.view.terminal.show import Middle, show
from tests.support.view import TRACE_ID, span

if TYPE_CHECKING:
    from rich.console import RenderableType

GOLDEN = Path(__file__).with_name("golden")
BEGAN = 1_795_616_667.0
RUN_ID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
BAD = Status.FAULT


def at(made: Span, **attributes: object) -> Span:
    """Return a span whose times are seconds since the execution began."""
    end = None if made.end is None else BEGAN + made.end
    return replace(made, start=BEGAN + made.start, end=end, attributes=attributes)


def flow(end: float | None, status: Status, state: str) -> Span:
    attributes = {
        semconv.RECORD_FLOW_RUN_ID: RUN_ID,
        semconv.PREFECT_RUN_NAME: "hungry-flounder",
        semconv.PREFECT_STATE_NAME: state,
    }
    return at(span("flow daily-sales", 0, end, service="daily-sales-flow", status=status), **attributes)


def line(second: float, level: str, message: str) -> Line:
    return Line(BEGAN + second, level, "daily-sales-ingest", message)


def completed() -> tuple[Execution, list[Line]]:
    tests = [at(span(f"test {n}", 6 + n / 10, 6.1 + n / 10, "dbt build")) for n in range(30)]
    spans = [
        flow(10, Status.OK, "Completed"),
        at(span("task extract", 0.1, 1, "flow daily-sales")),
        at(span("task build", 1, 9.8, "flow daily-sales")),
        at(span("dbt build", 4, 9.5, "task build", service="daily-sales-dbt")),
        *tests,
    ]
    return Execution(TRACE_ID, spans), []


def failed() -> tuple[Execution, list[Line]]:
    caught = Caught("builtins.EOFError", "the file ended early", ("load.py:40 in main", "load.py:12 in read"))
    attempts = [
        replace(
            at(
                span(f"a{n}", 1 + 5 * n, 5 + 5 * n, "task ingest", service="daily-sales-ingest", status=BAD),
                source="crm",
            ),
            name="ingest",
            exceptions=(caught,),
        )
        for n in range(3)
    ]
    spans = [
        flow(20, BAD, "Failed"),
        at(span("task ingest", 0.5, 19, "flow daily-sales", status=BAD)),
        *attempts,
        at(span("task check", 0.5, 2, "flow daily-sales", status=Status.ERROR)),
    ]
    lines = [line(second, "INFO", f"row {second}") for second in range(15)]
    return Execution(TRACE_ID, spans), [
        *lines,
        line(14.9, "ERROR", "cannot read on after 731 rows\nmore of it"),
    ]


def killed() -> tuple[Execution, list[Line]]:
    said = "container ingest ended with exit code 137 (SIGKILL: killed, most often for using more memory)"
    program = at(
        span("ingest", 2, 7, "task ingest", service="daily-sales-ingest", status=BAD),
        **{semconv.CLOSED_BY: "sidecar"},
    )
    spans = [
        flow(8, BAD, "Failed"),
        at(span("task ingest", 0.5, 7.9, "flow daily-sales", status=BAD)),
        replace(program, exceptions=(Caught("SIGKILL", said),)),
    ]
    return Execution(TRACE_ID, spans), [line(6.2, "INFO", "reading landing/crm.jsonl.gz into memory")]


def in_progress() -> tuple[Execution, list[Line]]:
    spans = [
        flow(None, Status.IN_PROGRESS, ""),
        at(span("task extract", 0.1, 1, "flow daily-sales")),
        at(span("task ingest", 1, None, "flow daily-sales", status=Status.IN_PROGRESS)),
        at(span("lost", 2, 3, "nobody")),
    ]
    return Execution(TRACE_ID, spans), []


CASES = {"completed": completed, "failed": failed, "killed": killed, "in-progress": in_progress}


def printed(what: RenderableType, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, legacy_windows=False).print(what)
    return "\n".join(row.rstrip() for row in out.getvalue().splitlines()) + "\n"


def golden(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def shown(
    execution: Execution,
    lines: list[Line],
    *,
    width: int = 100,
    now: float | None = None,
    middle: Middle = Middle.WATERFALL,
) -> str:
    return printed(show(execution, lines, now, middle=middle), width)


def beside(after: Execution, before: Execution) -> str:
    return printed(terminal_compare.show(after, compare.one(before, "calm-carp")))


@pytest.mark.parametrize("case", CASES)
def test_it_looks_as_it_did(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    golden(case, shown(*CASES[case](), now=BEGAN + 12))


@pytest.mark.parametrize("middle", [Middle.LOGS, Middle.CRITICAL_PATH])
def test_its_log_and_its_critical_path_look_as_they_did(
    middle: Middle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    golden(f"failed-{middle.value.replace(' ', '-')}", shown(*failed(), middle=middle))


def test_a_run_that_failed_looks_so_beside_one_that_completed() -> None:
    golden("compared", beside(failed()[0], completed()[0]))


def test_a_run_beside_itself_is_not_different() -> None:
    assert "nothing is much different" in beside(failed()[0], failed()[0])


@pytest.mark.parametrize("middle", Middle)
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("case", CASES)
def test_no_line_is_wider_than_the_terminal(case: str, width: int, middle: Middle) -> None:
    assert max(len(row) for row in shown(*CASES[case](), width=width, middle=middle).splitlines()) <= width


def test_twenty_thousand_spans_are_folded_and_those_that_failed_are_not() -> None:
    many = [
        at(
            span(
                f"task {n}",
                n / 10_000,
                (n + 1) / 10_000,
                "flow daily-sales",
                status=BAD if n == 7_000 else Status.OK,
            )
        )
        for n in range(20_000)
    ]
    text = shown(Execution(TRACE_ID, [flow(10, Status.OK, "Completed"), *many]), [])
    assert len(text.splitlines()) < 60
    assert "task 7000" in text
    assert "… 19,989 more" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0214, "21 ms"),
        (1.4, "1.4 s"),
        (99.94, "99.9 s"),
        (100, "1 min 40 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations_are_in_units_that_suit_them(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text
