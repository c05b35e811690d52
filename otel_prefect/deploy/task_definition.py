"""Puts the sidecar into an ECS task definition, and takes it out again.

Pure functions from a task definition to a task definition, in the form that ``ecs.register_task_definition``
takes: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
"""

from __future__ import annotations

import copy
import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SIDECAR: Final = "otel-prefect"
"""The name of the sidecar's container and of its volume."""
ADDED: Final = "io.otel-prefect.added"
"""Label of the sidecar's container: what was added to the others, so that it can be taken away again."""

# What ``describe_task_definition`` answers and ``register_task_definition`` does not take.
_ANSWERED_ONLY: Final = (
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
)
# Where the sidecar listens, by the port's use.
_PORTS: Final = {
    4317: "OTLP/gRPC",
    4318: "OTLP/HTTP",
    2000: "X-Ray SDKs",
    8125: "StatsD",
    13133: "health",
}
_COLLECTORS: Final = re.compile(
    r"(^|/)(aws-otel-collector|aws-xray-daemon|xray-daemon|opentelemetry-collector[\w-]*|otelcol[\w-]*|adot-collector)([:@]|$)"
)
_LOG_ROUTERS: Final = re.compile(
    r"(^|/)(aws-for-fluent-bit|fluent-bit|fluentd|datadog-agent|amazon-cloudwatch-agent)([:@]|$)"
)
# What the sidecar needs to know and a task's flow container may know already. A secret that stands there by
# its value is not written a second time.
_OF_PREFECT: Final = {
    "environment": (semconv.ENV_PREFECT_API_URL.name,),
    "secrets": (
        semconv.ENV_PREFECT_API_URL.name,
        semconv.ENV_PREFECT_API_KEY.name,
        semconv.ENV_PREFECT_API_AUTH_STRING.name,
    ),
}
# What the sidecar is told and a flow's process links to: see `otel_prefect.prefect.links_artifact`.
_OF_LINKS: Final = (
    semconv.ENV_LOG_GROUP.name,
    semconv.ENV_GRAFANA_URL.name,
    semconv.ENV_OPENSEARCH_DASHBOARDS_URL.name,
    semconv.ENV_LINKS.name,
)
_HEALTHY: Final = {"containerName": SIDECAR, "condition": "HEALTHY"}
# Stop comes 30 s before the kill by default; the drain and the queues' flush fit into that.
_STOP_SECONDS: Final = 30

# bench/RESULTS.md: the whole pipeline takes 48 to 78 µs of CPU a span, and 125 MB at 10,000 spans a second.
_CPU_MICROSECONDS: Final = 80
_HEADROOM: Final = 1.5
_LEAST_CPU_UNITS: Final = 32
_MEMORY_MIB: Final = 160


class TaskDefinitionError(ValueError):
    """Raised when the sidecar cannot be put into a task definition; the text says why and what to do."""


@dataclass(frozen=True)
class Efs:
    """Where the queues are to outlive their task: a file system that all tasks share.

    Attributes:
        file_system: its id, ``fs-…``.
        access_point: ``fsap-…``; gives the folder and its owner, and has IAM decide who mounts it.
    """

    file_system: str
    access_point: str | None = None

    def volume(self) -> dict[str, Any]:
        """Return the task's volume.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-efs-config.html: an access point
        and IAM need encryption in transit, and no directory beside.
        """
        configuration: dict[str, Any] = {"fileSystemId": self.file_system, "transitEncryption": "ENABLED"}
        if self.access_point is not None:
            configuration["authorizationConfig"] = {"accessPointId": self.access_point, "iam": "ENABLED"}
        return {"name": SIDECAR, "efsVolumeConfiguration": configuration}


@dataclass(frozen=True)
class LogGroup:
    """A log group of CloudWatch for what a container writes.

    Attributes:
        name: of the group, which has to exist.
        region: that it is in.
    """

    name: str
    region: str

    def configuration(self) -> dict[str, Any]:
        """Return the container's log configuration.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
        """
        options = {
            "awslogs-group": self.name,
            "awslogs-region": self.region,
            "awslogs-stream-prefix": SIDECAR,
            "mode": "non-blocking",
        }
        return {"logDriver": "awslogs", "options": options}


# Many tasks have one folder then, and nothing may wait in the host's memory for the disk.
_ON_EFS: Final = {semconv.ENV_DATA_SHARED.name: "true", semconv.ENV_QUEUE_FSYNC.name: "true"}


@dataclass(frozen=True)
class Sidecar:
    """How the sidecar's container is to be.

    Attributes:
        image: its image.
        senders: names of the containers that send; empty: all but log routers.
        spans_per_second: that it is to be sized for.
        environment: more variables of the sidecar.
        secrets: variables whose value stands in Secrets Manager or the Parameter Store, by ARN.
        efs: where the queues are; None: on the task's own disk, which goes with it.
        own_log: where its own output goes; None: where the first sender's does, if that says.
    """

    image: str
    senders: tuple[str, ...] = ()
    spans_per_second: int = 500
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    efs: Efs | None = None
    own_log: LogGroup | None = None

    @property
    def cpu_units(self) -> int:
        """CPU to reserve, of which 1024 are a vCPU: 80 µs a span and half as much again."""
        used = self.spans_per_second * _CPU_MICROSECONDS / 1e6 * 1024
        return max(_LEAST_CPU_UNITS, math.ceil(used * _HEADROOM))


def add(definition: Mapping[str, Any], sidecar: Sidecar) -> dict[str, Any]:
    """Return the task definition with the sidecar; one that has it already gets it anew.

    What the containers set themselves stays. The sidecar is not essential: its end never stops the task.

    Raises:
        TaskDefinitionError: it is no task definition, or the sidecar does not fit into it.
    """
    result = remove(definition)
    containers = result["containerDefinitions"]
    _check_neighbours(result, containers)
    senders = _senders(containers, sidecar.senders)
    network = _Network.of(result)
    told = {name: value for name, value in sidecar.environment.items() if name in _OF_LINKS}
    added = {each["name"]: _connect(each, network, told) for each in senders}
    own = _container(sidecar, senders, network)
    own["dockerLabels"] = {ADDED: json.dumps(added, separators=(",", ":"))}
    _reserve(result, own, senders, sidecar)
    # Behind the others: Prefect's ECS worker takes the first container for the flow's where none is named so.
    containers.append(own)
    volume = {"name": SIDECAR} if sidecar.efs is None else sidecar.efs.volume()
    result["volumes"] = [*result.get("volumes", ()), volume]
    return result


def remove(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task definition without the sidecar and without what was added for it.

    Raises:
        TaskDefinitionError: it is no task definition.
    """
    result = _checked(definition)
    containers = result["containerDefinitions"]
    own = next((each for each in containers if each["name"] == SIDECAR), None)
    if own is None:
        return result
    added = _what_was_added(own)
    result["containerDefinitions"] = [each for each in containers if each is not own]
    for each in result["containerDefinitions"]:
        _disconnect(each, added.get(each["name"], []))
    _set_or_drop(result, "volumes", [v for v in result.get("volumes", ()) if v.get("name") != SIDECAR])
    return result


def notes(definition: Mapping[str, Any]) -> list[str]:
    """Return what whoever registers the definition should know, a line each."""
    found = []
    if not definition.get("taskRoleArn"):
        found.append("there is no taskRoleArn: without one the sidecar may send nothing to AWS")
    if _Network.of(definition).bridged:
        found.append(
            "in bridge mode other tasks of the host can reach the sidecar; give it a secret "
            f"{semconv.ENV_BEARER_TOKEN.name}, and the senders OTEL_EXPORTER_OTLP_HEADERS"
        )
    volumes = {volume.get("name"): volume for volume in definition.get("volumes", ())}
    if "efsVolumeConfiguration" in volumes.get(SIDECAR, {}):
        found.append(
            "what a lost task leaves on EFS is sent by a task that runs `python -m sidecar send-left` on the "
            "same volume with the same layers: have one scheduled"
        )
    return found


def _checked(definition: object) -> dict[str, Any]:
    """Return a copy without what only AWS writes."""
    if isinstance(definition, dict) and isinstance(definition.get("taskDefinition"), dict):
        definition = definition["taskDefinition"]  # as `aws ecs describe-task-definition` prints it
    if not isinstance(definition, dict) or not isinstance(definition.get("containerDefinitions"), list):
        raise TaskDefinitionError("not a task definition: it has no list containerDefinitions")
    result = {key: copy.deepcopy(value) for key, value in definition.items() if key not in _ANSWERED_ONLY}
    for position, container in enumerate(result["containerDefinitions"]):
        if not isinstance(container, dict) or not isinstance(container.get("name"), str):
            raise TaskDefinitionError(f"not a task definition: containerDefinitions[{position}] has no name")
    return result


def _check_neighbours(definition: Mapping[str, Any], containers: list[dict[str, Any]]) -> None:
    """Refuse what cannot live beside the sidecar."""
    if str(definition.get("runtimePlatform", {}).get("operatingSystemFamily", "")).startswith("WINDOWS"):
        raise TaskDefinitionError("runtimePlatform is Windows: the sidecar runs on Linux")
    shared = not _Network.of(definition).bridged
    for container in containers:
        name = container["name"]
        if _COLLECTORS.search(str(container.get("image", ""))):
            raise TaskDefinitionError(
                f"container {name} is another collector ({container['image']}): the sidecar takes its place, "
                "take it out first"
            )
        for mapping in container.get("portMappings", ()) if shared else ():
            use = _PORTS.get(mapping.get("containerPort"))
            if use is not None:
                raise TaskDefinitionError(
                    f"container {name} takes port {mapping['containerPort']}, where the sidecar listens "
                    f"({use}): the containers of a task share their ports"
                )


def _senders(containers: list[dict[str, Any]], named: tuple[str, ...]) -> list[dict[str, Any]]:
    known = [container["name"] for container in containers]
    for name in named:
        if name not in known:
            raise TaskDefinitionError(f"there is no container {name!r}; there are {', '.join(known)}")
    found = [
        container
        for container in containers
        if (container["name"] in named if named else not _is_log_router(container))
    ]
    if not found:
        raise TaskDefinitionError("there is no container that could send: name one with --sender")
    return found


def _is_log_router(container: Mapping[str, Any]) -> bool:
    return "firelensConfiguration" in container or bool(_LOG_ROUTERS.search(str(container.get("image", ""))))


@dataclass(frozen=True)
class _Network:
    """How the task's containers reach each other: by loopback, or in bridge mode by links."""

    bridged: bool

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> _Network:
        mode = definition.get("networkMode")
        if mode == "none":
            raise TaskDefinitionError("networkMode is none: nothing can be sent to the sidecar, or by it")
        fargate = "FARGATE" in (definition.get("requiresCompatibilities") or ())
        return cls(bridged=mode == "bridge" or (mode is None and not fargate))

    @property
    def host(self) -> str:
        return SIDECAR if self.bridged else "127.0.0.1"

    def of_sender(self) -> dict[str, str]:
        variables = {
            "PREFECT_PLUGINS_ENABLED": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.host}:4318",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        return {**variables, "AWS_XRAY_DAEMON_ADDRESS": f"{SIDECAR}:2000"} if self.bridged else variables

    def of_sidecar(self) -> dict[str, str]:
        if not self.bridged:
            return {}
        return {
            semconv.ENV_GRPC_ENDPOINT.name: "0.0.0.0:4317",
            semconv.ENV_HTTP_ENDPOINT.name: "0.0.0.0:4318",
            semconv.ENV_XRAY_UDP_ENDPOINT.name: "0.0.0.0:2000",
            semconv.ENV_XRAY_PROXY_ENDPOINT.name: "0.0.0.0:2000",
            semconv.ENV_STATSD_ENDPOINT.name: "0.0.0.0:8125",
        }


def _connect(container: dict[str, Any], network: _Network, told: Mapping[str, str]) -> list[str]:
    """Have a container send to the sidecar; return what was added, for :func:`_disconnect`.

    Args:
        container: is changed.
        network: of the task.
        told: variables of the sidecar that the container needs too.
    """
    added = []
    set_already = {pair["name"] for key in ("environment", "secrets") for pair in container.get(key, ())}
    for name, value in {**network.of_sender(), **told}.items():
        if name not in set_already:
            container["environment"] = [*container.get("environment", ()), {"name": name, "value": value}]
            added.append(f"environment:{name}")
    if not any(each.get("containerName") == SIDECAR for each in container.get("dependsOn", ())):
        container["dependsOn"] = [*container.get("dependsOn", ()), dict(_HEALTHY)]
        added.append("dependsOn")
    if network.bridged and SIDECAR not in container.get("links", ()):
        container["links"] = [*container.get("links", ()), SIDECAR]
        added.append("links")
    return added


def _disconnect(container: dict[str, Any], added: list[str]) -> None:
    variables = {each.removeprefix("environment:") for each in added if each.startswith("environment:")}
    kept = {
        "environment": [p for p in container.get("environment", ()) if p.get("name") not in variables],
        # A container cannot depend on or link to one that is not there, whoever wrote that.
        "dependsOn": [d for d in container.get("dependsOn", ()) if d.get("containerName") != SIDECAR],
        "links": [link for link in container.get("links", ()) if link.partition(":")[0] != SIDECAR],
    }
    for key, value in kept.items():
        if len(value) != len(container.get(key, ())):
            _set_or_drop(container, key, value)


def _set_or_drop(of: dict[str, Any], key: str, value: list[Any]) -> None:
    if value:
        of[key] = value
    else:
        of.pop(key, None)


def _what_was_added(own: Mapping[str, Any]) -> dict[str, list[str]]:
    try:
        added = json.loads(own.get("dockerLabels", {}).get(ADDED, "{}"))
    except ValueError:
        added = None
    if not isinstance(added, dict):
        raise TaskDefinitionError(f"container {SIDECAR}: its label {ADDED} was changed and cannot be read")
    return added


def _container(sidecar: Sidecar, senders: list[dict[str, Any]], network: _Network) -> dict[str, Any]:
    environment = {
        **_known(senders, "environment", "value"),
        **network.of_sidecar(),
        **({} if sidecar.efs is None else _ON_EFS),
        **sidecar.environment,
    }
    secrets = {**_known(senders, "secrets", "valueFrom"), **sidecar.secrets}
    container: dict[str, Any] = {
        "name": SIDECAR,
        "image": sidecar.image,
        "essential": False,
        "environment": [{"name": n, "value": v} for n, v in sorted(environment.items()) if n not in secrets],
        "secrets": [{"name": name, "valueFrom": arn} for name, arn in sorted(secrets.items())],
        "healthCheck": {
            "command": ["CMD", "python", "-m", "sidecar", "health"],
            "interval": 5,
            "timeout": 3,
            "retries": 3,
            "startPeriod": 30,
        },
        "stopTimeout": _STOP_SECONDS,
        "readonlyRootFilesystem": True,
        "mountPoints": [{"sourceVolume": SIDECAR, "containerPath": semconv.ENV_DATA_DIR.default}],
    }
    if not container["secrets"]:
        del container["secrets"]
    of_senders = next((each["logConfiguration"] for each in senders if "logConfiguration" in each), None)
    logs = of_senders if sidecar.own_log is None else sidecar.own_log.configuration()
    if logs is not None:
        container["logConfiguration"] = copy.deepcopy(logs)
    return container


def _known(senders: list[dict[str, Any]], key: str, value: str) -> dict[str, str]:
    """Return how the senders reach Prefect's API, the first one's word."""
    known: dict[str, str] = {}
    for pair in _pairs(senders, key):
        if pair.get("name") in _OF_PREFECT[key] and value in pair:
            known.setdefault(pair["name"], pair[value])
    return known


def _pairs(senders: list[dict[str, Any]], key: str) -> Iterator[dict[str, str]]:
    for each in senders:
        yield from each.get(key, ())


def _reserve(
    definition: Mapping[str, Any], own: dict[str, Any], senders: list[dict[str, Any]], sidecar: Sidecar
) -> None:
    """Reserve memory; and CPU where all senders do.

    To the kernel a container without `cpu` has a weight of 2: beside one that has some, it would starve.
    """
    own["memoryReservation"] = _MEMORY_MIB
    if all(each.get("cpu") for each in senders):
        own["cpu"] = sidecar.cpu_units
    for key, unit in (("cpu", "CPU units"), ("memory", "MiB")):
        of_task = _whole(definition.get(key))
        reserved = [_reserved(each, key) for each in (*definition["containerDefinitions"], own)]
        if of_task and sum(reserved) > of_task:
            raise TaskDefinitionError(
                f"the task has {of_task} {unit} ({key}), its containers reserve {sum(reserved[:-1])} and the "
                f"sidecar needs {reserved[-1]}: raise the task's {key}, or lower that of a container"
            )


def _reserved(container: Mapping[str, Any], key: str) -> int:
    if key == "cpu":
        return _whole(container.get("cpu"))
    return _whole(container.get("memoryReservation")) or _whole(container.get("memory"))


_UNITS: Final = {"vcpu": 1024, "gb": 1024}


def _whole(value: object) -> int:
    """Read a number of CPU units or MiB, also as ``1 vCPU`` and ``2 GB``; 0 where there is none."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value if value is not None else ""))
    return round(float(match[1]) * _UNITS.get(match[2].lower(), 1)) if match else 0
