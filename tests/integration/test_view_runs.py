"""Runs are found by what people call them, at a real Prefect server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from demo import prefect_server
from demo.processes import Processes
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_prefect.prefect.api import Api

ROOT_TRACE = "3c32c20299554b90b9365fbd34f1a6d5"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Processes(tmp_path_factory.mktemp("logs")) as processes:
        server = prefect_server.start(processes, tmp_path_factory.mktemp("prefect"))
        yield prefect_api.of_environment({"PREFECT_API_URL": server.url})


def post(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, body, 30)
    assert answer.status in (200, 201), answer.text()
    found: dict[str, Any] = json.loads(answer.body)
    return found


def begun(api: Api, flow: str, name: str, **more: Any) -> str:
    """Make a run that begins now; return its id."""
    flow_id = post(api, "/flows/", {"name": flow})["id"]
    run = post(api, "/flow_runs/", {"flow_id": flow_id, "name": name, **more})
    state = {"type": "RUNNING", "name": "Running"}
    post(api, f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
    return str(run["id"])


@pytest.fixture(scope="module")
def made(api: Api) -> dict[str, str]:
    """Three runs of two flows and one that has not begun: name → id."""
    found = {
        "old-otter": begun(api, "daily-sales", "old-otter"),
        "new-newt": begun(api, "daily-sales", "new-newt"),
        "other-owl": begun(api, "hourly", "other-owl"),
    }
    flow_id = post(api, "/flows/", {"name": "daily-sales"})["id"]
    post(api, "/flow_runs/", {"flow_id": flow_id, "name": "not-yet"})
    return found


def test_a_run_is_found_by_its_name(api: Api, made: dict[str, str]) -> None:
    found = runs.find(api, "old-otter")
    assert (found.id, found.name, found.state) == (made["old-otter"], "old-otter", "RUNNING")
    assert found.trace_id == made["old-otter"].replace("-", "")


def test_the_latest_is_the_last_that_began_of_all_or_of_a_flow(api: Api, made: dict[str, str]) -> None:
    assert runs.find(api, "latest").id == made["other-owl"]
    assert runs.find(api, "latest", "daily-sales").id == made["new-newt"]


@pytest.mark.usefixtures("made")
def test_of_runs_with_one_name_the_newest_is_meant(api: Api) -> None:
    begun(api, "twice", "same-seal")
    newer = begun(api, "twice", "same-seal")
    assert runs.find(api, "same-seal").id == newer


def test_a_run_that_another_one_started_is_in_its_trace(api: Api) -> None:
    label = {"__OTEL_TRACEPARENT": f"00-{ROOT_TRACE}-00f067aa0ba902b7-01"}
    run_id = begun(api, "child", "small-seal", labels=label)
    assert runs.by_id(api, run_id).trace_id == ROOT_TRACE
    assert runs.find(api, "small-seal").trace_id == ROOT_TRACE


@pytest.mark.parametrize(
    ("name", "flow", "said"),
    [
        ("nobody", None, "has no flow run 'nobody'"),
        ("latest", "no-flow", "has no run of flow 'no-flow'"),
    ],
)
def test_what_is_not_there_is_said(api: Api, name: str, flow: str | None, said: str) -> None:
    with pytest.raises(runs.NotFound, match=said):
        runs.find(api, name, flow)


@pytest.mark.parametrize(
    ("url", "said"),
    [("http://127.0.0.1:9/api", "was asked for /flow_runs/filter"), ("{base}/nothing", "answers 40")],
)
def test_an_api_that_is_none_is_said(api: Api, url: str, said: str) -> None:
    other = prefect_api.of_environment({"PREFECT_API_URL": url.format(base=api.base)})
    with pytest.raises(runs.NotFound, match=said):
        runs.find(other, "latest")
