"""Adds the run's variables to calls that start a container or a job: ECS, Batch, Glue.

Each function takes a boto3 client, the call's parameters and the variables, and returns changed parameters,
or None where the call is to be left as it is.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from otel_prefect import propagation
from otel_prefect.guard import warn_once

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger(__name__)

# "A total of 8192 characters are allowed for overrides", their JSON included:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
_ECS_OVERRIDES_LIMIT = 8192
# "Maximum job payload size (for SubmitJob API operations)", 30 KiB:
# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
_BATCH_PAYLOAD_LIMIT = 30 * 1024


def run_task(client: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Add to each container override that the caller gives; where there is none, to each container.

    An override needs a container's name. The task definition has them, and its own environment, which
    wins over ours; looking it up needs ``ecs:DescribeTaskDefinition``.
    """
    overrides = dict(params.get("overrides") or {})
    given = overrides.get("containerOverrides") or []
    if given:
        containers = [propagation.with_environment(override, variables) for override in given]
    else:
        containers = [
            {"name": name, "environment": _entries(variables, own)}
            for name, own in _containers(client, params.get("taskDefinition", "")).items()
        ]
    overrides["containerOverrides"] = containers
    size = _size(overrides)
    if size > _ECS_OVERRIDES_LIMIT:
        warn_once(
            _logger,
            "ecs.run_task is left as it is: its overrides would have %d characters with the run's "
            "variables, ECS takes %d. The task will not be in the trace; pass fewer or shorter overrides",
            size,
            _ECS_OVERRIDES_LIMIT,
        )
        return None
    return {**params, "overrides": overrides} if containers else None


_definitions: dict[str, dict[str, frozenset[str]]] = {}
"""What was looked up: task definition → container → names of its own variables. As many as a flow starts."""


def _containers(client: Any, task_definition: str) -> dict[str, frozenset[str]]:
    """Return the containers of a task definition; none, with a warning, where it cannot be read."""
    if task_definition not in _definitions:
        try:
            answer = client.describe_task_definition(taskDefinition=task_definition)
        except Exception as error:
            _logger.warning(
                "ecs.run_task is left as it is: the containers of %s cannot be looked up (%s). To put the "
                "task into the trace, allow ecs:DescribeTaskDefinition or pass containerOverrides",
                task_definition,
                error,
            )
            answer = {}
        definitions = answer.get("taskDefinition", {}).get("containerDefinitions", [])
        _definitions[task_definition] = {one["name"]: _own_names(one) for one in definitions}
    return _definitions[task_definition]


def submit_job(client: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Add to the overrides that the caller gives; without any, to the container of the job definition.

    A definition with several containers, nodes or an EKS pod takes overrides of another shape, and refuses
    ``containerOverrides``. So it has to be looked up (``batch:DescribeJobDefinitions``) where the call does
    not show its shape; what it sets itself wins over ours.
    """
    added = _given_batch_overrides(params, variables)
    if not added:
        own = _plain_container(client, str(params.get("jobDefinition", "")))
        added = {} if own is None else {"containerOverrides": {"environment": _entries(variables, own)}}
    if not added:
        return None
    changed = {**params, **added}
    size = _size(changed)
    if size > _BATCH_PAYLOAD_LIMIT:
        warn_once(
            _logger,
            "batch.submit_job is left as it is: it would have %d bytes with the run's variables, Batch takes "
            "%d. The job will not be in the trace; pass less",
            size,
            _BATCH_PAYLOAD_LIMIT,
        )
        return None
    return changed


def _given_batch_overrides(params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the kinds of overrides that the call has, each with the variables in all its containers."""
    found = {
        key: params[key]
        for key in ("containerOverrides", "ecsPropertiesOverride", "eksPropertiesOverride", "nodeOverrides")
        if params.get(key) is not None
    }
    return {key: _with_variables(key, value, variables) for key, value in found.items()}


# Where the containers lie in each kind of override:
# https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
_INSIDE = {
    "ecsPropertiesOverride": ("taskProperties",),
    "taskProperties": ("containers",),
    "eksPropertiesOverride": ("podProperties",),
    "podProperties": ("containers", "initContainers"),
    "nodeOverrides": ("nodePropertyOverrides",),
    "nodePropertyOverrides": ("containerOverrides", "ecsPropertiesOverride", "eksPropertiesOverride"),
}


def _with_variables(kind: str, value: Any, variables: Mapping[str, str], *, eks: bool = False) -> Any:
    if isinstance(value, list):
        return [_with_variables(kind, one, variables, eks=eks) for one in value]
    if kind in _INSIDE:
        eks = eks or kind == "eksPropertiesOverride"
        inner = {
            key: _with_variables(key, value[key], variables, eks=eks) for key in _INSIDE[kind] if key in value
        }
        return {**value, **inner}
    return propagation.with_environment(value, variables, key="env" if eks else "environment")


_job_definitions: dict[str, frozenset[str] | None] = {}
"""What was looked up: job definition → names of its container's own variables, None where it has no such."""


def _plain_container(client: Any, job_definition: str) -> frozenset[str] | None:
    """Return the names that a definition of one container sets; None for others, and unread ones."""
    if job_definition not in _job_definitions:
        _job_definitions[job_definition] = _looked_up(client, job_definition)
    return _job_definitions[job_definition]


def _looked_up(client: Any, job_definition: str) -> frozenset[str] | None:
    try:
        found = _describe(client, job_definition)
    except Exception as error:
        _logger.warning(
            "batch.submit_job is left as it is: %s cannot be looked up (%s). To put the job into the trace, "
            "allow batch:DescribeJobDefinitions or pass containerOverrides",
            job_definition,
            error,
        )
        return None
    container = found.get("containerProperties")
    if container is None:
        _logger.warning(
            "batch.submit_job is left as it is: %s is not a job of one container. To put the job into the "
            "trace, name its containers in ecsPropertiesOverride, eksPropertiesOverride or nodeOverrides",
            job_definition,
        )
        return None
    return _own_names(container)


def _describe(client: Any, job_definition: str) -> dict[str, Any]:
    """Return a job definition by its ARN, ``name:revision``, or name: then its latest active revision."""
    if job_definition.startswith("arn:") or ":" in job_definition:
        answer = client.describe_job_definitions(jobDefinitions=[job_definition])
    else:
        answer = client.describe_job_definitions(jobDefinitionName=job_definition, status="ACTIVE")
    return max(answer["jobDefinitions"], key=lambda one: int(one.get("revision", 0)), default={})


def start_job_run(_: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Add job arguments, which a Glue job finds on its command line and ``environment.read`` knows."""
    added = {f"--{name}": value for name, value in variables.items()}
    return {**params, "Arguments": {**added, **(params.get("Arguments") or {})}}


def _entries(variables: Mapping[str, str], own: frozenset[str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items() if name not in own]


def _own_names(container: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(entry["name"] for entry in container.get("environment", ()))


def _size(value: object) -> int:
    return len(json.dumps(value, default=str))
