"""A task definition of each kind gets the sidecar, is registered, and its trace arrives when it is run."""

from __future__ import annotations

import copy
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from demo import aws, prefect_server, readback
from demo.processes import Processes
from otel_prefect import semconv
from tests.integration.test_ecs_command import HOST, call
from tests.support import prefect_flows
from tests.support.local_task import LocalTask
from tests.support.own_network import own_network
from tests.support.sidecar import ROOT
from tests.unit.test_task_definition import BRIDGE, FARGATE, IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.prefect_server import PrefectServer

SECRETS = {"arn:aws:ssm:eu-west-1:1:parameter/key": "pnu_the-key"}
PYTHON = sys.executable
PROGRAMS = {
    "prefect": (PYTHON, "one_task.py", "flow"),
    "ingest": (PYTHON, "one_task.py", "ingest"),
    "otel-prefect": (PYTHON, "-m", "sidecar"),
}


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[aws.Aws, PrefectServer]]:
    """AWS and a Prefect server, and nothing else, in a network of their own."""
    folder = tmp_path_factory.mktemp("task")
    with own_network(), Processes(folder / "logs") as processes:
        yield aws.start(processes), prefect_server.start(processes, folder / "home")


def run_here(definition: dict[str, Any], server: PrefectServer) -> dict[str, Any]:
    """Return a definition with two containers that send, to the Prefect server that is here."""
    result = copy.deepcopy(definition)
    flow, *others = result["containerDefinitions"]
    flow["environment"] = [
        {"name": name, "value": value} for name, value in server.variables().items() if name.endswith("_URL")
    ]
    ingest = others[0] if others else {"name": "ingest", "image": "ingest:v3", "memory": 256, "cpu": 128}
    ingest["essential"] = False
    result["containerDefinitions"] = [flow, ingest]
    return result


def local_task(registered: dict[str, Any], moto: aws.Aws, folder: Path) -> LocalTask:
    files = {"RUN_FILE": str(folder / "run"), "DONE_FILE": str(folder / "done")}
    return LocalTask(
        registered,
        programs=PROGRAMS,
        platform={**moto.variables(), **files},
        folder=folder,
        cwd={"prefect": prefect_flows.FOLDER, "ingest": prefect_flows.FOLDER, "otel-prefect": ROOT},
        secrets=SECRETS,
    )


@pytest.mark.parametrize("definition", [FARGATE, BRIDGE, HOST], ids=["fargate", "bridge", "host"])
def test_a_task_definition_is_patched_registered_and_run_and_its_trace_arrives(
    stand_ins: tuple[aws.Aws, PrefectServer], tmp_path: Path, definition: dict[str, Any]
) -> None:
    moto, server = stand_ins
    ecs = moto.client("ecs")
    ecs.register_task_definition(**run_here(definition, server))
    done = call(moto, definition["family"], "--image", IMAGE, "--register")
    assert done.returncode == 0, done.stderr
    registered = ecs.describe_task_definition(taskDefinition=done.stdout.strip())["taskDefinition"]
    task = local_task(registered, moto, tmp_path)
    codes = task.run()
    assert task.order[0] == "otel-prefect"
    assert codes == {"otel-prefect": 0, "prefect": 0, "ingest": 0}, "".join(map(task.output, codes))
    run_id = (tmp_path / "run").read_text()
    trace = readback.xray(moto.client("xray"), run_id)
    assert trace.orphaned_parents() == set()
    names = {segment.operation or segment.name for segment in trace.segments.values()}
    assert names == {"flow daily-sales", "one_task"}
    assert {segment.status for segment in trace.segments.values()} == {"ok"}
    # By Prefect's API, whose address the sidecar has from the flow's container.
    assert {segment.annotations["flow_name"] for segment in trace.segments.values()} == {"daily-sales"}
    events = readback.cloudwatch(moto.client("logs"), semconv.ENV_LOG_GROUP.default, run_id)
    assert "orders are in" in {event["message"] for event in events}
    accounts = json.loads(task.output("otel-prefect").strip().splitlines()[-1])
    assert (accounts["given_up"], accounts["left_on_disk"]) == ({}, {})
