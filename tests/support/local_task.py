"""Runs the containers of a task definition as processes, in the order that ECS would.

The environment, the health check and what waits for it are the definition's own. What a machine without a
container engine cannot give is stood in for: an image is a program that the test names, a volume is a folder
that the sidecar is told of, and the name that a link puts into ``/etc/hosts`` is written as loopback.
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.processes import environment
from otel_prefect import semconv
from otel_prefect.deploy.task_definition import SIDECAR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# The sidecar's image, without its name: `python -m sidecar` in the folder of the project.
_PYTHON = {"python": sys.executable}


@dataclass
class LocalTask:
    """A task.

    Attributes:
        definition: as ECS describes it.
        programs: what each container's image runs, by the container's name.
        platform: variables that are there because of where it runs: endpoints, credentials.
        secrets: values, by the ARN that stands in the definition.
        folder: of logs and volumes.
        cwd: folder that programs are run in, by container.
    """

    definition: Mapping[str, Any]
    programs: Mapping[str, Sequence[str]]
    platform: Mapping[str, str]
    folder: Path
    cwd: Mapping[str, Path]
    secrets: Mapping[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self, seconds: float = 120) -> dict[str, int]:
        """Run until an essential container ends, then stop the others; return the exit codes by name."""
        deadline = time.monotonic() + seconds
        try:
            waiting = {each["name"]: each for each in self.definition["containerDefinitions"]}
            while waiting:
                assert time.monotonic() < deadline, f"still waiting: {list(waiting)}"
                for name in [name for name, each in waiting.items() if self._may_start(each)]:
                    self._start(waiting.pop(name))
                time.sleep(0.05)
            while not any(self._ended_for_all(each) for each in self.definition["containerDefinitions"]):
                assert time.monotonic() < deadline, "no essential container has ended"
                time.sleep(0.05)
            return self._stop()
        finally:
            for process in self._running.values():
                process.kill()

    def output(self, container: str) -> str:
        """Return what a container has written."""
        return (self.folder / f"{container}.log").read_text()

    def _may_start(self, container: Mapping[str, Any]) -> bool:
        return all(self._holds(each) for each in container.get("dependsOn", ()))

    def _holds(self, dependency: Mapping[str, str]) -> bool:
        name, condition = dependency["containerName"], dependency["condition"]
        process = self._running.get(name)
        if condition != "HEALTHY":
            raise AssertionError(f"the local task does not know the condition {condition}")
        assert process is None or process.poll() is None, self.output(name)
        (container,) = [each for each in self.definition["containerDefinitions"] if each["name"] == name]
        kind, *command = container["healthCheck"]["command"]
        assert kind == "CMD", kind
        if process is None:
            return False
        return (
            subprocess.run(
                [_PYTHON.get(command[0], command[0]), *command[1:]],
                env=self._environment(container),
                cwd=self.cwd[name],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=container["healthCheck"]["timeout"],
                check=False,
            ).returncode
            == 0
        )

    def _start(self, container: Mapping[str, Any]) -> None:
        name = container["name"]
        self.order.append(name)
        command = container.get("command") or self.programs[name]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [_PYTHON.get(command[0], command[0]), *command[1:]],
                env=self._environment(container),
                cwd=self.cwd[name],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        links = {link.partition(":")[0] for link in container.get("links", ())}
        told = {pair["name"]: pair["value"] for pair in container.get("environment", ())}
        for link in links:
            told = {name: value.replace(link, "127.0.0.1") for name, value in told.items()}
        told |= {pair["name"]: self.secrets[pair["valueFrom"]] for pair in container.get("secrets", ())}
        if any(each["sourceVolume"] == SIDECAR for each in container.get("mountPoints", ())):
            told[semconv.ENV_DATA_DIR.name] = str(self.folder / "volume")
        return environment({**self.platform, **told})

    def _ended_for_all(self, container: Mapping[str, Any]) -> bool:
        return container.get("essential", True) and self._running[container["name"]].poll() is not None

    def _stop(self) -> dict[str, int]:
        timeouts = {
            each["name"]: each.get("stopTimeout", 30) for each in self.definition["containerDefinitions"]
        }
        # What depends on a container is stopped before it.
        for name in reversed(self.order):
            process = self._running[name]
            if process.poll() is None:
                process.terminate()
            process.wait(timeouts[name])
        return {name: process.returncode for name, process in self._running.items()}
