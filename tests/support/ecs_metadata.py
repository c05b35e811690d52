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
    """

    url: str = ""
    containers: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, path: str) -> dict[str, Any]:
        """Return what the real endpoint would, in the fields that are read."""
        own = {"DockerId": SIDECAR_ID, "Name": "otel-prefect", "KnownStatus": "RUNNING"}
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
