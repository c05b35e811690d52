"""Prefect's API, asked over HTTP without Prefect: quick to start, and where Prefect is not installed."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from otel_prefect import semconv
from otel_prefect.http_request import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Api:
    """Where it is, and who asks.

    Attributes:
        base: its address, without credentials and without a slash at the end.
        headers: of each request.
        authorized: whether there are credentials in them.
        certificates: a file with those to trust; None: the system's.
    """

    base: str
    headers: Mapping[str, str]
    authorized: bool
    certificates: str | None

    def get(self, path: str, seconds: float) -> Answer:
        """Ask for a path, such as ``/flow_runs/…``; see :func:`otel_prefect.http_request.ask`."""
        return ask(self.base + path, headers=self.headers, seconds=seconds, certificates=self.certificates)

    def post(self, path: str, body: Mapping[str, Any], seconds: float) -> Answer:
        """Send a JSON object to a path, such as ``/flow_runs/filter``; see ``get``."""
        return ask(
            self.base + path,
            method="POST",
            body=json.dumps(body).encode(),
            headers={**self.headers, "content-type": "application/json"},
            seconds=seconds,
            certificates=self.certificates,
        )


def of_environment(environ: Mapping[str, str]) -> Api:
    """Return the API that the environment names, asked as the sidecar does; see ``sidecar.settings``.

    Args:
        environ: with ``PREFECT_API_URL``.

    Raises:
        ValueError: a variable cannot be used; the text names it.
    """
    parts = urlsplit(environ.get(semconv.ENV_PREFECT_API_URL.name, ""))
    login, at, host = parts.netloc.rpartition("@")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{semconv.ENV_PREFECT_API_URL.name}: an http:// or https:// URL is needed")
    headers = {"accept": "application/json", **_custom_headers(environ)}
    key = environ.get(semconv.ENV_PREFECT_API_KEY.name)
    auth = environ.get(semconv.ENV_PREFECT_API_AUTH_STRING.name) or (unquote(login) if at else "")
    if key:
        headers["authorization"] = f"Bearer {key}"
    elif auth:
        headers["authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
    base = parts._replace(netloc=host).geturl().rstrip("/")
    certificates = environ.get(semconv.ENV_PREFECT_API_SSL_CERT_FILE.name)
    return Api(base, headers, bool(key or auth), certificates)


def _custom_headers(environ: Mapping[str, str]) -> dict[str, str]:
    name = semconv.ENV_PREFECT_CLIENT_CUSTOM_HEADERS.name
    try:
        headers = json.loads(environ.get(name) or "{}")
    except ValueError:
        headers = None
    if not isinstance(headers, dict):
        raise ValueError(f"{name}: a JSON object of strings is needed")
    return {str(key): str(value) for key, value in headers.items()}
