"""moto's server in this process, with every request that it received."""

from __future__ import annotations

import io
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from demo.aws import REGION, client

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Moto:
    """A running server.

    Attributes:
        url: what goes into ``AWS_ENDPOINT_URL``.
        requests: operation or path, headers (lower-case) and body of each request, in order.
    """

    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self, operation: str) -> list[dict[str, Any]]:
        """Return what was sent with an operation: JSON, or the fields of a form."""
        found = [body for name, _, body in self.requests if operation in name]
        return [json.loads(body) if body[:1] == b"{" else dict(parse_qsl(body.decode())) for body in found]

    def client(self, service: str) -> Any:
        """Return a boto3 client of this process, which is not the library's."""
        return client(service, self.url)

    def variables(self) -> dict[str, str]:
        """Return the environment in which boto3 finds the server and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_MAX_ATTEMPTS": "1",
        }


@contextmanager
def moto() -> Iterator[Moto]:
    """Run a server on a free loopback port; functions and jobs succeed without being run (no Docker)."""
    kept = Moto()
    default_user_config["lambda"] = {"use_docker": False}
    default_user_config["batch"] = {"use_docker": False}
    app = DomainDispatcherApplication(create_backend_app)

    def recording(environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        form = dict(parse_qsl(body.decode())) if body.startswith(b"Action=") else {}
        operation = form.get("Action") or headers.get("x-amz-target") or environ["PATH_INFO"]
        kept.requests.append((operation, headers, body))
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, recording, threaded=True, request_handler=MotoRequestHandler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
