"""Reads what ECS says of this task: the task metadata endpoint, version 4.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from otel_prefect import semconv
from sidecar.fetch import Fetcher, FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.attributes import Attributes

_log = logging.getLogger("sidecar.ecs")
_TIMEOUT_SECONDS = 2.0
# Statuses that a container does not leave any more.
_ENDED = ("STOPPED", "DEPROVISIONING")
# A container that started after the last answer is asked for again no sooner than after this.
_ASK_AGAIN_SECONDS = 2.0
_TASK_LIMITS = (semconv.AWS_ECS_TASK_CPU, semconv.AWS_ECS_TASK_MEMORY)
_CONTAINER_LIMITS = (semconv.AWS_ECS_CONTAINER_CPU, semconv.AWS_ECS_CONTAINER_MEMORY)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")


@dataclass(frozen=True)
class Container:
    """A container of the task, as the endpoint describes it.

    Attributes:
        id: its ``DockerId``.
        name: as the task definition names it.
        ended: whether it runs no more.
        exit_code: None while it runs, and where ECS does not know.
        finished_unix_nano: when it ended; None as above.
        attributes: its description by OpenTelemetry's names.
    """

    id: str
    name: str
    ended: bool
    exit_code: int | None
    finished_unix_nano: int | None
    attributes: Attributes

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Container:
        """Read one element of ``Containers``."""
        exit_code = answer.get("ExitCode")
        return cls(
            id=str(answer.get("DockerId", "")),
            name=str(answer.get("Name", "")),
            ended=answer.get("KnownStatus") in _ENDED,
            exit_code=exit_code if isinstance(exit_code, int) else None,
            finished_unix_nano=_unix_nano(answer.get("FinishedAt")),
            attributes=container_attributes(answer),
        )


def _unix_nano(text: object) -> int | None:
    """Read ECS's times, such as ``2020-10-02T00:15:07.620912337Z``; None where there is none."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    try:
        seconds = datetime.fromisoformat(f"{match[1]}+00:00").timestamp()
    except ValueError:
        return None
    return int(seconds) * 1_000_000_000 + int((match[2] or "").ljust(9, "0")[:9])


class TaskMetadata:
    """Asks the metadata endpoint of this task.

    Args:
        url: the value of ECS_CONTAINER_METADATA_URI_V4; None outside ECS.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._fetcher = Fetcher(_TIMEOUT_SECONDS)
        self._own_id: str | None = None
        self._containers: dict[str, Attributes] = {}
        self._asking: asyncio.Task[object] | None = None
        self._due = 0.0

    async def attributes(self) -> Attributes:
        """Return the task's attributes; none outside ECS or where the endpoint does not answer."""
        task = await self._get("/task")
        return {} if task is None else task_attributes(task)

    def container(self, id_: str) -> Attributes | None:
        """Return what is known of a container now; where it is not known, ask in the background."""
        known = self._containers.get(id_)
        if known is None and self._url is not None and self._asking is None and time.monotonic() >= self._due:
            self._due = time.monotonic() + _ASK_AGAIN_SECONDS
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        return known

    async def close(self) -> None:
        """End what is under way."""
        if self._asking is not None:
            self._asking.cancel()

    async def others(self) -> list[Container] | None:
        """Return the task's containers but for the sidecar's own; None where that cannot be told."""
        if self._own_id is None:
            own = await self._get("")
            self._own_id = None if own is None else str(own.get("DockerId", ""))
        task = None if self._own_id is None else await self._get("/task")
        if task is None:
            return None
        containers = [Container.read(container) for container in task.get("Containers", ())]
        for container in containers:
            # An unchanged description stays the same object: what was made with it stays valid.
            if self._containers.get(container.id) != container.attributes:
                self._containers[container.id] = container.attributes
        return [container for container in containers if container.id != self._own_id]

    async def _ask(self) -> None:
        try:
            await self.others()
        finally:
            self._asking = None

    async def others_running(self) -> bool | None:
        """Tell whether another container of the task still runs; None where that cannot be told."""
        others = await self.others()
        return None if others is None else any(not container.ended for container in others)

    async def _get(self, route: str) -> dict[str, Any] | None:
        if self._url is None:
            return None
        try:
            return await self._fetcher.json(self._url + route)
        except FetchError as error:
            _log.warning("%s: %s", semconv.ENV_ECS_METADATA.name, error)
            return None


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
    return {**{key: value for key, value in known.items() if value}, **_limits(task, *_TASK_LIMITS)}


def container_attributes(container: Mapping[str, Any]) -> Attributes:
    """Choose attributes from an element of ``Containers``, by OpenTelemetry's conventions for containers."""
    image = str(container.get("Image", ""))
    name, _, digest = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # a registry's port, not a tag
        repository, tag = name, ""
    known: dict[str, str | list[str]] = {
        semconv.CONTAINER_NAME: str(container.get("Name", "")),
        semconv.CONTAINER_IMAGE_NAME: repository,
        semconv.CONTAINER_IMAGE_TAGS: [tag] if tag else [],
        semconv.CONTAINER_IMAGE_ID: str(container.get("ImageID", "")) or digest,
        semconv.AWS_ECS_CONTAINER_ARN: str(container.get("ContainerARN", "")),
    }
    return {**{key: value for key, value in known.items() if value}, **_limits(container, *_CONTAINER_LIMITS)}


def _limits(described: Mapping[str, Any], cpu: str, memory: str) -> Attributes:
    limits = described.get("Limits")
    if not isinstance(limits, dict):
        return {}
    known = {cpu: limits.get("CPU"), memory: limits.get("Memory")}
    return {key: value for key, value in known.items() if isinstance(value, int | float) and value > 0}
