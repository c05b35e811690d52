"""ECS and Glue on this machine: what they start are real processes, what they report is true.

boto3 reaches them by ``AWS_ENDPOINT_URL_ECS`` and ``AWS_ENDPOINT_URL_GLUE``, so code that
starts tasks and jobs is the code that it is on AWS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo import aws
from demo.containers.ecs import Ecs
from demo.containers.glue import Glue
from demo.containers.wire import Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from demo.processes import Processes

CLUSTER = "data-platform"


@dataclass(frozen=True)
class Containers:
    """Running stand-ins of ECS and Glue.

    Attributes:
        url: what goes into ``AWS_ENDPOINT_URL_ECS`` and ``AWS_ENDPOINT_URL_GLUE``.
        cluster: the name of the one ECS cluster.
    """

    url: str
    cluster: str
    _server: Server
    _ecs: Ecs
    _glue: Glue

    def variables(self) -> dict[str, str]:
        """Return the environment variables by which any AWS SDK finds the stand-ins."""
        return {"AWS_ENDPOINT_URL_ECS": self.url, "AWS_ENDPOINT_URL_GLUE": self.url}

    def client(self, service: str) -> Any:
        """Return a boto3 client of ``ecs`` or ``glue`` that speaks to the stand-ins."""
        return aws.client(service, self.url)

    def services(self) -> list[str]:
        """Return the service name of each container and job run that was asked for, once for each."""
        return [*self._ecs.services(), *self._glue.services()]

    def logs(self) -> list[tuple[str, Path]]:
        """Return service name and output of each container and job run that was started."""
        return [*self._ecs.logs(), *self._glue.logs()]

    def stop(self) -> None:
        """Stop answering; processes are stopped by their owner."""
        self._server.close()


def start(  # noqa: PLR0913 - what a container gets from its platform, each by its own name
    processes: Processes,
    folder: Path,
    *,
    images: Mapping[str, Path],
    platform: Mapping[str, str],
    s3: Any,
    glue_python: Sequence[str] = ("python",),
) -> Containers:
    """Serve ECS and Glue from this process on a free port.

    Args:
        processes: the owner of all containers and jobs.
        folder: takes the files of containers and jobs.
        images: image name without its tag → the folder that its WORKDIR is a copy of.
        platform: variables that every container and job gets because of where it runs;
            where they lack the stand-ins' own endpoints, these are added.
        s3: the boto3 S3 client by which Glue fetches scripts.
        glue_python: the command by which Glue runs a script.
    """
    variables = dict(platform)
    ecs = Ecs(processes, folder, images, variables, CLUSTER)
    glue = Glue(processes, folder, variables, s3, glue_python)
    server = Server({**ecs.operations(), **glue.operations()})
    containers = Containers(server.url, CLUSTER, server, ecs, glue)
    # Containers start others through the same stand-ins, whose port is known only now.
    for name, value in containers.variables().items():
        variables.setdefault(name, value)
    return containers
