"""``otel-prefect logs RUN``, with what moto's CloudWatch Logs hold."""

from __future__ import annotations

import json
import threading
import time
import webbrowser
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from demo import aws
from demo.processes import Processes
from otel_prefect.commands import cli
from otel_prefect.commands import logs as command

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
        (["--log-group", "/nobody"], "logs:FilterLogEvents on /nobody: "),
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
    assert ["#logsV2:logs-insights" in address and RUN_ID in address for address in opened] == [True]


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


def put_now(logs: Any, run_id: str, second: int, *messages: str) -> None:
    stream = str(uuid4())
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    at = datetime.fromtimestamp(second, timezone.utc)
    record = {"timestamp": f"{at:%Y-%m-%dT%H:%M:%S}Z", "level": "INFO", "service": "flow"}
    events = [
        {
            "timestamp": second * 1000,
            "message": json.dumps({**record, "flow_run_id": run_id, "message": message}),
        }
        for message in messages
    ]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def put_segment(moto: aws.Aws, run_id: str, start: float, **more: Any) -> None:
    digits = run_id.replace("-", "")
    trace_id = f"1-{digits[:8]}-{digits[8:]}"
    segment = {"id": digits[:16], "name": "flow", "trace_id": trace_id, "start_time": start}
    moto.client("xray").put_trace_segments(TraceSegmentDocuments=[json.dumps({**segment, **more})])
