"""AWS: moto's server, which keeps X-Ray segments, log events and S3 objects in memory."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from demo.processes import LOOPBACK, answers, environment, free_port

if TYPE_CHECKING:
    from demo.processes import Process, Processes

REGION = "eu-west-1"
ACCOUNT = "123456789012"
"""The account that moto plays; documentation uses this number too."""


@dataclass(frozen=True)
class Aws:
    """A running AWS stand-in.

    Attributes:
        url: what goes into ``AWS_ENDPOINT_URL``.
        process: the server.
    """

    url: str
    process: Process

    def variables(self) -> dict[str, str]:
        """Return the environment variables by which any AWS SDK finds the stand-in and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of ``service`` that speaks to the stand-in."""
        return client(service, self.url)

    def stop(self) -> None:
        """Stop the server; what it kept is gone."""
        self.process.stop()


def client(service: str, url: str) -> Any:
    """Return a boto3 client that speaks to a stand-in and reads none of the user's AWS settings."""
    session = boto3.session.Session(
        aws_access_key_id="stand-in",
        aws_secret_access_key="stand-in",  # noqa: S106 - stand-ins take any key
        region_name=REGION,
    )
    return session.client(service, endpoint_url=url)


def start(processes: Processes) -> Aws:
    """Start moto's server on a free port.

    Args:
        processes: the owner of the process.

    Raises:
        StartError: it did not come up.
    """
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"

    command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
    process = processes.start(
        "moto", command, env=environment(), ready=answers(f"{url}/moto-api/data.json"), timeout=60
    )
    return Aws(url, process)
