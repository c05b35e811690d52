"""Where the sidecar's knowledge comes from: Prefect's API and ECS's metadata, spoken to over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from otel_prefect import semconv
from sidecar import ecs, prefect_api
from sidecar.ecs import TaskMetadata
from sidecar.prefect_api import PrefectApi
from sidecar.settings import PrefectApiSettings
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = UUID("3c32c202-9955-4b90-b936-5fbd34f1a6d5")
FLOW_RUN = {
    "id": str(RUN),
    "name": "wise-otter",
    "flow_id": "f1",
    "deployment_id": "d1",
    "deployment_version": None,
    "work_pool_name": "ecs",
    "work_queue_name": "default",
    "run_count": 2,
    "tags": ["nightly"],
    "estimated_start_time_delta": 1.5,
    "auto_scheduled": True,
    "parameters": {"password": "s3cret"},
    "job_variables": {"env": {"TOKEN": "s3cret"}},
}


@dataclass
class Answers:
    """What a server answers, as a test put it in, and what it was asked."""

    url: str = ""
    routes: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    delay: float = 0
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Answers]:
    answers = Answers()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            answers.asked.append(self.path)
            answers.headers.append({key.lower(): value for key, value in self.headers.items()})
            time.sleep(answers.delay)
            known = self.path in answers.routes
            body = json.dumps(answers.routes[self.path] if known else {"detail": "not found"}).encode()
            self.send_response(answers.status if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked may have given up
                self.wfile.write(body)

    with serving(Handler) as port:
        answers.url = f"http://127.0.0.1:{port}"
        yield answers


def prefect_routes() -> dict[str, Any]:
    return {
        f"/api/flow_runs/{RUN}": FLOW_RUN,
        "/api/flows/f1": {"name": "daily-sales"},
        "/api/deployments/d1": {"name": "prod", "version": "v7"},
    }


async def settle(api: PrefectApi, run_id: UUID = RUN) -> Any:
    """Ask until what was asked in the background has been answered; return what is known then."""
    api.facts(run_id)
    task = api._runs[run_id].task
    if task is not None:
        await task
    return api.facts(run_id)


async def test_names_of_run_flow_deployment_and_work_pool_are_looked_up(server: Answers) -> None:
    server.routes = prefect_routes()
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", "Bearer k"))
    assert api.facts(RUN) is None
    assert await settle(api) == {
        semconv.FLOW_RUN_NAME: "wise-otter",
        semconv.FLOW_RUN_COUNT: 2,
        semconv.FLOW_RUN_TAGS: ["nightly"],
        semconv.FLOW_RUN_LATENESS: 1.5,
        semconv.FLOW_RUN_AUTO_SCHEDULED: True,
        semconv.FLOW_ID: "f1",
        semconv.FLOW_NAME: "daily-sales",
        semconv.DEPLOYMENT_ID: "d1",
        semconv.DEPLOYMENT_NAME: "prod",
        semconv.DEPLOYMENT_VERSION: "v7",
        semconv.WORK_POOL_NAME: "ecs",
        semconv.WORK_QUEUE_NAME: "default",
    }
    assert {headers["authorization"] for headers in server.headers} == {"Bearer k"}
    await api.close()


async def test_parameters_and_job_variables_are_never_copied(server: Answers) -> None:
    server.routes = prefect_routes()
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", None))
    assert "s3cret" not in repr(await settle(api))
    await api.close()


async def test_many_requests_of_a_run_ask_once_and_get_the_same_object(server: Answers) -> None:
    server.routes = prefect_routes()
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", None))
    for _ in range(50):
        api.facts(RUN)
    first = await settle(api)
    assert api.facts(RUN) is first
    assert server.asked.count(f"/api/flow_runs/{RUN}") == 1
    await api.close()


async def test_an_unchanged_answer_keeps_the_object_so_that_nothing_is_encoded_anew(server: Answers) -> None:
    server.routes = prefect_routes()
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", None))
    first = await settle(api)
    api._runs[RUN].due = 0
    assert await settle(api) is first
    assert server.asked.count(f"/api/flow_runs/{RUN}") == 2
    await api.close()


async def test_flow_and_deployment_are_asked_for_once_and_the_run_more_and_more_seldom(
    server: Answers,
) -> None:
    server.routes = prefect_routes()
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", None))
    waits = []
    for _ in range(7):
        if RUN in api._runs:
            api._runs[RUN].due = 0
        await settle(api)
        waits.append(api._runs[RUN].fresh)
    assert waits == [30, 60, 120, 240, 480, 480, 480]
    assert server.asked.count("/api/flows/f1") == server.asked.count("/api/deployments/d1") == 1
    server.routes[f"/api/flow_runs/{RUN}"] = {**FLOW_RUN, "run_count": 9}
    api._runs[RUN].due = 0
    await settle(api)
    assert api._runs[RUN].fresh == 30
    await api.close()


async def test_a_deleted_deployment_leaves_the_runs_own_facts(server: Answers) -> None:
    server.routes = {f"/api/flow_runs/{RUN}": FLOW_RUN}
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", None))
    facts = await settle(api)
    assert facts[semconv.FLOW_RUN_NAME] == "wise-otter"
    assert semconv.DEPLOYMENT_NAME not in facts
    await api.close()


@pytest.mark.parametrize("status", [404, 401, 500])
async def test_a_refusal_is_said_once_without_secrets_and_not_asked_again_at_once(
    server: Answers, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.routes = prefect_routes()
    server.status = status
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", "Bearer s3cret"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await settle(api) is None
    assert len(server.asked) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(status) in caplog.text
    assert "s3cret" not in caplog.text
    await api.close()


async def test_a_server_that_is_away_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    api = PrefectApi(PrefectApiSettings("http://127.0.0.1:1/api", None))
    assert await settle(api) is None
    assert "PREFECT_API_URL" in caplog.text
    await api.close()


async def test_a_server_that_hangs_is_given_up_and_nobody_waits_for_it(server: Answers) -> None:
    server.routes = prefect_routes()
    server.delay = 3
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", None))
    assert api.facts(RUN) is None
    await asyncio.sleep(0.1)
    await api.close()
    assert server.asked == [f"/api/flow_runs/{RUN}"]


async def test_the_number_of_runs_remembered_is_bounded(server: Answers) -> None:
    server.routes = prefect_routes()
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", None))
    for number in range(1, prefect_api._RUNS + 10):
        api.facts(UUID(int=number))
    assert len(api._runs) == prefect_api._RUNS
    await api.close()


PARENT, ROOT = "11111111-9955-4b90-b936-5fbd34f1a6d5", "22222222-9955-4b90-b936-5fbd34f1a6d5"


async def test_a_run_that_another_one_started_says_its_parent_and_its_root(server: Answers) -> None:
    server.routes = {
        f"/api/flow_runs/{RUN}": {"parent_task_run_id": "t1"},
        "/api/task_runs/t1": {"flow_run_id": PARENT},
        f"/api/flow_runs/{PARENT}": {"parent_task_run_id": "t2"},
        "/api/task_runs/t2": {"flow_run_id": ROOT},
        f"/api/flow_runs/{ROOT}": {"parent_task_run_id": None},
    }
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api"))
    wanted = {semconv.FLOW_RUN_PARENT_ID: PARENT, semconv.FLOW_RUN_ROOT_ID: ROOT}
    assert await settle(api) == wanted
    server.asked.clear()
    api._runs[RUN].due = 0
    assert await settle(api) == wanted
    assert server.asked == [f"/api/flow_runs/{RUN}"]  # who started a run does not change
    await api.close()


async def test_runs_that_name_each_other_as_parents_end_the_search(server: Answers) -> None:
    server.routes = {
        f"/api/flow_runs/{RUN}": {"parent_task_run_id": "t1"},
        "/api/task_runs/t1": {"flow_run_id": str(RUN)},
    }
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api"))
    assert semconv.FLOW_RUN_PARENT_ID in await settle(api)
    await api.close()


async def test_first_answers_are_waited_for_once_and_not_longer_than_asked(server: Answers) -> None:
    server.routes = prefect_routes()
    server.delay = 0.1
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api"))
    assert not await api.first_answers(5)  # there is no run to wait for
    api.facts(RUN)
    assert await api.first_answers(0.01)
    assert api.facts(RUN) is None
    assert await api.first_answers(5)
    assert (api.facts(RUN) or {})[semconv.FLOW_NAME] == "daily-sales"
    api._runs[RUN].due = 0
    api.facts(RUN)  # asked anew; who waits has the last answer
    assert not await api.first_answers(5)
    await api.close()


@pytest.mark.parametrize("run", [{"state": {"type": "RUNNING"}}, {"state": None, "state_type": "RUNNING"}])
async def test_a_runs_state_is_asked_for_each_time(server: Answers, run: dict[str, Any]) -> None:
    server.routes = {f"/api/flow_runs/{RUN}": run}
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api"))
    assert [await api.state(RUN), await api.state(RUN)] == ["RUNNING", "RUNNING"]
    assert await api.state(UUID(int=1)) is None
    assert len(server.asked) == 3


async def test_headers_of_a_proxy_that_guards_the_server_are_sent(server: Answers) -> None:
    server.routes = prefect_routes()
    api = PrefectApi(PrefectApiSettings(f"{server.url}/api", "Bearer k", {"CF-Access-Client-Id": "x"}))
    await settle(api)
    sent = {(headers["cf-access-client-id"], headers["authorization"]) for headers in server.headers}
    assert sent == {("x", "Bearer k")}
    await api.close()


async def test_without_an_api_nothing_is_known_and_nothing_is_asked() -> None:
    api = PrefectApi(None)
    assert api.facts(RUN) is None
    assert api._runs == {}


TASK = {
    "Cluster": "pipelines",
    "TaskARN": "arn:aws:ecs:eu-west-1:111122223333:task/pipelines/158d1c8083dd49d6b527399fd6414f5c",
    "Family": "daily-sales",
    "Revision": "26",
    "AvailabilityZone": "eu-west-1a",
    "LaunchType": "FARGATE",
    "Containers": [
        {"DockerId": "me", "Name": "otel-prefect", "KnownStatus": "RUNNING"},
        {"DockerId": "flow", "Name": "prefect", "KnownStatus": "RUNNING"},
    ],
}


async def test_the_task_is_described_by_opentelemetrys_names(server: Answers) -> None:
    server.routes = {"/v4/task": TASK}
    assert await TaskMetadata(f"{server.url}/v4").attributes() == {
        "cloud.provider": "aws",
        "cloud.platform": "aws_ecs",
        "cloud.region": "eu-west-1",
        "cloud.account.id": "111122223333",
        "cloud.availability_zone": "eu-west-1a",
        "aws.ecs.cluster.arn": "arn:aws:ecs:eu-west-1:111122223333:cluster/pipelines",
        "aws.ecs.task.arn": TASK["TaskARN"],
        "aws.ecs.task.id": "158d1c8083dd49d6b527399fd6414f5c",
        "aws.ecs.task.family": "daily-sales",
        "aws.ecs.task.revision": "26",
        "aws.ecs.launchtype": "fargate",
    }


CONTAINER = {
    "DockerId": "cd189a933e5849daa93386466019ab50-2495160603",
    "Name": "curl",
    "Image": "111122223333.dkr.ecr.us-west-2.amazonaws.com/curltest:latest",
    "ImageID": "sha256:25f3695bedfb454a50f12d127839a68ad3caf91e451c1da073db34c542c4d2cb",
    "ContainerARN": "arn:aws:ecs:us-west-2:111122223333:container/0206b271",
    "Limits": {"CPU": 10, "Memory": 128},
    "KnownStatus": "RUNNING",
}
DESCRIBED = {
    "container.name": "curl",
    "container.image.name": "111122223333.dkr.ecr.us-west-2.amazonaws.com/curltest",
    "container.image.tags": ["latest"],
    "container.image.id": CONTAINER["ImageID"],
    "aws.ecs.container.arn": CONTAINER["ContainerARN"],
    "aws.ecs.container.cpu": 10,
    "aws.ecs.container.memory": 128,
}


async def test_a_container_is_described_when_it_was_asked_about_once(server: Answers) -> None:
    server.routes = {"/v4": {"DockerId": "me"}, "/v4/task": {**TASK, "Containers": [CONTAINER]}}
    metadata = TaskMetadata(f"{server.url}/v4")
    asked_for = str(CONTAINER["DockerId"])
    assert metadata.container(asked_for) is None
    assert metadata._asking is not None
    await metadata._asking
    described = metadata.container(asked_for)
    assert described == DESCRIBED
    await metadata.others()
    assert metadata.container(asked_for) is described  # what was encoded with it stays valid
    assert metadata.container("another") is None
    assert metadata._asking is None  # not asked again so soon
    await metadata.close()


@pytest.mark.parametrize(
    ("image", "name", "tags"),
    [
        ("flows", "flows", None),
        ("localhost:5000/flows", "localhost:5000/flows", None),
        ("localhost:5000/flows:v7", "localhost:5000/flows", ["v7"]),
        ("team/flows:v7@sha256:abc", "team/flows", ["v7"]),
    ],
)
def test_an_images_name_and_tag_are_told_apart(image: str, name: str, tags: list[str] | None) -> None:
    described = ecs.container_attributes({"Image": image})
    assert described["container.image.name"] == name
    assert described.get("container.image.tags") == tags


def test_limits_of_the_task_are_told_where_it_has_some() -> None:
    limited = ecs.task_attributes({**TASK, "Limits": {"CPU": 0.25, "Memory": 512}})
    assert (limited["aws.ecs.task.cpu"], limited["aws.ecs.task.memory"]) == (0.25, 512)
    assert "aws.ecs.task.cpu" not in ecs.task_attributes({**TASK, "Limits": {"CPU": 0}})


def test_a_cluster_that_comes_as_an_arn_is_left_as_it_is() -> None:
    arn = "arn:aws:ecs:eu-west-1:111122223333:cluster/pipelines"
    assert ecs.task_attributes({**TASK, "Cluster": arn})["aws.ecs.cluster.arn"] == arn


async def test_the_other_containers_count_and_the_sidecar_itself_does_not(server: Answers) -> None:
    containers: list[Any] = json.loads(json.dumps(TASK["Containers"]))
    server.routes = {"/v4": {"DockerId": "me"}, "/v4/task": {**TASK, "Containers": containers}}
    metadata = TaskMetadata(f"{server.url}/v4")
    assert await metadata.others_running() is True
    containers[1]["KnownStatus"] = "STOPPED"
    assert await metadata.others_running() is False


async def test_outside_ecs_there_is_nothing_to_ask_and_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    metadata = TaskMetadata(None)
    assert await metadata.attributes() == {}
    assert await metadata.others_running() is None
    assert caplog.text == ""


async def test_a_metadata_endpoint_that_fails_is_said_and_survived(
    server: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    assert await TaskMetadata(f"{server.url}/v4").attributes() == {}
    assert "ECS_CONTAINER_METADATA_URI_V4" in caplog.text
