"""``otel-prefect runs --traces`` reads runs at the same time, and keeps what is whose."""

from __future__ import annotations

import threading
from argparse import Namespace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from otel_prefect import ids
from otel_prefect.commands import runs
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources import options
from otel_prefect.commands.sources.source import NoTrace
from otel_prefect.view.recent import Recent
from tests.support.view import execution, span

if TYPE_CHECKING:
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

AT_ONCE = 5


def run(number: int) -> Recent:
    run_id = str(UUID(int=(1 << 100) + number))
    return Recent(run_id, f"run {number}", "flow", "COMPLETED", 1.0, 1.0, None, ids.trace_id_of(run_id), "")


class Source:
    """Answers for a run only when as many are asked for as are to be read at a time."""

    def __init__(self) -> None:
        self.together = threading.Barrier(AT_ONCE, timeout=30)
        self.missing = ""
        self.first = ""

    def execution(self, trace_id: str, since: float) -> Execution:
        number = int(trace_id, 16) & 0xFF
        if not self.first:
            self.first = trace_id
        else:
            self.together.wait()
        if number == 3:
            raise NoTrace("none")
        return execution(*(span(str(each), since, since + 1) for each in range(number + 1)))

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:
        assert trace_id
        assert start < end
        return [], self.missing


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    made = Source()
    monkeypatch.setattr(options, "asked", lambda _: made)
    return made


def test_each_run_has_what_is_its_own_and_one_without_a_trace_has_nothing(source: Source) -> None:
    found = [run(number) for number in range(1 + 2 * AT_ONCE)]
    seen = runs._observed(found, Namespace(log_price=0.5))
    assert {each.name: seen[each.id].spans for each in found if each.id in seen} == {
        f"run {number}": number + 1 for number in range(1 + 2 * AT_ONCE) if number != 3
    }
    assert int(source.first, 16) & 0xFF == 0


def test_what_cannot_be_read_of_one_is_said(source: Source) -> None:
    source.missing = "no log lines: refused"
    with pytest.raises(CommandError, match="no log lines: refused"):
        runs._observed([run(number) for number in range(1 + AT_ONCE)], Namespace(log_price=0.5))
