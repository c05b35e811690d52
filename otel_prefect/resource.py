"""What a process says about itself in the Resource of everything it sends."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource
from opentelemetry.semconv.attributes import service_attributes

from otel_prefect import ids, process_kind, semconv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_prefect.environment import Environment

# The SDK's own words for a service without a name begin with this.
_UNNAMED = "unknown_service"

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
_FARGATE_CONTAINER = re.compile(r"[0-9a-f]{32}-[0-9]+")


def resource(told: Environment, service_name: str | None = None) -> Resource:
    """Return the Resource of this process.

    ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` win over what is found here.

    Args:
        told: what the process was told at start.
        service_name: its name where the variables give none; made from its command line where None.
    """
    attributes = {
        semconv.CONTAINER_ID: container_id(),
        semconv.SOURCE: told.source,
        semconv.STAGE: told.stage,
        semconv.LOG_CORRELATION_ID: told.log_correlation_id,
    }
    if told.flow_run_id is not None:
        attributes[semconv.FLOW_RUN_ID] = str(told.flow_run_id)
        if told.trace_id != ids.trace_id(told.flow_run_id):
            attributes[semconv.FLOW_RUN_ROOT_ID] = str(ids.flow_run_id(told.trace_id or 0))
    found = Resource({key: value for key, value in attributes.items() if value is not None})
    made = found.merge(Resource.create())
    name = str(made.attributes.get(service_attributes.SERVICE_NAME, ""))
    if name and not name.startswith(_UNNAMED):
        return made
    return made.merge(Resource({service_attributes.SERVICE_NAME: service_name or default_service_name()}))


def container_id(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the id of this container, which ECS's task metadata calls ``DockerId``; None where none is told.

    On Fargate it is the last part of the endpoint's URI: the task's id, a hyphen and a number. On EC2 that
    part is a random UUID of the agent's, and no container's id (``initializeV3EndpointIDForAllContainers``
    in https://github.com/aws/amazon-ecs-agent).

    Args:
        environ: the environment; the process's own where it is None.
    """
    uri = (os.environ if environ is None else environ).get(semconv.ENV_ECS_METADATA.name, "")
    last = uri.rstrip("/").rpartition("/")[2]
    return last if _FARGATE_CONTAINER.fullmatch(last) else None


def default_service_name(
    environ: Mapping[str, str] | None = None, command_line: Sequence[str] | None = None
) -> str:
    """Return a name for a process that nobody has named: its stage, else its program.

    Args:
        environ: the environment; the process's own where it is None.
        command_line: interpreter and arguments; the process's own where it is None.

    Returns:
        ``STAGE`` where it is set, ``prefect`` for Prefect's own programs, else the base name of the
        script or module. Never a name that changes from run to run.
    """
    stage = (os.environ if environ is None else environ).get(semconv.ENV_STAGE.name, "").strip()
    if stage:
        return stage
    if process_kind.is_prefects_own(command_line):
        return "prefect"
    return process_kind.program(command_line) or "python"
