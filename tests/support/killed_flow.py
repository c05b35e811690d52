"""A flow that is killed in mid task, as ECS kills a container."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.processes import environment
from tests.support.collector import wait_for

if TYPE_CHECKING:
    from demo.prefect_server import PrefectServer
    from tests.support.ecs_metadata import EcsMetadata
    from tests.support.sidecar import RunningSidecar

CONTAINER = "7026b406b5a34623a4c705220a36970c-3779599274"
_FLOW = Path(__file__).parent / "flows" / "stuck.py"


def kill_in_mid_task(
    metadata: EcsMetadata, server: PrefectServer, running: RunningSidecar, *others: dict[str, Any]
) -> datetime:
    """Run the flow until it is in its second task, and kill it; return when its container stopped.

    Args:
        metadata: of the task, which gets the flow's container ``prefect``.
        server: Prefect's.
        running: the task's sidecar.
        others: containers of the task beside it.
    """
    container: dict[str, Any] = {"DockerId": CONTAINER, "Name": "prefect", "KnownStatus": "RUNNING"}
    metadata.containers = [container, *others]
    variables = {
        **server.variables(),
        "PREFECT_PLUGINS_ENABLED": "1",
        "OTEL_SERVICE_NAME": "stuck-task",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{running.http_port}",
        "ECS_CONTAINER_METADATA_URI_V4": f"http://127.0.0.1/v4/{CONTAINER}",
    }
    process = subprocess.Popen(
        [sys.executable, str(_FLOW)], env=environment(variables), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    # Started: the flow and both tasks; ended: the first task.
    wait_for(running.spans_taken, lambda count: count >= 4)
    process.kill()
    process.communicate(timeout=30)
    now = datetime.now(timezone.utc)
    container.update(KnownStatus="STOPPED", ExitCode=137, FinishedAt=now.isoformat().replace("+00:00", "Z"))
    return now
