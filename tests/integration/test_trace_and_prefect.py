"""``otel-prefect trace`` with a real Prefect server, which knows names, times, and a flow's other runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from demo import aws, prefect_server
from demo.processes import Processes
from otel_prefect.commands import cli
from otel_prefect.prefect import api as prefect_api
from tests.integration.test_trace_command import BEGAN, put_segments
from tests.integration.test_view_runs import begun, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_prefect.prefect.api import Api

COMPLETED = {"type": "COMPLETED", "name": "Completed"}
FAILED = {"type": "FAILED", "name": "Failed"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[aws.Aws, Api]]:
    with Processes(tmp_path_factory.mktemp("logs")) as processes:
        moto = aws.start(processes)
        server = prefect_server.start(processes, tmp_path_factory.mktemp("prefect"))
        yield moto, prefect_api.of_environment({"PREFECT_API_URL": server.url})


@pytest.fixture(scope="module")
def made(running: tuple[aws.Aws, Api]) -> dict[str, str]:
    """Four completed runs of a flow with traces, one without, and one that is slow: name → id."""
    moto, api = running
    found = {}
    for name, load in (("calm-carp", 2), ("wild-wolf", 30), ("tiny-toad", 4), ("warm-worm", 3)):
        found[name] = completed(api, name)
        put_segments(moto, *segments(found[name], name, load))
    found["lost-lynx"] = completed(api, "lost-lynx")
    found["slow-sloth"] = begun(api, "daily-sales", "slow-sloth")
    put_segments(moto, *segments(found["slow-sloth"], "slow-sloth", 60))
    return found


def completed(api: Api, name: str) -> str:
    run_id = begun(api, "daily-sales", name)
    post(api, f"/flow_runs/{run_id}/set_state", {"state": COMPLETED, "force": True})
    return run_id


def segments(run_id: str, name: str, load: float) -> list[dict[str, Any]]:
    """Return a flow that loads for some seconds."""
    digits = run_id.replace("-", "")
    common = {"trace_id": f"1-{digits[:8]}-{digits[8:]}", "start_time": BEGAN}
    about = {"operation": "flow daily-sales", "flow_run_id": run_id, "flow_name": "daily-sales"}
    told = {"default": {"prefect.run.name": name, "prefect.state.name": "Completed"}}
    span_id = digits[:16]
    task = {"id": digits[16:], "name": "task load", "start_time": BEGAN, "end_time": BEGAN + load}
    flow = {"id": span_id, "name": "daily-sales-flow", "end_time": BEGAN + load + 1}
    return [{**common, **flow, "annotations": about, "metadata": told, "subsegments": [task]}]


@pytest.fixture
def shown(
    running: tuple[aws.Aws, Api], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    moto, api = running
    variables = {**moto.variables(), "COLUMNS": "120", "TZ": "UTC", "PREFECT_API_URL": api.base}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, command: str = "trace") -> tuple[int, str, str]:
        code = cli.main([command, *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.usefixtures("made")
def test_a_run_is_compared_with_the_median_of_its_flow_s_completed_runs(
    shown: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = shown("slow-sloth", "--compare", "median")
    assert code == 0, err
    # Of 2, 30, 4 and 3 seconds of loading: 3.5, and a second more for the flow.
    assert "compared with  the median of 4 runs" in out
    assert "task load" in out
    assert "+56.5 s" in out


@pytest.mark.usefixtures("made")
def test_machines_get_the_difference_too(shown: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = shown("slow-sloth", "--compare", "calm-carp", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["run"], found["compared_with"]) == ("slow-sloth", "calm-carp")
    (load,) = [each for each in found["differences"] if each["name"] == "task load"]
    assert load["seconds"] == pytest.approx(58, abs=0.01)
    assert (load["before"]["count"], load["after"]["count"]) == (1, 1)


@pytest.mark.usefixtures("made")
def test_it_can_be_said_of_how_many(shown: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = shown("slow-sloth", "--compare", "median:3")
    assert code == 0, err
    # The newest three: one without a trace, and loads of 3 and 4 seconds.
    assert "the median of 2 runs" in out
    assert "+56.5 s" in out


@pytest.mark.usefixtures("made")
def test_a_run_that_is_compared_with_the_median_is_not_of_it(
    shown: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = shown("warm-worm", "--compare", "median:200")
    assert code == 0, err
    assert "the median of 3 runs" in out


def test_a_flow_without_other_runs_has_no_median(
    running: tuple[aws.Aws, Api], shown: Callable[..., tuple[int, str, str]]
) -> None:
    run_id = begun(running[1], "hourly", "lone-lion")
    made = segments(run_id, "lone-lion", 1)
    put_segments(running[0], json.loads(json.dumps(made[0]).replace("daily-sales", "hourly")))
    code, out, err = shown("lone-lion", "--compare", "median")
    assert (code, out) == (1, "")
    assert "of the flow hourly there is no completed run with a trace but this one" in err


def test_a_name_that_is_misspelt_is_answered_with_what_is_like_it(
    made: dict[str, str], shown: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = shown("calm-crap")
    assert (code, out) == (1, "")
    assert "has no flow run 'calm-crap'; was one of these meant?" in err
    assert f"\n  calm-carp  {made['calm-carp']}  COMPLETED  20" in err


def test_an_id_that_is_mistyped_is_answered_with_what_is_like_it(
    made: dict[str, str], shown: Callable[..., tuple[int, str, str]]
) -> None:
    right = made["wild-wolf"]
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    code, out, err = shown(wrong)
    assert (code, out) == (1, "")
    assert "X-Ray in eu-west-1 has no trace" in err
    assert f"does not know it; was one of these meant?\n  wild-wolf  {right}" in err


@pytest.mark.usefixtures("made")
def test_an_id_that_is_like_none_is_answered_with_the_newest_runs(
    shown: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, err = shown(str(uuid4()))
    assert code == 1
    assert err.count("\n  ") == 3


def test_a_run_without_a_trace_is_told_with_what_prefect_knows(
    made: dict[str, str], shown: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = shown(made["lost-lynx"])
    assert code == 1
    assert "\nPrefect knows the run: lost-lynx, COMPLETED, began 20" in err


@pytest.fixture(scope="module")
def observed(running: tuple[aws.Aws, Api]) -> str:
    """A run that failed in an ingestion and said so; return its id."""
    moto, api = running
    run_id = begun(api, "nightly", "pale-puma")
    for name, state in (("check", COMPLETED), ("ingest-crm", FAILED), ("publish", FAILED)):
        task = {"flow_run_id": run_id, "task_key": name, "dynamic_key": "0", "name": name, "state": state}
        post(api, "/task_runs/", task)
    post(api, f"/flow_runs/{run_id}/set_state", {"state": FAILED, "force": True})
    flow = segments(run_id, "pale-puma", 5)[0] | {"fault": True}
    program = {
        **{key: flow[key] for key in ("trace_id", "start_time")},
        "id": "00000000000000aa",
        "parent_id": flow["id"],
        "name": "crm-ingest",
        "end_time": BEGAN + 3,
        "fault": True,
        "annotations": {"operation": "ingest", "source": "crm"},
    }
    put_segments(moto, flow, program)
    logs = moto.client("logs")
    logs.create_log_group(logGroupName="/otel-prefect")
    logs.create_log_stream(logGroupName="/otel-prefect", logStreamName="s")
    said = {"timestamp": "2026-11-25T14:24:28Z", "flow_run_id": run_id, "message": "x" * 1000}
    said["xray_trace_id"] = flow["trace_id"]
    event = {"timestamp": int((BEGAN + 1) * 1000), "message": json.dumps(said)}
    logs.put_log_events(logGroupName="/otel-prefect", logStreamName="s", logEvents=[event])
    return run_id


def test_a_failed_run_is_listed_with_the_task_that_failed_first(
    observed: str, shown: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = shown("--flow", "nightly", "--json", command="runs")
    assert code == 0, err
    assert [(each["id"], each["failed_in"]) for each in json.loads(out)] == [(observed, "ingest-crm")]


@pytest.mark.usefixtures("observed")
def test_with_their_traces_runs_are_listed_with_the_process_that_failed_and_what_they_cost(
    shown: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = shown(
        "--flow", "nightly", "--traces", "--log-price", "1000000", "--json", command="runs"
    )
    assert code == 0, err
    (run,) = json.loads(out)
    assert (run["failed_in"], run["sources"]) == ("crm-ingest [crm] ▸ ingest", ["crm"])
    assert (run["spans"], run["lines"]) == (3, 1)
    assert 1000 < run["log_bytes"] < 1200
    assert run["dollars"] == pytest.approx(5e-6 + run["log_bytes"] / 2**30 * 1e6)


@pytest.mark.usefixtures("observed", "made")
def test_runs_are_listed_by_the_source_that_they_load(shown: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = shown("--source", "crm", command="runs")
    assert code == 0, err
    rows = out.splitlines()
    assert len(rows) == 3
    assert "pale-puma" in rows[1]
    assert "crm-ingest [crm]" in rows[1]
    assert shown("--source", "nobody", command="runs")[1] == "no runs\n"


@pytest.mark.usefixtures("made")
def test_a_run_without_a_trace_is_listed_as_such(shown: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = shown("--flow", "daily-sales", "--traces", command="runs")
    assert code == 0, err
    assert "no trace" in next(row for row in out.splitlines() if "lost-lynx" in row)
    assert "no trace" not in next(row for row in out.splitlines() if "calm-carp" in row)
