"""What a flow starts through boto3 joins its trace, with nothing about it in the flow's code.

``ecs.run_task`` and ``glue.start_job_run`` get the variables of ``propagation_env`` added before they leave.
The caller's own values always stay, and so does everything the caller passed in: changes are made to copies.
``OTEL_PREFECT_PROPAGATE`` names the services; empty, it turns this off. aiobotocore, which sends its calls
another way, is not covered.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from typing import TYPE_CHECKING, Any

import wrapt

from otel_prefect import propagation, semconv
from otel_prefect.guard import never_raises

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_logger = logging.getLogger(__name__)

# "A total of 8192 characters are allowed for overrides", their JSON included:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
_ECS_OVERRIDES_LIMIT = 8192


def install() -> None:
    """Stand before botocore's calls, now or as soon as it is imported."""
    services = _services()
    if services:
        wrapt.register_post_import_hook(functools.partial(_wrap, services), "botocore.client")


def _services() -> frozenset[str]:
    """Return the services that are wanted; an unknown one is ignored with a warning that shows it."""
    variable = semconv.ENV_PROPAGATE
    names = os.environ.get(variable.name, variable.default).split(",")
    wanted = {name.strip() for name in names} - {""}
    known = {service for service, _ in _CALLS}
    for name in sorted(wanted - known):
        _logger.warning("%s: %r is ignored, %s are known", variable.name, name, ", ".join(sorted(known)))
    return frozenset(wanted & known)


def _wrap(services: frozenset[str], module: Any) -> None:
    def make_api_call(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(args) == 2 and not kwargs:
            operation, params = args
            return wrapped(operation, _with_run(services, client, operation, params) or params)
        return wrapped(*args, **kwargs)

    # Not one of botocore's documented places, but the one that its instrumentations use: the events
    # have no client to look a task definition up with.
    if hasattr(getattr(module, "BaseClient", None), "_make_api_call"):
        wrapt.wrap_function_wrapper(module, "BaseClient._make_api_call", make_api_call)


@never_raises(None)
def _with_run(
    services: frozenset[str], client: Any, operation: str, params: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the parameters with the run's variables, None where they are to be left alone."""
    service = client.meta.service_model.service_name
    add = _CALLS.get((service, operation))
    if add is None or service not in services:
        return None
    variables = propagation.propagation_env()
    return add(client, params, variables) if variables else None


def _run_task(client: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any] | None:
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
    size = len(json.dumps(overrides, default=str))
    if size > _ECS_OVERRIDES_LIMIT:
        _logger.warning(
            "ecs.run_task is left as it is: its overrides would have %d characters with the run's "
            "variables, ECS takes %d. The task will not be in the trace; pass fewer or shorter overrides",
            size,
            _ECS_OVERRIDES_LIMIT,
        )
        return None
    return {**params, "overrides": overrides} if containers else None


def _entries(variables: Mapping[str, str], own: frozenset[str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items() if name not in own]


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
        _definitions[task_definition] = {
            one["name"]: frozenset(entry["name"] for entry in one.get("environment", ()))
            for one in definitions
        }
    return _definitions[task_definition]


def _start_job_run(_: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Add job arguments, which a Glue job finds on its command line and ``environment.read`` knows."""
    added = {f"--{name}": value for name, value in variables.items()}
    return {**params, "Arguments": {**added, **(params.get("Arguments") or {})}}


_CALLS: dict[
    tuple[str, str], Callable[[Any, Mapping[str, Any], Mapping[str, str]], dict[str, Any] | None]
] = {
    ("ecs", "RunTask"): _run_task,
    ("glue", "StartJobRun"): _start_job_run,
}
