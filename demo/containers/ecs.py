"""ECS's RunTask, DescribeTasks and StopTask, with local processes for containers.

What AWS says about each call is at https://docs.aws.amazon.com/AmazonECS/latest/APIReference/.
A container here is a process in its own copy of its image's folder: it has the environment
and the command that ECS would give it, and its exit code is its own.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from demo.aws import ACCOUNT, REGION
from demo.containers.wire import AwsError
from demo.processes import StartError, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from demo.containers.wire import Operation
    from demo.processes import Process, Processes

_TARGET = "AmazonEC2ContainerServiceV20141113"
_ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
_OVERRIDES_LIMIT = 8192
"""Characters, JSON formatting included: API reference, RunTask, ``overrides``."""
_STOP_TIMEOUT = 30
"""Seconds between SIGTERM and SIGKILL without a ``stopTimeout``: API reference, ContainerDefinition."""
_POLL_SECONDS = 0.05
_MEANINGS_NOT_CARRIED_OUT = ("dependsOn", "environmentFiles", "healthCheck", "secrets", "mountPoints")


@dataclass
class _Container:
    definition: dict[str, Any]
    arn: str
    status: str = "PENDING"
    process: Process | None = None
    exit_code: int | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        return str(self.definition["name"])

    @property
    def service(self) -> str:
        """What its telemetry calls itself: ``OTEL_SERVICE_NAME``, else the container's name."""
        variables = {each["name"]: each["value"] for each in self.definition.get("environment", [])}
        return str(variables.get("OTEL_SERVICE_NAME", self.name))

    @property
    def essential(self) -> bool:
        return bool(self.definition.get("essential", True))


@dataclass
class _Task:
    request: dict[str, Any]
    definition: dict[str, Any]
    cluster: str
    id: str = field(default_factory=lambda: uuid4().hex)
    containers: list[_Container] = field(default_factory=list)
    status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    stop_code: str | None = None
    stopped_reason: str | None = None
    times: dict[str, float] = field(default_factory=lambda: {"createdAt": time.time()})

    @property
    def arn(self) -> str:
        return f"{_ARN}:task/{self.cluster}/{self.id}"


class Ecs:
    """One account's ECS, with one cluster.

    Args:
        processes: the owner of the containers' processes.
        folder: takes a folder for each container's files.
        images: image name without its tag → the folder that the image's WORKDIR is a copy of.
        platform: variables that every container gets because of where it runs (endpoints,
            credentials); a task definition's own win over them.
        cluster: the cluster's name.
    """

    def __init__(
        self,
        processes: Processes,
        folder: Path,
        images: Mapping[str, Path],
        platform: Mapping[str, str],
        cluster: str,
    ) -> None:
        self._processes = processes
        self._folder = folder
        self._images = images
        self._platform = platform
        self._cluster = cluster
        self._definitions: dict[str, list[dict[str, Any]]] = {}
        self._tasks: dict[str, _Task] = {}
        self._lock = threading.RLock()

    def operations(self) -> dict[str, Operation]:
        """Return what the server routes to, by ``X-Amz-Target``."""
        return {
            f"{_TARGET}.RegisterTaskDefinition": self.register_task_definition,
            f"{_TARGET}.RunTask": self.run_task,
            f"{_TARGET}.DescribeTasks": self.describe_tasks,
            f"{_TARGET}.StopTask": self.stop_task,
        }

    def register_task_definition(self, request: dict[str, Any]) -> dict[str, Any]:
        """Keep a new revision of a task definition.

        Raises:
            AwsError: it has no containers, or asks for what this stand-in would not carry out.
        """
        containers = request.get("containerDefinitions", [])
        if not containers:
            raise AwsError("ClientException", "Container list cannot be empty.")
        ignored = sorted({key for each in containers for key in _MEANINGS_NOT_CARRIED_OUT if each.get(key)})
        if ignored:
            raise AwsError("ClientException", f"the local stand-in does not carry out {', '.join(ignored)}")
        family = request["family"]
        with self._lock:
            revisions = self._definitions.setdefault(family, [])
            revision = len(revisions) + 1
            definition = {
                **request,
                "revision": revision,
                "status": "ACTIVE",
                "taskDefinitionArn": f"{_ARN}:task-definition/{family}:{revision}",
            }
            revisions.append(definition)
        return {"taskDefinition": definition}

    def run_task(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start tasks and return them as they stand at once, before their containers run.

        Raises:
            AwsError: as ECS answers what is wrong with the request.
        """
        cluster = self._find_cluster(request)
        definition = self._find_definition(request["taskDefinition"])
        _check_run(request, definition)
        tasks = [_Task(request, definition, cluster) for _ in range(request.get("count", 1))]
        for task in tasks:
            task.containers = [
                _Container(_overridden(each, request), f"{_ARN}:container/{cluster}/{task.id}/{uuid4()}")
                for each in definition["containerDefinitions"]
            ]
            with self._lock:
                self._tasks[task.arn] = task
        answer = {"tasks": [_describe(task) for task in tasks], "failures": []}
        for task in tasks:
            threading.Thread(target=self._supervise, args=(task,), name=f"ecs-{task.id}", daemon=True).start()
        return answer

    def describe_tasks(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return tasks as they are now; unknown ones are among the failures."""
        self._find_cluster(request)
        found, failures = [], []
        with self._lock:
            for name in request["tasks"]:
                task = self._find_task(name)
                if task is None:
                    failures.append({"arn": name, "reason": "MISSING"})
                else:
                    found.append(_describe(task))
        return {"tasks": found, "failures": failures}

    def stop_task(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask a task to stop: its containers get SIGTERM, and SIGKILL after their ``stopTimeout``.

        Raises:
            AwsError: there is no such task.
        """
        self._find_cluster(request)
        with self._lock:
            task = self._find_task(request["task"])
            if task is None:
                raise AwsError("InvalidParameterException", "The referenced task was not found.")
            if task.desired_status == "RUNNING":
                _end(task, "UserInitiated", request.get("reason") or "Task stopped by user")
            return {"task": _describe(task)}

    def services(self) -> list[str]:
        """Return the service name of each container that was asked for, once for each."""
        with self._lock:
            return [container.service for task in self._tasks.values() for container in task.containers]

    def logs(self) -> list[tuple[str, Path]]:
        """Return service name and output of each container that was started."""
        with self._lock:
            return [
                (container.service, container.process.log)
                for task in self._tasks.values()
                for container in task.containers
                if container.process is not None
            ]

    def _find_cluster(self, request: dict[str, Any]) -> str:
        name = str(request.get("cluster", "default")).rpartition("/")[2]
        if name != self._cluster:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return name

    def _find_definition(self, name: str) -> dict[str, Any]:
        family, _, revision = name.rpartition("/")[2].partition(":")
        with self._lock:
            revisions = self._definitions.get(family, [])
        if not revision and revisions:
            return revisions[-1]
        if revision.isdigit() and 0 < int(revision) <= len(revisions):
            return revisions[int(revision) - 1]
        raise AwsError("ClientException", "TaskDefinition not found.")

    def _find_task(self, name: str) -> _Task | None:
        return self._tasks.get(name) or self._tasks.get(f"{_ARN}:task/{self._cluster}/{name}")

    def _supervise(self, task: _Task) -> None:
        """Take one task from start to end; the only place that starts and stops its containers."""
        try:
            self._mark(task, "PENDING", "pullStartedAt")
            for container in task.containers:
                self._start(task, container)
            self._mark(task, "RUNNING", "startedAt")
        except (StartError, OSError) as error:
            with self._lock:
                _end(task, "TaskFailedToStart", str(error))
        while task.desired_status == "RUNNING":
            self._note_exits(task)
            if any(container.essential and container.status == "STOPPED" for container in task.containers):
                with self._lock:
                    _end(task, "EssentialContainerExited", "Essential container in task exited")
            time.sleep(_POLL_SECONDS)
        self._mark(task, "DEPROVISIONING", "executionStoppedAt")
        stopping = [
            threading.Thread(target=container.process.stop)
            for container in task.containers
            if container.process is not None
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self._note_exits(task)
        self._mark(task, "STOPPED", "stoppedAt")

    def _start(self, task: _Task, container: _Container) -> None:
        definition = container.definition
        image = definition["image"].rpartition(":")[0] or definition["image"]
        if image not in self._images:
            container.reason = f"CannotPullContainerError: {definition['image']}: not found"
            raise StartError(container.reason)
        files = self._folder / task.id / container.name
        shutil.copytree(self._images[image], files, ignore=shutil.ignore_patterns("__pycache__"))
        variables = {each["name"]: each["value"] for each in definition.get("environment", [])}
        try:
            container.process = self._processes.start(
                f"{task.definition['family']}-{task.id[:8]}-{container.name}",
                [*definition.get("entryPoint", []), *definition.get("command", [])],
                env=environment({**self._platform, **variables}),
                cwd=files,
                grace=definition.get("stopTimeout", _STOP_TIMEOUT),
            )
        except StartError as error:
            container.reason = f"CannotStartContainerError: {error}"
            raise StartError(container.reason) from error
        container.status = "RUNNING"

    def _note_exits(self, task: _Task) -> None:
        for container in task.containers:
            code = None if container.process is None else container.process.exit_code()
            if code is not None and container.exit_code is None:
                with self._lock:
                    # A container that a signal ended has 128 + its number, as in a shell.
                    container.exit_code = 128 - code if code < 0 else code
                    container.status = "STOPPED"

    def _mark(self, task: _Task, status: str, time_name: str) -> None:
        with self._lock:
            task.status = status
            task.times[time_name] = time.time()


def _end(task: _Task, code: str, reason: str) -> None:
    task.desired_status = "STOPPED"
    task.stop_code = code
    task.stopped_reason = reason
    task.times["stoppingAt"] = time.time()


def _check_run(request: dict[str, Any], definition: dict[str, Any]) -> None:
    if not 1 <= request.get("count", 1) <= 10:
        raise AwsError("InvalidParameterException", "Count must be between 1 and 10.")
    if definition.get("networkMode") == "awsvpc" and "networkConfiguration" not in request:
        raise AwsError(
            "InvalidParameterException",
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        )
    overrides = request.get("overrides", {}).get("containerOverrides", [])
    if len(json.dumps(overrides, separators=(",", ":"))) > _OVERRIDES_LIMIT:
        raise AwsError(
            "InvalidParameterException", f"Container Overrides length must be at most {_OVERRIDES_LIMIT}"
        )
    names = {each["name"] for each in definition["containerDefinitions"]}
    for each in overrides:
        if each.get("name") not in names:
            raise AwsError(
                "InvalidParameterException",
                f"Override for container named {each.get('name')} is not a container in the TaskDefinition.",
            )


def _overridden(definition: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return a container's definition with its override: its command replaced, its variables merged."""
    result = dict(definition)
    for override in request.get("overrides", {}).get("containerOverrides", []):
        if override["name"] != definition["name"]:
            continue
        if "command" in override:
            result["command"] = override["command"]
        variables = {each["name"]: each["value"] for each in result.get("environment", [])}
        variables.update({each["name"]: each["value"] for each in override.get("environment", [])})
        result["environment"] = [{"name": name, "value": value} for name, value in variables.items()]
    return result


def _describe(task: _Task) -> dict[str, Any]:
    described = {
        "taskArn": task.arn,
        "clusterArn": f"{_ARN}:cluster/{task.cluster}",
        "taskDefinitionArn": task.definition["taskDefinitionArn"],
        "group": task.request.get("group", f"family:{task.definition['family']}"),
        "launchType": task.request.get("launchType", "FARGATE"),
        "lastStatus": task.status,
        "desiredStatus": task.desired_status,
        "overrides": task.request.get("overrides", {}),
        "startedBy": task.request.get("startedBy"),
        "tags": task.request.get("tags", []),
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
        "containers": [_describe_container(task, container) for container in task.containers],
        **task.times,
    }
    return {key: value for key, value in described.items() if value is not None}


def _describe_container(task: _Task, container: _Container) -> dict[str, Any]:
    described = {
        "containerArn": container.arn,
        "taskArn": task.arn,
        "name": container.name,
        "image": container.definition["image"],
        "lastStatus": "STOPPED" if task.status == "STOPPED" else container.status,
        "exitCode": container.exit_code,
        "reason": container.reason,
    }
    return {key: value for key, value in described.items() if value is not None}
