"""A task metadata endpoint (version 4) that says what a test puts in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDECAR_ID = "sidecar-1"


@dataclass
class EcsMetadata:
    """The endpoint; ``containers`` may be changed while it is asked.

    Attributes:
        url: for ECS_CONTAINER_METADATA_URI_V4.
        containers: the elements of ``Containers``, without the sidecar's own.
        stats: what `/task/stats` says, by ``DockerId``, see :func:`stats_of`.
        task: more of what `/task` says.
    """

    url: str = ""
    containers: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)

    def answer(self, path: str) -> dict[str, Any]:
        """Return what the real endpoint would, in the fields that are read."""
        own = {"DockerId": SIDECAR_ID, "Name": "otel-prefect", "KnownStatus": "RUNNING"}
        if path.endswith("/task/stats"):
            return self.stats
        if not path.endswith("/task"):
            return own
        return {
            "Cluster": "pipelines",
            "TaskARN": "arn:aws:ecs:eu-west-1:111122223333:task/pipelines/158d1c8083dd49d6b527399fd6414f5c",
            "Family": "daily-sales",
            "Revision": "26",
            "AvailabilityZone": "eu-west-1a",
            "LaunchType": "FARGATE",
            "Containers": [own, *self.containers],
            **self.task,
        }


def stats_of(docker_id: str, cpu_nanoseconds: int, memory: int, network: int, disk: int) -> dict[str, Any]:
    """Return a container's stats as the ECS agent takes them over from Docker, two seconds apart.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-examples.html

    Args:
        docker_id: of the container.
        cpu_nanoseconds: CPU time that it took in these two seconds.
        memory: bytes, of which 1 MiB is cache.
        network: bytes received on each of two interfaces since its start; it has sent twice as many.
        disk: bytes read since its start; it has written twice as many.
    """
    return {
        "name": docker_id,
        "id": docker_id,
        "read": "2026-03-01T03:00:02Z",
        "preread": "2026-03-01T03:00:00Z",
        "cpu_stats": {"cpu_usage": {"total_usage": 5_000_000_000 + cpu_nanoseconds, "percpu_usage": [1, 1]}},
        "precpu_stats": {"cpu_usage": {"total_usage": 5_000_000_000, "percpu_usage": [1, 1]}},
        "memory_stats": {"usage": memory, "stats": {"cache": 1024 * 1024}},
        "networks": {
            name: {"rx_bytes": network, "tx_bytes": 2 * network, "rx_packets": 1, "tx_packets": 1}
            for name in ("eth0", "eth1")
        },
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"major": 202, "minor": 1, "op": "Read", "value": disk},
                {"major": 202, "minor": 1, "op": "Write", "value": 2 * disk},
                {"major": 202, "minor": 1, "op": "Total", "value": 3 * disk},
            ]
        },
    }


def serve() -> Iterator[EcsMetadata]:
    """Run the endpoint on loopback while the generator is suspended (for a pytest fixture)."""
    metadata = EcsMetadata()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            body = json.dumps(metadata.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as port:
        metadata.url = f"http://127.0.0.1:{port}/v4/{SIDECAR_ID}"
        yield metadata
