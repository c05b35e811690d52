"""``otel-prefect work-pool add-sidecar``, and what Prefect's real ECS worker makes of the template (moto)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect_aws.workers.ecs_worker import ECSWorker

from demo import aws, prefect_server, readback
from demo.processes import Processes, environment
from otel_prefect.deploy import work_pool
from tests.support import prefect_flows
from tests.support.local_task import LocalTask
from tests.support.own_network import own_network
from tests.support.sidecar import ROOT
from tests.unit.test_task_definition import IMAGE, variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.prefect_server import PrefectServer

BIN = Path(sys.executable).parent
POOL = "ecs-runs"
KEY = "arn:aws:secretsmanager:us-east-1:123456789012:secret:prefect-key"


@pytest.fixture(scope="module")
def stand_ins(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[PrefectServer, aws.Aws, dict[str, str]]]:
    """A Prefect server and moto with a cluster, in a network of their own, and the variables to use them."""
    folder = tmp_path_factory.mktemp("work-pool")
    with own_network(), Processes(folder / "logs") as processes:
        moto = aws.start(processes)
        server = prefect_server.start(processes, folder / "home")
        moto.client("ecs").create_cluster(clusterName="default")
        yield server, moto, {**moto.variables(), **server.variables()}


@pytest.fixture
def pool(stand_ins: tuple[PrefectServer, aws.Aws, dict[str, str]]) -> Iterator[str]:
    """A work pool as Prefect makes it."""
    server = stand_ins[0]
    body = {"name": POOL, "type": "ecs", "base_job_template": ECSWorker.get_default_base_job_template()}
    server.call("POST", "work_pools/", body)
    yield POOL
    server.call("DELETE", f"work_pools/{POOL}")


def run(env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    program = (str(BIN / command[0]), *command[1:])
    return subprocess.run(
        program, env=environment(env), capture_output=True, text=True, check=False, timeout=120
    )


def add(env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return run(env, "otel-prefect", "work-pool", "add-sidecar", POOL, *options)


def registered(
    stand_ins: tuple[PrefectServer, aws.Aws, dict[str, str]], job_variables: dict[str, Any]
) -> dict[str, Any]:
    """Have the worker run a deployment once; return the task definition that it registers for that.

    That is as far as moto goes: it cannot run a task with a container that reserves no memory.
    """
    server, moto, env = stand_ins
    ecs = moto.client("ecs")
    before = set(ecs.list_task_definitions()["taskDefinitionArns"])
    vpc = moto.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    deployment = server.deploy(
        flow="daily-sales", deployment="nightly", work_pool=POOL, entrypoint="f.py:f", folder=Path("/flows")
    )
    server.call("PATCH", f"deployments/{deployment}", {"job_variables": {"vpc_id": vpc, **job_variables}})
    scheduled = {"state": {"type": "SCHEDULED"}}
    server.call("POST", f"deployments/{deployment}/create_flow_run", scheduled)
    worker = run({**env, "AWS_MAX_ATTEMPTS": "1"}, "prefect", "worker", "start", "--pool", POOL, "--run-once")
    new = set(ecs.list_task_definitions()["taskDefinitionArns"]) - before
    assert len(new) == 1, worker.stdout + worker.stderr
    return dict(ecs.describe_task_definition(taskDefinition=new.pop())["taskDefinition"])


def test_prefects_worker_registers_the_sidecar_behind_the_flows_container_and_without_it_where_it_is_off(
    stand_ins: tuple[PrefectServer, aws.Aws, dict[str, str]], pool: str
) -> None:
    env = stand_ins[2]
    done = add(
        env, "--image", IMAGE, "--secret", f"PREFECT_API_KEY={KEY}", "--env", "OTEL_PREFECT_LOGS=cloudwatch"
    )
    assert (done.returncode, done.stdout) == (0, f"work pool {pool}: the sidecar is in\n"), done.stderr
    definition = registered(stand_ins, {})
    flow, own = definition["containerDefinitions"]
    assert (flow["name"], own["name"], own["image"]) == ("prefect", "otel-prefect", IMAGE)
    assert flow["dependsOn"] == [{"containerName": "otel-prefect", "condition": "HEALTHY"}]
    assert variables(flow)["PREFECT_PLUGINS_ENABLED"] == "1"
    assert (own["essential"], variables(own)) == (False, {"OTEL_PREFECT_LOGS": "cloudwatch"})
    assert own["secrets"] == [{"name": "PREFECT_API_KEY", "valueFrom": KEY}]
    assert not {"cpu", "memory", "memoryReservation"} & {key for key in own if own[key]}
    assert [volume["name"] for volume in definition["volumes"]] == ["otel-prefect"]

    printed = run(env, "otel-prefect", "work-pool", "job-variables", POOL, "--off")
    assert json.loads(printed.stdout) == work_pool.OFF
    off = registered(stand_ins, json.loads(printed.stdout))
    assert [each["name"] for each in off["containerDefinitions"]] == ["prefect"]
    assert not off["containerDefinitions"][0].get("dependsOn")


@pytest.mark.usefixtures("pool")
def test_a_deployment_has_another_sidecar_by_its_job_variables(
    stand_ins: tuple[PrefectServer, aws.Aws, dict[str, str]],
) -> None:
    env = {**stand_ins[2], "AWS_REGION": "eu-west-1"}
    command = ("otel-prefect", "work-pool", "job-variables", POOL)
    without = run(env, *command, "--env", "A=b")
    assert (without.returncode, without.stdout) == (1, "")
    assert "its template has no sidecar" in without.stderr
    add(env, "--image", IMAGE, "--env", "OTEL_PREFECT_LOGS=cloudwatch", "--own-log-group", "/ecs/sidecars")
    printed = run(env, *command, "--env", "OTEL_PREFECT_MEMORY_LIMIT_MIB=512", "--image", "other:2")
    assert printed.returncode == 0, printed.stderr
    _, own = registered(stand_ins, json.loads(printed.stdout))["containerDefinitions"]
    assert own["image"] == "other:2"
    told = {"OTEL_PREFECT_LOGS": "cloudwatch", "OTEL_PREFECT_MEMORY_LIMIT_MIB": "512"}
    assert told.items() <= variables(own).items()
    assert own["logConfiguration"]["options"] == {
        "awslogs-group": "/ecs/sidecars",
        "awslogs-region": "eu-west-1",
        "awslogs-stream-prefix": "otel-prefect",
        "mode": "non-blocking",
    }


@pytest.mark.usefixtures("pool")
def test_what_the_worker_registers_runs_and_its_trace_arrives(
    stand_ins: tuple[PrefectServer, aws.Aws, dict[str, str]], tmp_path: Path
) -> None:
    server, moto, env = stand_ins
    done = add(env, "--image", IMAGE, "--env", f"PREFECT_API_URL={server.url}")
    assert done.returncode == 0, done.stderr
    (tmp_path / "done").touch()
    task = LocalTask(
        registered(stand_ins, {}),
        programs={
            "prefect": (sys.executable, "one_task.py", "flow"),
            "otel-prefect": (sys.executable, "-m", "sidecar"),
        },
        platform={**env, "RUN_FILE": str(tmp_path / "run"), "DONE_FILE": str(tmp_path / "done")},
        folder=tmp_path,
        cwd={"prefect": prefect_flows.FOLDER, "otel-prefect": ROOT},
    )
    codes = task.run()
    assert codes == {"otel-prefect": 0, "prefect": 0}, "".join(map(task.output, codes))
    trace = readback.xray(moto.client("xray"), (tmp_path / "run").read_text())
    (segment,) = trace.segments.values()
    assert (segment.operation, segment.status) == ("flow daily-sales", "ok")
    assert segment.annotations["flow_name"] == "daily-sales"


def test_twice_is_once_and_remove_undoes_it(
    stand_ins: tuple[PrefectServer, aws.Aws, dict[str, str]], pool: str
) -> None:
    server, _, env = stand_ins
    before = server.call("GET", f"work_pools/{pool}")["base_job_template"]
    assert add(env, "--image", IMAGE, "--diff").stdout.startswith("--- before\n+++ after\n")
    assert server.call("GET", f"work_pools/{pool}")["base_job_template"] == before
    add(env, "--image", IMAGE)
    once = server.call("GET", f"work_pools/{pool}")["base_job_template"]
    add(env, "--image", IMAGE)
    assert server.call("GET", f"work_pools/{pool}")["base_job_template"] == once != before
    done = add(env, "--remove")
    assert (done.returncode, done.stdout) == (0, f"work pool {pool}: the sidecar is out\n")
    assert server.call("GET", f"work_pools/{pool}")["base_job_template"] == before


def test_a_pool_that_is_not_there_or_not_of_ecs_is_said(
    stand_ins: tuple[PrefectServer, aws.Aws, dict[str, str]],
) -> None:
    server, _, env = stand_ins
    missing = run(env, "otel-prefect", "work-pool", "add-sidecar", "nowhere", "--image", IMAGE)
    assert missing.returncode == 1
    assert "there is no work pool 'nowhere'" in missing.stderr
    server.call("POST", "work_pools/", {"name": "local", "type": "process", "base_job_template": {}})
    other = run(env, "otel-prefect", "work-pool", "add-sidecar", "local", "--image", IMAGE)
    assert "work pool local is of type process, not ecs" in other.stderr
    assert "Traceback" not in missing.stderr + other.stderr


def test_a_template_that_is_none_is_refused() -> None:
    from otel_prefect.deploy.task_definition import Sidecar, TaskDefinitionError  # noqa: PLC0415

    with pytest.raises(TaskDefinitionError, match=r"job_configuration\.task_definition"):
        work_pool.add({"job_configuration": {}}, Sidecar(IMAGE))
    template = json.loads(json.dumps(ECSWorker.get_default_base_job_template()))
    template["variables"]["properties"]["launch_type"]["default"] = "EC2"
    with pytest.raises(TaskDefinitionError, match="awsvpc or host"):
        work_pool.add(template, Sidecar(IMAGE))
