"""``otel-prefect ecs add-sidecar``, run as a user runs it, against ECS (moto)."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import aws
from demo.processes import Processes, environment
from otel_prefect.deploy import task_definition
from tests.unit.test_task_definition import BRIDGE, FARGATE, IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (str(Path(sys.executable).parent / "otel-prefect"), "ecs", "add-sidecar")
HOST = {**copy.deepcopy(BRIDGE), "family": "on-host", "networkMode": "host"}


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:
    with Processes(tmp_path_factory.mktemp("aws")) as processes:
        yield aws.start(processes)


def call(moto: aws.Aws, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*COMMAND, *arguments),
        input=stdin,
        env=environment(moto.variables()),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("definition", [FARGATE, BRIDGE, HOST], ids=["fargate", "bridge", "host"])
def test_each_kind_of_definition_is_registered_and_taken_back(
    moto: aws.Aws, definition: dict[str, Any]
) -> None:
    ecs = moto.client("ecs")
    ecs.register_task_definition(**definition)
    added = call(moto, definition["family"], "--image", IMAGE, "--register")
    assert added.returncode == 0, added.stderr
    assert added.stdout.strip().endswith(f"task-definition/{definition['family']}:2")
    described = ecs.describe_task_definition(taskDefinition=added.stdout.strip())["taskDefinition"]
    names = [each["name"] for each in described["containerDefinitions"]]
    assert names == [*(each["name"] for each in definition["containerDefinitions"]), "otel-prefect"]
    removed = call(moto, definition["family"], "--remove")
    assert removed.returncode == 0, removed.stderr
    without = json.loads(removed.stdout)
    for before, after in zip(
        definition["containerDefinitions"], without["containerDefinitions"], strict=True
    ):
        assert {key: after[key] for key in before} == before
        assert task_definition.SIDECAR not in json.dumps(after)


def test_a_file_and_standard_input_give_the_same_and_notes_go_to_stderr(
    moto: aws.Aws, tmp_path: Path
) -> None:
    text = json.dumps(BRIDGE)
    (tmp_path / "task.json").write_text(text)
    from_file = call(moto, str(tmp_path / "task.json"), "--image", IMAGE)
    from_stdin = call(moto, "-", "--image", IMAGE, stdin=text)
    assert from_file.stdout == from_stdin.stdout
    assert json.loads(from_file.stdout)["containerDefinitions"][-1]["name"] == "otel-prefect"
    assert "note: there is no taskRoleArn" in from_file.stderr
    assert (tmp_path / "task.json").read_text() == text


def test_a_diff_shows_what_changes_and_nothing_is_registered(moto: aws.Aws) -> None:
    shown = call(
        moto,
        "-",
        "--image",
        IMAGE,
        "--diff",
        "--env",
        "OTEL_PREFECT_LOGS=cloudwatch",
        stdin=json.dumps(FARGATE),
    )
    lines = shown.stdout.splitlines()
    assert lines[:2] == ["--- before", "+++ after"]
    assert '+          "containerName": "otel-prefect",' in lines
    removed = [line for line in lines[2:] if line.startswith("-")]
    assert all(f"+{line[1:]}," in lines for line in removed)  # only commas were added to what was there
    assert shown.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (("-", "--image", IMAGE), "{", "standard input is not JSON"),
        (("-",), json.dumps(FARGATE), "--image is needed"),
        (("no/such/file.json", "--image", IMAGE), "", "there is no such file"),
        (("no-such-family", "--image", IMAGE), "", "ecs:DescribeTaskDefinition on no-such-family"),
        (("-", "--image", IMAGE, "--env", "s3cret"), json.dumps(FARGATE), "--env: NAME=VALUE is needed"),
        (
            ("-", "--image", IMAGE, "--efs", "volume"),
            json.dumps(FARGATE),
            "--efs volume: fs-… or fs-…:fsap-…",
        ),
        (
            ("-", "--image", IMAGE, "--register"),
            json.dumps({**FARGATE, "cpu": 1}),
            "not a task definition that ECS",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    moto: aws.Aws, arguments: tuple[str, ...], stdin: str, words: str
) -> None:
    done = call(moto, *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr
