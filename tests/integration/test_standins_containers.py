"""The local ECS and Glue behave as AWS's do, seen through boto3."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from demo import aws, containers
from demo.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "scripts"
FAST = {"Delay": 0.1, "MaxAttempts": 300}
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[aws.Aws, containers.Containers]]:
    folder = tmp_path_factory.mktemp("stand-ins")
    image = folder / "image"
    image.mkdir()
    (image / "greeting.txt").write_text("hello from the image")
    with Processes(folder / "logs") as processes:
        server = aws.start(processes)
        s3 = server.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": aws.REGION})
        started = containers.start(
            processes,
            folder / "containers",
            images={"registry/loader": image},
            platform={**server.variables(), "FROM_PLATFORM": "yes", "OVERRIDDEN": "by the platform"},
            s3=s3,
            glue_python=(sys.executable,),
        )
        yield server, started
        started.stop()


@pytest.fixture
def ecs(stand_ins: tuple[aws.Aws, containers.Containers]) -> Any:
    return stand_ins[1].client("ecs")


@pytest.fixture
def glue(stand_ins: tuple[aws.Aws, containers.Containers]) -> Any:
    return stand_ins[1].client("glue")


@pytest.fixture
def s3(stand_ins: tuple[aws.Aws, containers.Containers]) -> Any:
    return stand_ins[0].client("s3")


def register(ecs: Any, *definitions: dict[str, Any], family: str = "loader") -> str:
    full = [{"image": "registry/loader:1", "essential": True, **each} for each in definitions]
    answer = ecs.register_task_definition(
        family=family, networkMode="awsvpc", containerDefinitions=full, cpu="256", memory="512"
    )
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def run(ecs: Any, definition: str, **overrides: Any) -> str:
    request: dict[str, Any] = {"cluster": containers.CLUSTER, "taskDefinition": definition}
    request.update(launchType="FARGATE", networkConfiguration=NETWORK, **overrides)
    (task,) = ecs.run_task(**request)["tasks"]
    return str(task["taskArn"])


def wait(ecs: Any, task: str) -> dict[str, Any]:
    ecs.get_waiter("tasks_stopped").wait(cluster=containers.CLUSTER, tasks=[task], WaiterConfig=FAST)
    (described,) = ecs.describe_tasks(cluster=containers.CLUSTER, tasks=[task])["tasks"]
    found: dict[str, Any] = described
    return found


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def report_to(key: str, expression: str) -> list[str]:
    """A command that puts what `expression` evaluates to, as JSON, where the test finds it."""
    code = f"import boto3, json, os, sys; value = {expression}; "
    return python(
        code + f"boto3.client('s3').put_object(Bucket={BUCKET!r}, Key={key!r}, Body=json.dumps(value))"
    )


def reported(s3: Any, key: str) -> Any:
    return json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def test_a_task_ends_with_the_exit_code_of_its_process(ecs: Any) -> None:
    definition = register(ecs, {"name": "loader", "command": python("raise SystemExit(7)")})
    task = wait(ecs, run(ecs, definition))
    assert task["lastStatus"] == "STOPPED"
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    (container,) = task["containers"]
    assert (container["name"], container["exitCode"]) == ("loader", 7)
    assert isinstance(task["createdAt"], dt.datetime)
    assert task["createdAt"] <= task["startedAt"] <= task["stoppedAt"]


def test_a_container_that_a_signal_ended_has_128_and_its_number(ecs: Any) -> None:
    definition = register(ecs, {"name": "loader", "command": python("import os; os.kill(os.getpid(), 9)")})
    assert wait(ecs, run(ecs, definition))["containers"][0]["exitCode"] == 137


def test_overrides_replace_the_command_and_are_laid_over_the_environment(ecs: Any, s3: Any) -> None:
    variables = [{"name": "KEPT", "value": "as defined"}, {"name": "OVERRIDDEN", "value": "as defined"}]
    definition = register(
        ecs, {"name": "loader", "command": python("raise SystemExit(1)"), "environment": variables}
    )
    wanted = "{name: os.environ[name] for name in ('KEPT', 'OVERRIDDEN', 'ADDED', 'FROM_PLATFORM')}"
    override = {
        "name": "loader",
        "command": report_to("overrides.json", wanted),
        "environment": [{"name": "OVERRIDDEN", "value": "by the run"}, {"name": "ADDED", "value": "ü=1"}],
    }
    task = wait(ecs, run(ecs, definition, overrides={"containerOverrides": [override]}))
    assert task["containers"][0]["exitCode"] == 0
    assert task["overrides"]["containerOverrides"][0]["environment"] == override["environment"]
    assert reported(s3, "overrides.json") == {
        "KEPT": "as defined",
        "OVERRIDDEN": "by the run",
        "ADDED": "ü=1",
        "FROM_PLATFORM": "yes",
    }


def test_a_container_sees_its_images_files_and_writes_only_to_its_own_copy(ecs: Any, s3: Any) -> None:
    expression = "(open('greeting.txt').read(), open('greeting.txt', 'w').write('changed'))"
    definition = register(ecs, {"name": "loader", "command": report_to("files.json", expression)})
    for _ in range(2):
        assert wait(ecs, run(ecs, definition))["containers"][0]["exitCode"] == 0
        assert reported(s3, "files.json") == ["hello from the image", 7]


def test_a_task_ends_with_its_essential_container_which_ends_the_others(ecs: Any) -> None:
    definition = register(
        ecs,
        {"name": "main", "command": python("pass")},
        {"name": "helper", "essential": False, "command": ["sleep", "60"], "stopTimeout": 5},
    )
    codes = {each["name"]: each["exitCode"] for each in wait(ecs, run(ecs, definition))["containers"]}
    assert codes == {"main": 0, "helper": 143}


def test_a_stopped_task_says_who_stopped_it_and_why(ecs: Any) -> None:
    definition = register(ecs, {"name": "loader", "command": ["sleep", "60"]})
    task = run(ecs, definition)
    ecs.get_waiter("tasks_running").wait(cluster=containers.CLUSTER, tasks=[task], WaiterConfig=FAST)
    ecs.stop_task(cluster=containers.CLUSTER, task=task, reason="not needed any more")
    stopped = wait(ecs, task)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "not needed any more")
    assert stopped["containers"][0]["exitCode"] == 143


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"command": ["no-such-program"]}, "CannotStartContainerError"),
        ({"command": ["true"], "image": "registry/other:1"}, "CannotPullContainerError"),
    ],
)
def test_a_container_that_cannot_start_has_no_exit_code_but_a_reason(
    ecs: Any, container: dict[str, Any], reason: str
) -> None:
    task = wait(ecs, run(ecs, register(ecs, {"name": "loader", **container})))
    assert task["stopCode"] == "TaskFailedToStart"
    assert reason in task["stoppedReason"]
    assert task["containers"][0]["reason"].startswith(reason)
    assert "exitCode" not in task["containers"][0]


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({"taskDefinition": "unknown"}, "ClientException", "TaskDefinition not found."),
        ({"cluster": "other"}, "ClusterNotFoundException", "Cluster not found."),
        ({"count": 11}, "InvalidParameterException", "Count must be between 1 and 10."),
        (
            {"overrides": {"containerOverrides": [{"name": "missing"}]}},
            "InvalidParameterException",
            "Override for container named missing is not a container in the TaskDefinition.",
        ),
        (
            {"overrides": {"containerOverrides": [{"name": "loader", "command": ["x" * 8192]}]}},
            "InvalidParameterException",
            "Container Overrides length must be at most 8192",
        ),
    ],
)
def test_a_wrong_request_is_answered_with_the_error_that_ecs_gives(
    ecs: Any, request_: dict[str, Any], code: str, text: str
) -> None:
    right: dict[str, Any] = {"taskDefinition": register(ecs, {"name": "loader", "command": ["true"]})}
    right.update(cluster=containers.CLUSTER, networkConfiguration=NETWORK)
    with pytest.raises(ClientError) as caught:
        ecs.run_task(**{**right, **request_})
    assert caught.value.response["Error"] == {"Code": code, "Message": text}


def test_an_unknown_task_is_a_failure_not_an_error(ecs: Any) -> None:
    answer = ecs.describe_tasks(cluster=containers.CLUSTER, tasks=["0" * 32])
    assert answer["tasks"] == []
    assert answer["failures"] == [{"arn": "0" * 32, "reason": "MISSING"}]


def test_what_the_stand_in_cannot_carry_out_is_refused(ecs: Any) -> None:
    with pytest.raises(ClientError, match="does not carry out secrets"):
        register(ecs, {"name": "loader", "secrets": [{"name": "KEY", "valueFrom": "arn"}]})


def test_an_operation_that_is_not_there_is_an_error_of_that_name(ecs: Any) -> None:
    with pytest.raises(ClientError) as caught:
        ecs.list_clusters()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


def job(glue: Any, s3: Any, name: str, script: str, **more: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"{name}.py", Body=script)
    command = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": f"s3://{BUCKET}/{name}.py"}
    glue.create_job(Name=name, Role="glue", Command=command, **more)


def finished(glue: Any, name: str, run_id: str) -> dict[str, Any]:
    for _ in range(600):
        found: dict[str, Any] = glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]
        if "CompletedOn" in found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"the job run did not end: {found}")


def test_a_job_finds_its_arguments_on_its_command_line(glue: Any, s3: Any) -> None:
    script = (
        "import boto3, json, sys\n"
        f"boto3.client('s3').put_object(Bucket={BUCKET!r}, Key='argv.json', Body=json.dumps(sys.argv[1:]))\n"
    )
    job(glue, s3, "arguments", script, DefaultArguments={"--mode": "full", "--day": "none"})
    run_id = glue.start_job_run(JobName="arguments", Arguments={"--day": "2026-03-02"})["JobRunId"]
    done = finished(glue, "arguments", run_id)
    assert done["JobRunState"] == "SUCCEEDED"
    assert done["Arguments"] == {"--mode": "full", "--day": "2026-03-02"}
    assert reported(s3, "argv.json") == [
        *("--JOB_NAME", "arguments", "--JOB_RUN_ID", run_id),
        *("--mode", "full", "--day", "2026-03-02"),
    ]


def test_a_job_that_raises_has_failed_with_its_last_line_as_the_message(glue: Any, s3: Any) -> None:
    job(glue, s3, "failing", "raise ValueError('no such day')")
    run_id = glue.start_job_run(JobName="failing")["JobRunId"]
    done = finished(glue, "failing", run_id)
    assert done["JobRunState"] == "FAILED"
    assert done["ErrorMessage"] == "Command failed with exit code 1: ValueError: no such day"


def test_a_job_that_runs_cannot_be_started_again_and_can_be_stopped(glue: Any, s3: Any) -> None:
    job(glue, s3, "slow", "import time; time.sleep(60)")
    run_id = glue.start_job_run(JobName="slow")["JobRunId"]
    with pytest.raises(ClientError) as caught:
        glue.start_job_run(JobName="slow")
    assert caught.value.response["Error"]["Code"] == "ConcurrentRunsExceededException"
    glue.batch_stop_job_run(JobName="slow", JobRunIds=[run_id])
    assert finished(glue, "slow", run_id)["JobRunState"] == "STOPPED"


def test_an_unknown_job_is_an_entity_not_found(glue: Any) -> None:
    with pytest.raises(ClientError) as caught:
        glue.start_job_run(JobName="unknown")
    assert caught.value.response["Error"]["Code"] == "EntityNotFoundException"


def test_a_job_whose_script_is_missing_has_failed_to_launch(glue: Any) -> None:
    command = {"Name": "pythonshell", "ScriptLocation": f"s3://{BUCKET}/missing.py"}
    glue.create_job(Name="scriptless", Role="glue", Command=command)
    run_id = glue.start_job_run(JobName="scriptless")["JobRunId"]
    done = finished(glue, "scriptless", run_id)
    assert done["JobRunState"] == "FAILED"
    assert done["ErrorMessage"].startswith("LAUNCH ERROR")
