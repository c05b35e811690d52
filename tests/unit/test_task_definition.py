"""A task definition gets the sidecar, keeps what it had, and is itself again when it is taken out."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_prefect.deploy import task_definition
from otel_prefect.deploy.task_definition import Sidecar, TaskDefinitionError

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/otel-prefect:0.1.0"
LOGS = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/ecs/sales", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "ecs"},
}
FARGATE: dict[str, Any] = {
    "family": "daily-sales",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "1024",
    "memory": "2048",
    "taskRoleArn": "arn:aws:iam::111122223333:role/daily-sales",
    "containerDefinitions": [
        {
            "name": "prefect",
            "image": "flows:v7",
            "essential": True,
            "environment": [{"name": "PREFECT_API_URL", "value": "https://prefect.internal/api"}],
            "secrets": [{"name": "PREFECT_API_KEY", "valueFrom": "arn:aws:ssm:eu-west-1:1:parameter/key"}],
            "logConfiguration": LOGS,
        },
        {"name": "ingest", "image": "ingest:v3", "essential": False},
    ],
}
BRIDGE: dict[str, Any] = {
    "family": "legacy",
    "containerDefinitions": [{"name": "prefect", "image": "flows:v7", "memory": 512, "cpu": 256}],
}


def container(definition: dict[str, Any], name: str = "otel-prefect") -> dict[str, Any]:
    (found,) = [each for each in definition["containerDefinitions"] if each["name"] == name]
    return dict(found)


def variables(of: dict[str, Any]) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in of.get("environment", [])}


def test_the_sidecar_stands_last_is_not_essential_and_knows_prefect_by_reference() -> None:
    result = task_definition.add(FARGATE, Sidecar(IMAGE, environment={"OTEL_PREFECT_TRACES": "xray"}))
    own = result["containerDefinitions"][-1]
    assert (own["name"], own["image"], own["essential"]) == ("otel-prefect", IMAGE, False)
    assert variables(own) == {
        "OTEL_PREFECT_TRACES": "xray",
        "PREFECT_API_URL": "https://prefect.internal/api",
    }
    assert own["secrets"] == [
        {"name": "PREFECT_API_KEY", "valueFrom": "arn:aws:ssm:eu-west-1:1:parameter/key"}
    ]
    assert own["healthCheck"]["command"] == ["CMD", "python", "-m", "sidecar", "health"]
    assert own["logConfiguration"] == LOGS
    assert own["readonlyRootFilesystem"] is True
    assert own["mountPoints"] == [{"sourceVolume": "otel-prefect", "containerPath": "/var/lib/otel-prefect"}]
    assert result["volumes"] == [{"name": "otel-prefect"}]


def test_a_secret_that_stands_in_the_definition_by_value_is_not_written_again() -> None:
    definition = copy.deepcopy(FARGATE)
    flow = definition["containerDefinitions"][0]
    flow["environment"].append({"name": "PREFECT_API_KEY", "value": "pnu_s3cret"})
    del flow["secrets"]
    assert "pnu_s3cret" not in json.dumps(container(task_definition.add(definition, Sidecar(IMAGE))))


def test_each_sender_waits_for_it_and_is_told_where_it_is() -> None:
    result = task_definition.add(FARGATE, Sidecar(IMAGE))
    for name in ("prefect", "ingest"):
        sender = container(result, name)
        assert sender["dependsOn"] == [{"containerName": "otel-prefect", "condition": "HEALTHY"}]
        assert variables(sender)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
        assert variables(sender)["PREFECT_PLUGINS_ENABLED"] == "1"
        assert "links" not in sender


def test_senders_are_told_what_they_link_to_and_nothing_else_of_the_sidecar_s() -> None:
    environment = {
        "OTEL_PREFECT_LOG_GROUP": "/ours",
        "OTEL_PREFECT_GRAFANA_URL": "https://grafana.example.com",
        "OTEL_PREFECT_TRACES": "xray",
    }
    result = task_definition.add(FARGATE, Sidecar(IMAGE, environment=environment))
    told = variables(container(result, "prefect"))
    assert told["OTEL_PREFECT_LOG_GROUP"] == "/ours"
    assert told["OTEL_PREFECT_GRAFANA_URL"] == "https://grafana.example.com"
    assert "OTEL_PREFECT_TRACES" not in told
    assert task_definition.remove(result) == FARGATE


def test_what_a_sender_set_itself_stays() -> None:
    definition = copy.deepcopy(FARGATE)
    own = [{"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "value": "grpc"}]
    definition["containerDefinitions"][1] |= {
        "environment": own,
        "dependsOn": [{"containerName": "prefect", "condition": "START"}],
    }
    sender = container(task_definition.add(definition, Sidecar(IMAGE)), "ingest")
    assert variables(sender)["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    assert [each["containerName"] for each in sender["dependsOn"]] == ["prefect", "otel-prefect"]


def test_only_named_senders_are_changed_and_log_routers_never_by_default() -> None:
    definition = copy.deepcopy(FARGATE)
    definition["containerDefinitions"].append(
        {
            "name": "log_router",
            "image": "amazon/aws-for-fluent-bit:stable",
            "firelensConfiguration": {"type": "fluentbit"},
        }
    )
    by_default = task_definition.add(definition, Sidecar(IMAGE))
    assert "dependsOn" not in container(by_default, "log_router")
    named = task_definition.add(definition, Sidecar(IMAGE, senders=("ingest",)))
    assert "dependsOn" not in container(named, "prefect")
    assert "dependsOn" in container(named, "ingest")


def test_in_bridge_mode_containers_are_linked_and_the_sidecar_listens_beyond_loopback() -> None:
    result = task_definition.add(BRIDGE, Sidecar(IMAGE))
    sender, own = container(result, "prefect"), container(result)
    assert sender["links"] == ["otel-prefect"]
    assert variables(sender)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel-prefect:4318"
    assert variables(sender)["AWS_XRAY_DAEMON_ADDRESS"] == "otel-prefect:2000"
    assert variables(own)["OTEL_PREFECT_HTTP_ENDPOINT"] == "0.0.0.0:4318"
    assert any("OTEL_PREFECT_BEARER_TOKEN" in note for note in task_definition.notes(result))


def test_on_efs_tasks_share_the_volume_and_wait_for_the_disk() -> None:
    efs = task_definition.Efs("fs-0123456789abcdef0", "fsap-0123456789abcdef0")
    result = task_definition.add(FARGATE, Sidecar(IMAGE, efs=efs))
    assert result["volumes"] == [
        {
            "name": "otel-prefect",
            "efsVolumeConfiguration": {
                "fileSystemId": "fs-0123456789abcdef0",
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"accessPointId": "fsap-0123456789abcdef0", "iam": "ENABLED"},
            },
        }
    ]
    told = variables(container(result))
    assert told["OTEL_PREFECT_DATA_SHARED"] == told["OTEL_PREFECT_QUEUE_FSYNC"] == "true"
    assert any("send-left" in note for note in task_definition.notes(result))
    assert task_definition.remove(result) == FARGATE
    without_access_point = task_definition.add(
        FARGATE, Sidecar(IMAGE, efs=task_definition.Efs("fs-01234567"))
    )
    (volume,) = without_access_point["volumes"]
    assert "authorizationConfig" not in volume["efsVolumeConfiguration"]


def test_cpu_is_reserved_only_where_the_senders_do_since_it_is_a_weight() -> None:
    assert "cpu" not in container(task_definition.add(FARGATE, Sidecar(IMAGE)))
    own = container(task_definition.add(BRIDGE, Sidecar(IMAGE, spans_per_second=5_000)))
    assert (own["cpu"], own["memoryReservation"]) == (615, 160)


@pytest.mark.parametrize("key", ["cpu", "memory"])
def test_a_task_without_room_for_it_is_refused_with_the_numbers(key: str) -> None:
    definition = copy.deepcopy(FARGATE)
    for each in definition["containerDefinitions"]:
        each |= {"cpu": 512, "memory": 1024}
    definition |= {"cpu": "8 vCPU", "memory": "8 GB"} | {key: {"cpu": "1 vCPU", "memory": "2 GB"}[key]}
    with pytest.raises(TaskDefinitionError, match=rf"raise the task's {key}"):
        task_definition.add(definition, Sidecar(IMAGE))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"containerDefinitions": None}, "no list containerDefinitions"),
        ({"containerDefinitions": [{"image": "x"}]}, r"containerDefinitions\[0\] has no name"),
        ({"containerDefinitions": []}, "no container that could send"),
        ({"networkMode": "none"}, "networkMode is none"),
        ({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}, "Windows"),
        (
            {
                "containerDefinitions": [
                    {"name": "x", "image": "public.ecr.aws/aws-observability/aws-otel-collector:v1"}
                ]
            },
            "container x is another collector",
        ),
        (
            {"containerDefinitions": [{"name": "x", "image": "amazon/aws-xray-daemon"}]},
            "container x is another collector",
        ),
        (
            {
                "containerDefinitions": [
                    {"name": "x", "image": "i", "portMappings": [{"containerPort": 4317}]}
                ]
            },
            "container x takes port 4317",
        ),
    ],
)
def test_what_it_cannot_be_put_into_is_said_and_left_as_it_is(change: dict[str, Any], words: str) -> None:
    definition = {**copy.deepcopy(FARGATE), **change}
    before = copy.deepcopy(definition)
    with pytest.raises(TaskDefinitionError, match=words):
        task_definition.add(definition, Sidecar(IMAGE))
    assert definition == before


def test_a_sender_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(TaskDefinitionError, match="no container 'load'; there are prefect, ingest"):
        task_definition.add(FARGATE, Sidecar(IMAGE, senders=("load",)))


@pytest.mark.parametrize("definition", [[], "text", None, {"containerDefinitions": {}}])
def test_what_is_no_task_definition_is_refused(definition: Any) -> None:
    for change in (task_definition.remove, lambda each: task_definition.add(each, Sidecar(IMAGE))):
        with pytest.raises(TaskDefinitionError, match="not a task definition"):
            change(definition)


def test_an_answer_of_ecs_becomes_what_can_be_registered() -> None:
    answer = {"taskDefinition": {**FARGATE, "revision": 7, "status": "ACTIVE", "registeredAt": 1}, "tags": []}
    assert task_definition.remove(answer) == FARGATE


@pytest.mark.parametrize("definition", [FARGATE, BRIDGE])
def test_twice_is_once_and_a_new_image_replaces_the_old(definition: dict[str, Any]) -> None:
    once = task_definition.add(definition, Sidecar(IMAGE))
    assert task_definition.add(once, Sidecar(IMAGE)) == once
    newer = task_definition.add(once, Sidecar("other:1", senders=("prefect",)))
    assert newer == task_definition.add(definition, Sidecar("other:1", senders=("prefect",)))


_names = st.sampled_from(
    ["PREFECT_PLUGINS_ENABLED", "OTEL_EXPORTER_OTLP_ENDPOINT", "PREFECT_API_URL", "OTHER"]
)
_containers = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["prefect", "ingest", "dbt", "glue"]), "image": st.just("i")},
        optional={
            "environment": st.lists(
                st.fixed_dictionaries({"name": _names, "value": st.text(max_size=5)}),
                min_size=1,
                unique_by=lambda pair: pair["name"],
            ),
            "dependsOn": st.just([{"containerName": "init", "condition": "SUCCESS"}]),
            "links": st.just(["db"]),
            "cpu": st.integers(1, 64),
        },
    ),
    min_size=1,
    unique_by=lambda each: str(each["name"]),
)


@given(
    containers=_containers,
    mode=st.sampled_from(["awsvpc", "bridge", "host", None]),
    volumes=st.sampled_from([None, [{"name": "data"}]]),
)
def test_taking_it_out_again_undoes_all_of_it(
    containers: list[dict[str, Any]], mode: str | None, volumes: list[dict[str, str]] | None
) -> None:
    definition: dict[str, Any] = {"family": "f", "containerDefinitions": containers}
    if mode is not None:
        definition["networkMode"] = mode
    if volumes is not None:
        definition["volumes"] = volumes
    before = copy.deepcopy(definition)
    assert task_definition.remove(task_definition.add(definition, Sidecar(IMAGE))) == before
    assert definition == before
