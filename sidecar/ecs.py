"""Reads what ECS says of this task: the task metadata endpoint, version 4.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import aiohttp

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.enrichment import Attributes

_log = logging.getLogger("sidecar.ecs")
_TIMEOUT = aiohttp.ClientTimeout(total=2)
# Statuses that a container does not leave any more.
_ENDED = ("STOPPED", "DEPROVISIONING")


class TaskMetadata:
    """Asks the metadata endpoint of this task.

    Args:
        url: the value of ECS_CONTAINER_METADATA_URI_V4; None outside ECS.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url

    async def attributes(self) -> Attributes:
        """Return the task's attributes; none outside ECS or where the endpoint does not answer."""
        task = await self._get("/task")
        return {} if task is None else task_attributes(task)

    async def others_running(self) -> bool | None:
        """Tell whether another container of the task still runs; None where that cannot be told."""
        own, task = await self._get(""), await self._get("/task")
        if own is None or task is None:
            return None
        return any(
            container.get("DockerId") != own.get("DockerId") and container.get("KnownStatus") not in _ENDED
            for container in task.get("Containers", ())
        )

    async def _get(self, route: str) -> dict[str, Any] | None:
        if self._url is None:
            return None
        try:
            # One session a question: there are two at the start and two a second while draining.
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, raise_for_status=True) as session,
                session.get(self._url + route) as response,
            ):
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            _log.warning("%s: no answer (%s)", semconv.ENV_ECS_METADATA.name, type(error).__name__)
            return None
        return answer if isinstance(answer, dict) else None


def task_attributes(task: Mapping[str, Any]) -> Attributes:
    """Choose attributes from the answer to ``/task``, by OpenTelemetry's conventions for AWS ECS."""
    arn = str(task.get("TaskARN", ""))
    # arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID
    _, _, _, region, account, path = [*arn.split(":", 5), *[""] * 6][:6]
    cluster = str(task.get("Cluster", ""))
    if cluster and not cluster.startswith("arn:"):
        cluster = f"{arn.rpartition(':')[0]}:cluster/{cluster}"
    known = {
        semconv.CLOUD_PROVIDER: "aws",
        semconv.CLOUD_PLATFORM: "aws_ecs",
        semconv.CLOUD_REGION: region,
        semconv.CLOUD_ACCOUNT_ID: account,
        semconv.CLOUD_AVAILABILITY_ZONE: str(task.get("AvailabilityZone", "")),
        semconv.AWS_ECS_CLUSTER_ARN: cluster,
        semconv.AWS_ECS_TASK_ARN: arn,
        semconv.AWS_ECS_TASK_ID: path.rpartition("/")[2],
        semconv.AWS_ECS_TASK_FAMILY: str(task.get("Family", "")),
        semconv.AWS_ECS_TASK_REVISION: str(task.get("Revision", "")),
        semconv.AWS_ECS_LAUNCHTYPE: str(task.get("LaunchType", "")).lower(),
    }
    return {key: value for key, value in known.items() if value}
