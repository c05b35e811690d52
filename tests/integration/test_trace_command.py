"""``otel-prefect trace RUN``, with what moto's X-Ray and CloudWatch Logs hold."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from demo import aws
from demo.processes import Processes
from otel_prefect import ids
from otel_prefect.commands import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUN_ID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE_ID = "1-3c32c202-99554b90b9365fbd34f1a6d5"
OTHER = "4d32c20299554b90b9365fbd34f1a6d5"
BEGAN = 1_795_616_667.0
GROUP = "/otel-prefect"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:
    with Processes(tmp_path_factory.mktemp("moto")) as processes:
        made = aws.start(processes)
        put_segments(made, *failing())
        put_lines(made)
        yield made


@pytest.fixture
def shown(
    moto: aws.Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command: exit code, stdout, stderr."""
    for name, value in {**moto.variables(), "COLUMNS": "120", "TZ": "UTC"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["trace", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def segment(id_: str, name: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{id_:0>16}",
        "name": name,
        "trace_id": TRACE_ID,
        "start_time": BEGAN + start,
        "end_time": BEGAN + end,
        **more,
    }


def failing() -> list[dict[str, Any]]:
    """A flow whose ingestion fails three times on what it reads."""
    flow = segment(
        "f",
        "daily-sales-flow",
        0,
        20,
        fault=True,
        annotations={"operation": "flow daily-sales", "flow_run_id": RUN_ID},
        metadata={"default": {"prefect.run.name": "hungry-flounder", "prefect.state.name": "Failed"}},
    )
    cause = {
        "exceptions": [
            {
                "id": "e",
                "type": "builtins.EOFError",
                "message": "the file ended early",
                "stack": [{"path": "load.py", "line": 12, "label": "read"}],
            }
        ]
    }
    programs = [
        segment(
            f"a{n}",
            "daily-sales-ingest",
            1 + 5 * n,
            5 + 5 * n,
            parent_id=f"{'f':0>16}",
            fault=True,
            cause=cause,
            annotations={"operation": "ingest", "source": "crm", "flow_run_id": RUN_ID},
        )
        for n in range(3)
    ]
    return [flow, *programs]


def put_segments(moto: aws.Aws, *documents: dict[str, Any]) -> None:
    moto.client("xray").put_trace_segments(TraceSegmentDocuments=[json.dumps(each) for each in documents])


def put_lines(moto: aws.Aws) -> None:
    logs = moto.client("logs")
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName="s")
    events = [
        {
            "timestamp": int((BEGAN + second) * 1000),
            "message": json.dumps(
                {
                    "timestamp": f"2026-11-25T14:24:{27 + second:02}Z",
                    "level": level,
                    "service": "daily-sales-ingest",
                    "flow_run_id": run_id,
                    "xray_trace_id": ids.xray_trace_id(UUID(run_id).int),
                    "message": message,
                }
            ),
        }
        for second, level, run_id, message in (
            (12, "INFO", RUN_ID, "reading landing/crm/2026-03-01.jsonl.gz"),
            (14, "ERROR", RUN_ID, "cannot read on after 731 rows"),
            (14, "ERROR", "00000000-9955-4b90-b936-5fbd34f1a6d5", "another run's line"),
        )
    ]
    logs.put_log_events(logGroupName=GROUP, logStreamName="s", logEvents=events)


def test_the_cause_stands_on_the_first_screen_with_its_log_lines(shown: Callable[..., Any]) -> None:
    code, out, _ = shown(RUN_ID)
    assert code == 0
    first_screen = out.splitlines()[:24]
    assert first_screen[0].startswith("Failed  flow daily-sales  hungry-flounder")
    assert "20 s" in first_screen[0]
    text = "\n".join(first_screen)
    assert "2026-11-25 14:24:27 UTC" in text
    assert f"flow run {RUN_ID}" in text
    assert "daily-sales-ingest [crm] ▸ ingest  EOFError: the file ended early  3 times" in text
    assert "load.py:12 in read" in text
    assert "cannot read on after 731 rows" in text
    assert "another run's line" not in out


def test_all_of_it_is_shown_to_scale_and_where_the_time_went(shown: Callable[..., Any]) -> None:
    _, out, _ = shown(TRACE_ID)
    rows = [line for line in out.splitlines() if "█" in line or "▐" in line]
    assert [row.partition("◆")[0].rstrip() for row in rows] == [
        "daily-sales-flow flow daily-sales",
        "├ daily-sales-ingest [crm] ingest",
        "├ daily-sales-ingest [crm] ingest",
        "└ daily-sales-ingest [crm] ingest",
    ]
    assert all("fault" in row and "◆" in row for row in rows)
    shares = out[out.index("where the time went") :]
    assert "daily-sales-ingest [crm]  ingest" in shares
    assert "60%" in shares
    assert "until daily-sales-ingest was tried again" in shares
    assert "10%" in shares


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (
            "nonsense",
            "'nonsense' is no id of a flow run or a trace, and to ask Prefect for a run of that name: ",
        ),
        ("1-zz-99554b90b9365fbd34f1a6d5", "PREFECT_API_URL: an http:// or https:// URL is needed"),
        ("11111111-9955-4b90-b936-5fbd34f1a6d5", "has no trace 1-11111111-99554b90b9365fbd34f1a6d5"),
    ],
)
def test_a_run_that_is_not_there_is_said(shown: Callable[..., Any], run: str, said: str) -> None:
    code, out, err = shown(run)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_log_group_that_is_not_there_is_said_and_the_trace_is_shown(shown: Callable[..., Any]) -> None:
    code, out, err = shown(RUN_ID, "--log-group", "/nobody")
    assert code == 0
    assert "EOFError" in out
    assert "no log lines: logs:FilterLogEvents on /nobody:" in err


def test_it_ends_with_links_to_what_else_shows_the_run(
    shown: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    _, out, _ = shown(RUN_ID, "--open")
    elsewhere = "".join(line.strip() for line in out[out.index("elsewhere") :].splitlines())
    console = f"https://{aws.REGION}.console.aws.amazon.com/cloudwatch/home?region={aws.REGION}"
    assert f"{console}#xray:traces/{TRACE_ID}" in elsewhere
    assert f"{console}#logsV2:logs-insights$3FqueryDetail$3D~(end~'2026-11-25T14*3a25*3a47.000Z" in elsewhere
    assert f"http://127.0.0.1:9/runs/flow-run/{RUN_ID}" in elsewhere
    assert opened == [f"{console}#xray:traces/{TRACE_ID}"]


def test_aws_that_cannot_be_reached_is_said(
    shown: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    code, _, err = shown(RUN_ID)
    assert code == 1
    assert "xray:BatchGetTraces: " in err


def test_for_machines_it_says_the_same(shown: Callable[..., Any]) -> None:
    code, out, _ = shown(RUN_ID, "--json")
    assert code == 0
    said = json.loads(out)
    assert (said["xray_trace_id"], said["start"], said["seconds"]) == (TRACE_ID, BEGAN, 20)
    (failure,) = said["failures"]
    assert (failure["process"], failure["source"], failure["count"]) == ("daily-sales-ingest", "crm", 3)
    assert failure["said"] == "EOFError: the file ended early"
    assert [(each["depth"], each["name"], each["waited_for"]) for each in said["spans"]] == [
        (0, "flow daily-sales", 8),
        *[(1, "ingest", 4)] * 3,
    ]


def test_it_is_written_as_otlp_and_read_from_that_file(shown: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    assert shown(RUN_ID, "--otlp", str(file)) == (0, "", "")
    _, from_xray, _ = shown(RUN_ID, "--json")
    code, from_file, err = shown(RUN_ID, "--file", str(file), "--json")
    assert (code, err) == (0, "")
    assert json.loads(from_file) == json.loads(from_xray)
    code, out, _ = shown(TRACE_ID, "--file", str(file))
    assert code == 0
    assert "EOFError: the file ended early  3 times" in out


def test_a_file_without_the_trace_is_said(shown: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    shown(RUN_ID, "--otlp", str(file))
    code, _, err = shown("11111111-9955-4b90-b936-5fbd34f1a6d5", "--file", str(file))
    assert code == 1
    assert err == (
        f"otel-prefect: {file}: has no spans of trace 1111111199554b90b9365fbd34f1a6d5; of these it has: "
        "3c32c20299554b90b9365fbd34f1a6d5\n"
    )
    assert "No such file" in shown(RUN_ID, "--file", str(tmp_path / "nothing"))[2]


def test_it_is_compared_with_another_run(shown: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    shown(RUN_ID, "--otlp", str(file))
    other = file.read_text().replace(TRACE_ID[2:].replace("-", ""), OTHER).replace('"code": 2', '"code": 1')
    both = tmp_path / "both.json"
    both.write_text(file.read_text() + other)
    code, out, _ = shown(RUN_ID, "--file", str(both), "--compare", f"1-{OTHER[:8]}-{OTHER[8:]}")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("daily-sales-ingest [crm]"))
    assert row.split()[-8:] == ["12", "s", "12", "s", "3", "failed,", "0", "before"]


def test_a_run_in_progress_is_followed_until_it_has_ended(
    moto: aws.Aws, shown: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = "22222222-9955-4b90-b936-5fbd34f1a6d5"
    flow = {**segment("b", "hourly", 0, 9), "trace_id": "1-22222222-99554b90b9365fbd34f1a6d5"}
    begun = {key: value for key, value in flow.items() if key != "end_time"} | {"in_progress": True}
    # What comes to X-Ray while the command waits: nothing, the beginning, the end.
    comes = iter([[begun], [flow]])
    monkeypatch.setattr("time.sleep", lambda _: put_segments(moto, *next(comes)))
    code, out, err = shown(run_id, "--follow")
    assert (code, err) == (0, "")
    assert out.startswith("ok  hourly")
    assert "9 s" in out.splitlines()[0]
    assert next(comes, None) is None


def test_what_was_not_understood_and_what_may_still_come_is_said(
    moto: aws.Aws, shown: Callable[..., Any]
) -> None:
    run_id, now = str(uuid4()), time.time()
    digits = run_id.replace("-", "")
    told = {"trace_id": f"1-{digits[:8]}-{digits[8:]}", "start_time": now - 5, "end_time": now}
    put_segments(moto, {**told, "id": digits[:16], "name": "flow", "subsegments": ["what is this?"]})
    code, out, err = shown(run_id)
    assert (code, err) == (0, "")
    assert "incomplete: 1 parts of the trace were not understood" in out
    assert "incomplete: the run has just ended, and spans and log lines may still be on their way" in out
    assert json.loads(shown(run_id, "--json")[1])["incomplete"][0].startswith("1 parts")
