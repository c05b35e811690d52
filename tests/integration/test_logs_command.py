"""``otel-prefect logs RUN``, with what moto's CloudWatch Logs hold."""

from __future__ import annotations

import json
import threading
import time
import webbrowser
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from demo import aws
from demo.processes import Processes
from otel_prefect import ids
from otel_prefect.commands import cli
from otel_prefect.commands import logs as command
from otel_prefect.view import insights
from tests.support import aws_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GROUP = "/otel-prefect"
RUN_ID = str(uuid4())


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:
    with Processes(tmp_path_factory.mktemp("moto")) as processes:
        made = aws.start(processes)
        logs = made.client("logs")
        logs.create_log_group(logGroupName=GROUP)
        put(logs, "flow", (27, "INFO", RUN_ID, "Beginning flow run"), (40, "WARNING", RUN_ID, "slow"))
        put(
            logs,
            "ingest",
            (30, "INFO", RUN_ID, "1500 rows"),
            (35, "ERROR", RUN_ID, "failed\nTraceback\n  in load"),
            (36, "ERROR", str(uuid4()), "another run's"),
        )
        yield made


def xray_trace_id(run_id: str) -> str:
    return ids.xray_trace_id(UUID(run_id).int)


def put(logs: Any, service: str, *said: tuple[int, str, str, str]) -> None:
    logs.create_log_stream(logGroupName=GROUP, logStreamName=service)
    events = [
        {
            "timestamp": 1_795_616_640_000 + second * 1000,
            "message": json.dumps(
                {
                    "timestamp": f"2026-11-25T14:24:{second:02}.5Z",
                    "level": level,
                    "service": service,
                    "flow_run_id": run_id,
                    "xray_trace_id": xray_trace_id(run_id),
                    "message": message,
                }
            ),
        }
        for second, level, run_id, message in said
    ]
    logs.put_log_events(logGroupName=GROUP, logStreamName=service, logEvents=events)


@pytest.fixture
def printed(
    moto: aws.Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command on the run: exit code, stdout, stderr."""
    for name, value in moto.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def run(*arguments: str, run_id: str = RUN_ID) -> tuple[int, str, str]:
        # The lines are of a fixed day, and X-Ray knows nothing of the run.
        code = cli.main(["logs", run_id, "--hours", "1000000", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_the_lines_of_all_processes_are_in_the_order_of_time(printed: Callable[..., Any]) -> None:
    assert printed() == (
        0,
        "2026-11-25 14:24:27.500 INFO  flow   Beginning flow run\n"
        "2026-11-25 14:24:30.500 INFO  ingest 1500 rows\n"
        "2026-11-25 14:24:35.500 ERROR ingest failed\n"
        "                                     Traceback\n"
        "                                       in load\n"
        "2026-11-25 14:24:40.500 WARN  flow   slow\n",
        "",
    )


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--level", "warn"], ["failed", "slow"]),
        (["--level", "ERROR"], ["failed"]),
        (["--process", "flow"], ["Beginning flow run", "slow"]),
        (["--grep", r"\d+ rows"], ["1500 rows"]),
        (["--grep", "load$"], ["failed"]),
        (["--process", "flow", "--level", "error"], []),
    ],
)
def test_what_is_asked_for_is_left(
    printed: Callable[..., Any], arguments: list[str], messages: list[str]
) -> None:
    code, out, _ = printed("--json", *arguments)
    assert code == 0
    assert [json.loads(line)["message"].partition("\n")[0] for line in out.splitlines()] == messages


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--log-group", "/nobody"], "logs:StartQuery on /nobody: "),
        (["--grep", "("], "--grep (: is no regular expression: "),
    ],
)
def test_what_cannot_be_done_is_said(printed: Callable[..., Any], arguments: list[str], said: str) -> None:
    code, out, err = printed(*arguments)
    assert (code, out) == (1, "")
    assert said in err


def test_the_log_is_opened_where_it_is_shown(
    printed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert printed("--open")[0] == 0
    digits = RUN_ID.replace("-", "")
    assert ["#logsV2:logs-insights" in each and digits[8:] in each for each in opened] == [True]


def test_a_run_without_lines_is_said(printed: Callable[..., Any]) -> None:
    code, _, err = printed(run_id=str(uuid4()))
    assert code == 1
    assert err == f"otel-prefect: {GROUP} in {aws.REGION} has no lines of this run\n"


def test_what_is_said_later_is_printed_until_the_run_has_ended(
    moto: aws.Aws, printed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_FOLLOW_SECONDS", 0.2)
    run_id = str(uuid4())
    logs, began = moto.client("logs"), int(time.time()) - 500
    put_now(logs, run_id, began, "first", "twice")
    put_now(logs, run_id, began, "twice")
    put_segment(moto, run_id, began, in_progress=True)

    def go_on() -> None:
        time.sleep(1)
        put_now(logs, run_id, began + 400, "second")
        put_segment(moto, run_id, began, end_time=began + 500.0)
        # Long before what has been printed by then.
        put_now(logs, run_id, began + 100, "late")

    thread = threading.Thread(target=go_on)
    thread.start()
    code, out, err = printed("--follow", "--json", run_id=run_id)
    thread.join()
    assert (code, err) == (0, "")
    said = [json.loads(line)["message"] for line in out.splitlines()]
    assert sorted(said) == ["first", "late", "second", "twice", "twice"]
    assert said[:3] == ["first", "twice", "twice"]


@pytest.fixture
def gate(moto: aws.Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[aws_gate.Gate]:
    """What answers queries of Logs Insights, before moto, whose own gives all events."""
    with aws_gate.opened(moto.url) as opened:
        for name, value in moto.variables().items():
            monkeypatch.setenv(name, value.replace(moto.url, opened.url))
        yield opened


def test_the_log_of_hours_is_looked_up_and_not_read_through(
    gate: aws_gate.Gate, moto: aws.Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.insights.page = 7
    run_id, began = str(uuid4()), int(time.time()) - 7200
    put_now(moto.client("logs"), run_id, began, *(f"at once {n}" for n in range(10)))
    put_now(moto.client("logs"), run_id, began + 3600, *(f"later {n}" for n in range(10)))
    put_now(moto.client("logs"), str(uuid4()), began + 1800, "another run's")
    assert cli.main(["logs", run_id, "--json"]) == 0
    said = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(said[:10]) == [f"at once {n}" for n in range(10)]
    assert sorted(said[10:]) == [f"later {n}" for n in range(10)]
    assert "logs:FilterLogEvents" not in gate.asked
    assert gate.insights.stopped == []


def test_more_than_a_query_gives_is_asked_for_in_parts(
    gate: aws_gate.Gate,
    moto: aws.Aws,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insights, "MOST", 5)
    run_id, began = str(uuid4()), int(time.time()) - 7200
    for minute in range(20):
        put_now(moto.client("logs"), run_id, began + minute * 60, f"minute {minute:02}")
    put_now(moto.client("logs"), run_id, began + 3000, *(f"at once {n}" for n in range(8)))
    assert cli.main(["logs", run_id, "--json"]) == 0
    out, err = capsys.readouterr()
    said = [json.loads(line)["message"] for line in out.splitlines()]
    assert said[:20] == [f"minute {minute:02}" for minute in range(20)]
    # Of more than it gives of one second, what it gives. It is looked for on the edge of two times.
    assert len(set(said[20:])) == 5
    assert err == "otel-prefect: up to 6 more log lines of the same second are not here\n"
    assert len(gate.insights.queries) > 4


def test_processes_of_one_service_are_told_apart_by_their_source(
    printed: Callable[..., Any], moto: aws.Aws
) -> None:
    run_id, began = str(uuid4()), int(time.time()) - 500
    for second, source in enumerate(("crm", "shop", None)):
        put_now(moto.client("logs"), run_id, began + second, f"of {source}", source=source)
    code, out, _ = printed(run_id=run_id)
    assert code == 0
    assert [line[30:] for line in out.splitlines()] == [
        "flow [crm]  of crm",
        "flow [shop] of shop",
        "flow        of None",
    ]
    assert printed("--process", "flow [shop]", run_id=run_id)[1].endswith("flow [shop] of shop\n")
    assert len(printed("--process", "flow", run_id=run_id)[1].splitlines()) == 3


@pytest.mark.parametrize("action", ["StartQuery", "GetQueryResults"])
def test_what_is_not_allowed_is_named(
    gate: aws_gate.Gate, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    gate.denied = {f"logs:{action}": aws_gate.NO_POLICY}
    assert cli.main(["logs", RUN_ID, "--hours", "1000000"]) == 1
    assert f"no log lines: logs:{action} on {GROUP}: " in capsys.readouterr().err


def test_a_run_that_is_followed_is_looked_up_when_it_begins_and_when_it_ends(
    gate: aws_gate.Gate, moto: aws.Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_FOLLOW_SECONDS", 0.2)
    run_id, now = str(uuid4()), int(time.time())
    began = now - 3000
    put_now(moto.client("logs"), run_id, began, "first")
    put_segment(moto, run_id, began, in_progress=True)

    def go_on() -> None:
        while gate.asked.count("logs:FilterLogEvents") < 3:
            time.sleep(0.05)
        put_now(moto.client("logs"), run_id, now, "second")
        while gate.asked.count("logs:FilterLogEvents") < 6:
            time.sleep(0.05)
        # Too late to be found by who looks at the last minute.
        put_now(moto.client("logs"), run_id, began + 100, "late")
        put_segment(moto, run_id, began, end_time=float(now))

    thread = threading.Thread(target=go_on)
    thread.start()
    assert cli.main(["logs", run_id, "--follow", "--json"]) == 0
    thread.join()
    said = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()]
    assert said == ["first", "second", "late"]
    # At the end once more than there was something new.
    assert len(gate.insights.queries) == 3


def put_now(logs: Any, run_id: str, second: int, *messages: str, source: str | None = None) -> None:
    stream = str(uuid4())
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    at = datetime.fromtimestamp(second, timezone.utc)
    record = {"timestamp": f"{at:%Y-%m-%dT%H:%M:%S}Z", "level": "INFO", "service": "flow"}
    record |= {"source": source} if source else {}
    events = [
        {
            "timestamp": second * 1000,
            "message": json.dumps({**record, "xray_trace_id": xray_trace_id(run_id), "message": message}),
        }
        for message in messages
    ]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def put_segment(moto: aws.Aws, run_id: str, start: float, **more: Any) -> None:
    segment = {"id": run_id[-16:].replace("-", "0"), "name": "flow", "start_time": start}
    segment["trace_id"] = xray_trace_id(run_id)
    moto.client("xray").put_trace_segments(TraceSegmentDocuments=[json.dumps({**segment, **more})])
