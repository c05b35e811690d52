"""What the sidecar is told by its environment, checked once at the start."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_prefect.semconv import Variable

MANAGED = semconv.ENV_COLLECTOR.default
_MIB = 1024 * 1024


class SettingError(ValueError):
    """Raised when a variable cannot be used; the text names it, shows it and says what it takes."""


@dataclass(frozen=True)
class Address:
    """An address to listen on or to speak to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """The sidecar's settings.

    Attributes:
        grpc: where OTLP/gRPC is taken.
        http: where OTLP/HTTP is taken.
        health: where health and self-metrics are served.
        statsd: where StatsD is taken (UDP), for the Collector that the sidecar manages.
        bearer_token: what clients must show; None takes data from everyone who reaches the address.
        collector: address of a Collector that runs elsewhere; None has the sidecar manage its own.
        exit_with_collector: end after a Collector that keeps dying, instead of starting it for ever.
        data_dir: folder of the Collector's queues.
        data_shared: whether other tasks have the same folder.
        drain_seconds: how long requests are still taken after SIGTERM, at most.
        max_request_bytes: largest request, after decompression.
        max_in_flight_bytes: bytes of requests in work at once.
        attributes: added to every Resource that does not have them.
        overwrite: those that are added in place of the sender's own too.
        metric_interval_seconds: how often self-metrics leave.
        retry_quota_seconds: without a delivery after which the Collector is started anew.
        ecs_metadata_url: task metadata endpoint version 4; None outside ECS.
        prefect_api: where and how Prefect's API is asked; None where no API is set.
    """

    grpc: Address
    http: Address
    health: Address
    statsd: Address
    bearer_token: str | None = field(repr=False)
    collector: Address | None
    exit_with_collector: bool
    data_dir: Path
    data_shared: bool
    drain_seconds: float
    max_request_bytes: int
    max_in_flight_bytes: int
    attributes: Mapping[str, str]
    overwrite: frozenset[str]
    metric_interval_seconds: float
    retry_quota_seconds: float
    ecs_metadata_url: str | None
    prefect_api: PrefectApiSettings | None


@dataclass(frozen=True)
class PrefectApiSettings:
    """Where Prefect's API is, and what opens it (kept out of ``repr``).

    Attributes:
        url: ends in ``/api``, without a slash.
        authorization: value of that header; None where none is needed.
        headers: sent as well, such as those of a proxy that guards the server.
        certificates: file of the authorities that are trusted instead of the system's.
    """

    url: str
    authorization: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificates: Path | None = None


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables.

    Args:
        environ: the variables; the process's own where it is None. An empty value counts as unset.

    Raises:
        SettingError: a variable has a value that cannot be used.
    """
    source = {key: value for key, value in (os.environ if environ is None else environ).items() if value}
    collector = _text(source, semconv.ENV_COLLECTOR)
    return Settings(
        grpc=address(source, semconv.ENV_GRPC_ENDPOINT),
        http=address(source, semconv.ENV_HTTP_ENDPOINT),
        health=address(source, semconv.ENV_HEALTH_ENDPOINT),
        statsd=address(source, semconv.ENV_STATSD_ENDPOINT),
        collector=None if collector == MANAGED else address(source, semconv.ENV_COLLECTOR),
        bearer_token=_text(source, semconv.ENV_BEARER_TOKEN) or None,
        exit_with_collector=_choice(source, semconv.ENV_ON_COLLECTOR_FAILURE, ("restart", "exit")) == "exit",
        data_dir=Path(_text(source, semconv.ENV_DATA_DIR)),
        data_shared=_choice(source, semconv.ENV_DATA_SHARED, ("true", "false")) == "true",
        drain_seconds=_number(source, semconv.ENV_DRAIN_SECONDS, minimum=0),
        max_request_bytes=int(_number(source, semconv.ENV_MAX_REQUEST_MIB, minimum=1) * _MIB),
        max_in_flight_bytes=int(_number(source, semconv.ENV_MAX_IN_FLIGHT_MIB, minimum=1) * _MIB),
        attributes={
            **_attributes(source, semconv.ENV_OTEL_RESOURCE_ATTRIBUTES),
            **_attributes(source, semconv.ENV_ATTRIBUTES),
        },
        overwrite=frozenset(filter(None, map(str.strip, _text(source, semconv.ENV_OVERWRITE).split(",")))),
        metric_interval_seconds=_number(source, semconv.ENV_METRIC_EXPORT_INTERVAL, minimum=100) / 1000,
        retry_quota_seconds=_number(source, semconv.ENV_RETRY_QUOTA_SECONDS, minimum=1),
        ecs_metadata_url=source.get(semconv.ENV_ECS_METADATA.name),
        prefect_api=_prefect_api(source),
    )


def _text(source: Mapping[str, str], variable: Variable) -> str:
    return source.get(variable.name, variable.default).strip()


def _choice(source: Mapping[str, str], variable: Variable, choices: tuple[str, ...]) -> str:
    text = _text(source, variable)
    if text not in choices:
        raise SettingError(f"{variable.name}={text!r}: one of {', '.join(choices)} is needed")
    return text


def _number(source: Mapping[str, str], variable: Variable, minimum: float) -> float:
    text = _text(source, variable)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not minimum <= value < float("inf"):
        raise SettingError(f"{variable.name}={text!r}: a number of at least {minimum:g} is needed")
    return value


def address(source: Mapping[str, str], variable: Variable) -> Address:
    """Return the address in a variable.

    Raises:
        SettingError: it has none.
    """
    text = _text(source, variable)
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or "/" in host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingError(
            f"{variable.name}={text!r}: host:port is needed, for example {semconv.ENV_GRPC_ENDPOINT.default}"
        )
    return Address(host, int(port))


def _attributes(source: Mapping[str, str], variable: Variable) -> dict[str, str]:
    """Read ``key=value,key=value`` as the specification has it for OTEL_RESOURCE_ATTRIBUTES.

    https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
    """
    pairs = {}
    for part in filter(None, (part.strip() for part in _text(source, variable).split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise SettingError(f"{variable.name}: {part!r} is not key=value")
        pairs[unquote(key.strip())] = unquote(value.strip())
    return pairs


def _prefect_api(source: Mapping[str, str]) -> PrefectApiSettings | None:
    url = _text(source, semconv.ENV_PREFECT_API_URL)
    if not url:
        return None
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if parts.scheme not in ("http", "https") or not host:
        shown = url.rpartition("@")[2]  # before that stands a password
        raise SettingError(
            f"{semconv.ENV_PREFECT_API_URL.name}={shown!r}: an http:// or https:// URL is needed"
        )
    authorization = _basic(unquote(login)) if at else None
    if key := _text(source, semconv.ENV_PREFECT_API_KEY):
        authorization = f"Bearer {key}"
    elif auth := _text(source, semconv.ENV_PREFECT_API_AUTH_STRING):
        authorization = _basic(auth)
    file = source.get(semconv.ENV_PREFECT_API_SSL_CERT_FILE.name)
    if file and not Path(file).is_file():
        raise SettingError(f"{semconv.ENV_PREFECT_API_SSL_CERT_FILE.name}={file!r}: there is no such file")
    return PrefectApiSettings(
        url=parts._replace(netloc=host).geturl().rstrip("/"),
        authorization=authorization,
        headers=_headers(source),
        certificates=Path(file) if file else None,
    )


def _basic(login: str) -> str:
    return "Basic " + b64encode(login.encode()).decode()


def _headers(source: Mapping[str, str]) -> dict[str, str]:
    """Read Prefect's own setting for headers, a JSON object of strings; its value is never shown."""
    text = _text(source, semconv.ENV_PREFECT_CLIENT_CUSTOM_HEADERS)
    try:
        headers = json.loads(text or "{}")
    except ValueError:
        headers = None
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise SettingError(
            f"{semconv.ENV_PREFECT_CLIENT_CUSTOM_HEADERS.name}: a JSON object of strings is needed"
        )
    return headers
