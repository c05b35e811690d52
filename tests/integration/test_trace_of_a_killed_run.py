"""A run that was killed in mid task: the command shows the cause, as sidecar and Collector tell it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo import aws, prefect_server
from demo.processes import Processes
from tests.support import ecs_metadata, sidecar
from tests.support.collector import wait_for
from tests.support.killed_flow import kill_in_mid_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.prefect_server import PrefectServer
    from tests.support.ecs_metadata import EcsMetadata

COMMAND = str(Path(sys.executable).with_name("otel-prefect"))


@pytest.fixture
def metadata() -> Iterator[EcsMetadata]:
    yield from ecs_metadata.serve()


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[aws.Aws, PrefectServer]]:
    with Processes(tmp_path / "logs") as processes:
        yield aws.start(processes), prefect_server.start(processes, tmp_path / "home")


def trace(moto: aws.Aws, server: PrefectServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **moto.variables(), "PREFECT_API_URL": server.url, "COLUMNS": "120"}
    return subprocess.run(
        [COMMAND, "trace", *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_first_screen_says_that_the_latest_run_was_killed_and_in_which_task(
    places: tuple[aws.Aws, PrefectServer], metadata: EcsMetadata, tmp_path: Path
) -> None:
    moto, server = places
    out = {
        **moto.variables(),
        "OTEL_PREFECT_TRACES": "xray",
        "OTEL_PREFECT_LOGS": "cloudwatch",
        "ECS_CONTAINER_METADATA_URI_V4": metadata.url,
    }
    with sidecar.running(tmp_path, **out) as running:
        kill_in_mid_task(metadata, server, running)
        shown = wait_for(
            lambda: trace(moto, server, "latest"), lambda done: "closed by the sidecar" in done.stdout
        )
        running.stop()
    assert (shown.returncode, shown.stderr) == (0, "")
    first_screen = "\n".join(shown.stdout.splitlines()[:12])
    assert (
        "stuck-task ▸ task load  SIGKILL: container prefect ended with exit code 137 (SIGKILL" in first_screen
    )
    assert shown.stdout.splitlines()[0].startswith("fault  flow ")
