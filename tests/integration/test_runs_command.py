"""``otel-prefect runs``, asked of a real Prefect server."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from demo import prefect_server
from demo.processes import Processes
from otel_prefect.commands import cli
from otel_prefect.prefect import api as prefect_api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_prefect.prefect.api import Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Processes(tmp_path_factory.mktemp("logs")) as processes:
        server = prefect_server.start(processes, tmp_path_factory.mktemp("prefect"))
        made = prefect_api.of_environment({"PREFECT_API_URL": server.url})
        run(made, "hourly", "only-one", "FAILED")
        for number, seconds in enumerate((0.1, 0.2, 0.1, 1.5)):
            run(made, "daily-sales", f"run-{number}", "COMPLETED", seconds)
        yield made


def run(api: Api, flow: str, name: str, state: str, seconds: float = 0.0) -> None:
    """Make a run that runs now, for so long: Prefect takes no times that it is told."""
    flow_id = post(api, "/flows/", {"name": flow})["id"]
    made = post(api, "/flow_runs/", {"flow_id": flow_id, "name": name})
    for kind in ("RUNNING", state):
        told = {"type": kind, "name": kind.title()}
        post(api, f"/flow_runs/{made['id']}/set_state", {"state": told, "force": True})
        time.sleep(seconds if kind == "RUNNING" else 0)


def post(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, body, 30)
    assert answer.status in (200, 201), answer.text()
    found: dict[str, Any] = json.loads(answer.body)
    return found


@pytest.fixture
def listed(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command: exit code, stdout, stderr."""
    monkeypatch.setenv("PREFECT_API_URL", api.base)
    monkeypatch.setenv("COLUMNS", "120")

    def run_it(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["runs", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_it


def test_the_newest_run_comes_first_with_its_state_and_its_flow(listed: Callable[..., Any]) -> None:
    code, out, _ = listed()
    assert code == 0
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [(row[0], row[1], row[2]) for row in rows][:2] == [
        ("COMPLETED", "daily-sales", "run-3"),
        ("COMPLETED", "daily-sales", "run-2"),
    ]


def test_it_is_told_how_long_it_took_against_what_is_usual(listed: Callable[..., Any]) -> None:
    found = {each["name"]: each for each in json.loads(listed("--json")[1])}
    usual = sorted(each["seconds"] for each in found.values() if each["flow"] == "daily-sales")
    assert found["run-3"]["usual"] == pytest.approx((usual[1] + usual[2]) / 2)
    assert found["run-3"]["seconds"] >= 1.5
    assert found["only-one"]["usual"] is None
    row = next(line for line in listed()[1].splitlines() if "run-3" in line)
    assert float(row.split()[-2]) > 1.5


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--state", "failed"], ["only-one"]),
        (["--flow", "hourly"], ["only-one"]),
        (["--flow", "nobody"], []),
        (["--limit", "1", "--flow", "daily-sales"], ["run-3"]),
        (["--flow", "hourly", "--state", "completed"], []),
    ],
)
def test_what_is_asked_for_is_listed(
    listed: Callable[..., Any], arguments: list[str], names: list[str]
) -> None:
    code, out, _ = listed("--json", *arguments)
    assert code == 0
    assert [each["name"] for each in json.loads(out)] == names


def test_where_there_is_none_that_is_said(listed: Callable[..., Any]) -> None:
    assert listed("--flow", "nobody") == (0, "no runs\n", "")


def test_without_an_api_the_variable_is_named(
    listed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    code, _, err = listed()
    assert code == 1
    assert err == "otel-prefect: PREFECT_API_URL: an http:// or https:// URL is needed\n"


def test_a_run_is_linked_to_its_trace_and_its_page_in_prefect(
    api: Api, listed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    (run,) = json.loads(listed("--flow", "hourly", "--json")[1])
    digits = run["id"].replace("-", "")
    assert run["links"]["X-Ray"].endswith(f"#xray:traces/1-{digits[:8]}-{digits[8:]}")
    assert run["links"]["Prefect"] == f"{api.base.removesuffix('/api')}/runs/flow-run/{run['id']}"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert f"{run['links']['Prefect']}" in listed("--flow", "hourly")[1]
