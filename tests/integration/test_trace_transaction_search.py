"""``otel-prefect trace RUN`` where Transaction Search is on, and X-Ray finds no trace by its id alone."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from demo import aws
from demo.processes import Processes
from otel_prefect.commands import cli
from tests.integration.test_trace_command import RUN_ID, failing, put_segments
from tests.support import aws_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RETRIEVAL = ("xray:StartTraceRetrieval", "xray:ListRetrievedTraces")
GROUP = "logs:StartQuery"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:
    with Processes(tmp_path_factory.mktemp("moto")) as processes:
        yield aws.start(processes)


@pytest.fixture
def gate(moto: aws.Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[aws_gate.Gate]:
    with aws_gate.opened(moto.url) as opened:
        opened.destination = "CloudWatchLogs"
        for name, value in {**moto.variables(), "COLUMNS": "120", "TZ": "UTC"}.items():
            monkeypatch.setenv(name, value.replace(moto.url, opened.url))
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
        yield opened


@pytest.fixture(scope="module", autouse=True)
def _sent(moto: aws.Aws) -> None:
    """Send a run's segments once, to a gate before this moto."""
    with aws_gate.opened(moto.url) as opened:
        opened.destination = "CloudWatchLogs"
        put_segments(replace(moto, url=opened.url), *failing())


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["trace", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def is_whole(out: str) -> bool:
    """Tell whether the run is shown with its processes, their failures and the exception."""
    cause = "daily-sales-ingest [crm] ▸ ingest  EOFError: the file ended early  3 times"
    return cause in out and "daily-sales-flow flow daily-sales" in out and out.count("fault") == 4


def test_x_ray_is_asked_to_look_the_run_up(
    gate: aws_gate.Gate, shown: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = shown(RUN_ID)
    assert code == 0, err
    assert is_whole(out), out
    assert gate.asked.count(RETRIEVAL[0]) == 1


def test_who_may_not_have_it_looked_up_reads_the_log_group(
    gate: aws_gate.Gate, shown: Callable[..., tuple[int, str, str]]
) -> None:
    gate.denied = {RETRIEVAL[0]: aws_gate.NO_POLICY}
    code, out, err = shown(RUN_ID)
    assert code == 0, err
    assert is_whole(out), out


def test_who_may_neither_is_told_what_to_allow(
    gate: aws_gate.Gate, shown: Callable[..., tuple[int, str, str]]
) -> None:
    gate.denied = {RETRIEVAL[0]: aws_gate.NO_POLICY, GROUP: aws_gate.NO_POLICY}
    code, out, err = shown(RUN_ID)
    assert (code, out) == (1, "")
    assert "xray:StartTraceRetrieval" in err
    assert "logs:StartQuery on aws/spans" in err


def test_a_run_that_is_nowhere_is_said_with_where_it_was_looked_for(
    gate: aws_gate.Gate, shown: Callable[..., tuple[int, str, str]]
) -> None:
    assert gate.destination == "CloudWatchLogs"
    code, out, err = shown("11111111-9955-4b90-b936-5fbd34f1a6d5", "--hours", "48")
    assert (code, out) == (1, "")
    assert "X-Ray in eu-west-1 has no trace 1-11111111-99554b90b9365fbd34f1a6d5" in err
    assert "aws/spans has nothing of it in the last 48 hours" in err


def test_who_may_not_ask_whether_it_is_on_is_told_so(
    gate: aws_gate.Gate, shown: Callable[..., tuple[int, str, str]]
) -> None:
    gate.denied = {"xray:GetTraceSegmentDestination": aws_gate.NO_POLICY}
    code, _, err = shown(RUN_ID)
    assert code == 1
    assert "xray:GetTraceSegmentDestination" in err
    assert "not authorized" in err


def test_the_page_is_written_from_it_too(
    gate: aws_gate.Gate, shown: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    assert gate.destination == "CloudWatchLogs"
    began = time.monotonic()
    code, _, err = shown(RUN_ID, "--html", str(tmp_path / "run.html"))
    assert code == 0, err
    assert "the file ended early" in (tmp_path / "run.html").read_text()
    assert time.monotonic() - began < 60
