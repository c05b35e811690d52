"""Puts the sidecar into the base job template of a Prefect work pool of type ``ecs``, and takes it out again.

Pure functions from a template to a template. The sidecar's container and what waits for it are variables of
the template, so that a deployment's job variables can change the one or turn both off:
https://docs.prefect.io/v3/deploy/infrastructure-concepts/work-pools#base-job-template
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.deploy import task_definition
from otel_prefect.deploy.task_definition import SIDECAR, TaskDefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_prefect.deploy.task_definition import Sidecar

CONTAINER: Final = "otel_prefect_sidecar"
DEPENDS_ON: Final = "otel_prefect_depends_on"
"""The template's variables; also the names of a deployment's job variables."""
OFF: Final[Mapping[str, Any]] = {CONTAINER: {}, DEPENDS_ON: []}
"""Job variables of a deployment that runs without the sidecar: Prefect's worker drops an empty container."""

_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    CONTAINER: {
        "title": "otel-prefect: the sidecar",
        "description": "Container definition of the sidecar; {} for none. Made by `otel-prefect work-pool`.",
        "type": "object",
    },
    DEPENDS_ON: {
        "title": "otel-prefect: what the flow's container waits for",
        "description": "ECS dependencies of the flow's container; [] where there is no sidecar.",
        "type": "array",
        "items": {"type": "object"},
    },
}


def add(template: Mapping[str, Any], sidecar: Sidecar) -> dict[str, Any]:
    """Return the template with the sidecar; one that has it already gets it anew.

    Neither CPU nor memory is reserved: Prefect's worker gives all of the task's to the flow's container when
    it runs it, and ECS would refuse a task whose containers reserve more than it has.

    Raises:
        TaskDefinitionError: it is no template of an ECS work pool, or the sidecar does not fit in.
    """
    result = remove(template)
    definition = _definition(result)
    on_fargate = _on_fargate(result, definition)
    if on_fargate:
        definition["requiresCompatibilities"] = ["FARGATE"]
    changed = task_definition.add(definition, sidecar)
    if on_fargate:
        del changed["requiresCompatibilities"]
    *others, own = changed["containerDefinitions"]
    for key in ("cpu", "memoryReservation"):
        own.pop(key, None)
    flow = _waiting(others)
    if SIDECAR in flow.get("links", ()):
        raise TaskDefinitionError(
            "runs go to EC2 in bridge mode, where containers need links: set networkMode of the template's "
            "task_definition to awsvpc or host"
        )
    waits_for = flow["dependsOn"]
    flow["dependsOn"] = _placeholder(DEPENDS_ON)
    changed["containerDefinitions"] = [*others, _placeholder(CONTAINER)]
    result["job_configuration"]["task_definition"] = changed
    properties = result.setdefault("variables", {}).setdefault("properties", {})
    for name, default in {CONTAINER: own, DEPENDS_ON: waits_for}.items():
        properties[name] = {**_SCHEMAS[name], "default": default}
    return result


def job_variables(
    template: Mapping[str, Any],
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
    image: str | None = None,
) -> dict[str, Any]:
    """Return job variables by which one deployment has another sidecar than the pool's others.

    Args:
        template: of the pool, with the sidecar in it.
        environment: variables that are to be other than the pool's, or more.
        secrets: the same for variables whose value is a secret, by ARN.
        image: another image; None: the pool's.

    Raises:
        TaskDefinitionError: the pool has no sidecar.
    """
    known = template.get("variables", {}).get("properties", {}).get(CONTAINER, {}).get("default")
    if not isinstance(known, dict):
        raise TaskDefinitionError(
            "its template has no sidecar: run `otel-prefect work-pool add-sidecar` first"
        )
    own = copy.deepcopy(known)
    if image is not None:
        own["image"] = image
    for key, value, more in (("environment", "value", environment), ("secrets", "valueFrom", secrets)):
        written = {pair["name"]: pair[value] for pair in own.get(key, ())} | dict(more)
        own[key] = [{"name": name, value: found} for name, found in sorted(written.items())]
    return {CONTAINER: own}


def remove(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template without the sidecar and without what was added for it.

    Raises:
        TaskDefinitionError: it is no template of an ECS work pool.
    """
    result = copy.deepcopy(dict(template))
    definition = _definition(result)
    properties = result.get("variables", {}).get("properties", {})
    own, waits_for = (properties.pop(name, {}).get("default") for name in (CONTAINER, DEPENDS_ON))
    if own is None:
        return result
    containers = definition["containerDefinitions"]
    for container in containers:
        if isinstance(container, dict) and container.get("dependsOn") == _placeholder(DEPENDS_ON):
            container["dependsOn"] = waits_for or []
    definition["containerDefinitions"] = [
        own if container == _placeholder(CONTAINER) else container for container in containers
    ]
    result["job_configuration"]["task_definition"] = task_definition.remove(definition)
    return result


def _definition(template: Mapping[str, Any]) -> dict[str, Any]:
    definition = template.get("job_configuration", {}).get("task_definition")
    if not isinstance(definition, dict):
        raise TaskDefinitionError(
            "not the template of an ECS work pool: it has no job_configuration.task_definition"
        )
    return definition


def _on_fargate(template: Mapping[str, Any], definition: Mapping[str, Any]) -> bool:
    """Tell whether runs go to Fargate, of which the worker tells the task definition only later."""
    if definition.get("networkMode") or definition.get("requiresCompatibilities"):
        return False
    launch_type = template.get("variables", {}).get("properties", {}).get("launch_type", {})
    return str(launch_type.get("default", "FARGATE")).startswith("FARGATE")


def _waiting(containers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the container that waits for the sidecar: the one that runs the flow."""
    found = [
        each for each in containers if any(d["containerName"] == SIDECAR for d in each.get("dependsOn", ()))
    ]
    if len(found) != 1:
        names = ", ".join(each["name"] for each in found)
        raise TaskDefinitionError(
            f"the template has several containers ({names}): name the flow's with --sender"
        )
    return found[0]


def _placeholder(name: str) -> str:
    return "{{ " + name + " }}"
