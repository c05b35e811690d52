"""Is the sidecar there: its health, and the two doors that data comes in by."""

from __future__ import annotations

import json
import socket
import struct
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from otel_prefect import semconv
from otel_prefect.doctor.findings import Finding, Status, Surroundings
from otel_prefect.http_request import Answer, NoAnswer, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS: Final = 5.0
_LOCAL: Final = ("127.0.0.1", "localhost", "::1")
# HTTP/2 begins with this and a SETTINGS frame, from either side: RFC 9113, sections 3.4 and 6.5.
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS: Final = 4
_FRAME_HEADER_BYTES: Final = 9
_ANY_SIGNAL: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOBUF: Final = "application/x-protobuf"


def check(surroundings: Surroundings) -> Iterator[Finding]:
    """Look for the sidecar."""
    yield _health(surroundings)
    door = _http_door(surroundings)
    surroundings.sidecar_takes = door.status is Status.RIGHT
    if surroundings.sidecar_healthy is None:
        surroundings.sidecar_healthy = surroundings.sidecar_takes
    yield door
    yield _grpc_door(surroundings)


def url(environ: Mapping[str, str], signal: str) -> tuple[str, str]:
    """Return where senders of this environment send a signal over HTTP, and the variable that says so.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp

    Args:
        environ: the variables.
        signal: ``traces`` or ``logs``.
    """
    value, variable = _named(environ, signal)
    if not variable or _by_grpc(environ, signal):
        own = semconv.ENV_HTTP_ENDPOINT
        return f"http://{_own_address(environ, own, value)}/v1/{signal}", own.name
    return (f"{value.rstrip('/')}/v1/{signal}" if variable == _ANY_SIGNAL else value), variable


def grpc_address(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return where senders of this environment find OTLP/gRPC, and the variable that says so."""
    value, variable = _named(environ, "traces")
    if variable and _by_grpc(environ, "traces"):
        return urlsplit(value).netloc or value, variable
    own = semconv.ENV_GRPC_ENDPOINT
    return _own_address(environ, own, value), own.name


def _named(environ: Mapping[str, str], signal: str) -> tuple[str, str]:
    """Return the endpoint that OpenTelemetry's own variables name, and which does; else empty texts."""
    names = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", _ANY_SIGNAL)
    return next(((environ[name], name) for name in names if environ.get(name)), ("", ""))


def _own_address(environ: Mapping[str, str], own: semconv.Variable, named: str) -> str:
    """Return where a door is that no variable of OpenTelemetry's names: on the host of the other door."""
    host = urlsplit(named).hostname
    if host and host not in _LOCAL and not environ.get(own.name):
        return f"{host}:{own.default.rpartition(':')[2]}"
    return _reachable(environ.get(own.name) or own.default)


def _by_grpc(environ: Mapping[str, str], signal: str) -> bool:
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
    return (own or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")).strip() == "grpc"


def headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that senders of this environment show."""
    written = environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    pairs = (pair.partition("=") for pair in written.split(",") if "=" in pair)
    shown = {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
    token = environ.get(semconv.ENV_BEARER_TOKEN.name)
    if token:
        shown.setdefault("authorization", f"Bearer {token}")
    return shown


def _health(surroundings: Surroundings) -> Finding:
    what, variable = "sidecar: health", semconv.ENV_HEALTH_ENDPOINT
    elsewhere = urlsplit(url(surroundings.environ, "traces")[0]).hostname not in _LOCAL
    if elsewhere and not surroundings.environ.get(variable.name):
        return Finding(what, Status.SKIPPED, "the sidecar is not on loopback, and its health port is its own")
    address = _reachable(surroundings.value(variable))
    try:
        answer = ask(f"http://{address}/healthz", seconds=_SECONDS, direct=True)
    except NoAnswer as error:
        surroundings.sidecar_healthy = False
        return Finding(what, Status.WRONG, f"{address}: {error}", _start(surroundings.environ))
    surroundings.sidecar_healthy = answer.status == 200
    if surroundings.sidecar_healthy:
        return Finding(what, Status.RIGHT, f"{address} takes data and can forward it")
    if answer.status == 503:
        return Finding(what, Status.WRONG, f"{address} cannot forward: {_reason(answer)}")
    return Finding(
        what,
        Status.WRONG,
        f"{address} is not the sidecar's health: it answers {answer.status}",
        f"{variable.name}=host:port of the sidecar's health",
    )


def _reason(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["reason"])
    except (ValueError, KeyError, TypeError):
        return answer.text()


def _http_door(surroundings: Surroundings) -> Finding:
    what = "sidecar: OTLP/HTTP"
    target, variable = url(surroundings.environ, "traces")
    shown = target.removesuffix("/v1/traces")
    try:
        # No bytes are a valid ExportTraceServiceRequest: one without spans.
        answer = ask(
            target,
            method="POST",
            body=b"",
            headers={**headers(surroundings.environ), "content-type": PROTOBUF},
            seconds=_SECONDS,
            direct=True,
        )
    except NoAnswer as error:
        mend = _start(surroundings.environ)
        if surroundings.sidecar_healthy:
            mend = f"{variable}: name the address that the sidecar takes OTLP/HTTP at, port 4318 by default"
        return Finding(what, Status.WRONG, f"{shown} ({variable}): {error}", mend)
    kind = answer.headers.get("content-type", "")
    if answer.status == 200 and kind.startswith(PROTOBUF):
        return Finding(what, Status.RIGHT, f"{shown} takes spans")
    if answer.status == 401:
        return Finding(
            what,
            Status.WRONG,
            f"{shown} wants the token that the sidecar has in {semconv.ENV_BEARER_TOKEN.name}",
            "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20THE_TOKEN",
        )
    if answer.status == 503:
        return Finding(what, Status.WRONG, f"{shown} takes nothing now: {answer.text() or 503}")
    return Finding(
        what,
        Status.WRONG,
        f"{shown} ({variable}) is not OTLP/HTTP: it answers {answer.status} {kind}".rstrip(),
        f"{variable}: name the address that the sidecar takes OTLP/HTTP at, port 4318 by default",
    )


def _grpc_door(surroundings: Surroundings) -> Finding:
    what = "sidecar: OTLP/gRPC"
    address, variable = grpc_address(surroundings.environ)
    try:
        speaks = _speaks_http2(address)
    except (OSError, ValueError) as error:
        refused = "nothing listens there" if isinstance(error, ConnectionRefusedError) else str(error)
        return Finding(what, Status.WRONG, f"{address}: {refused}", _start(surroundings.environ))
    if speaks:
        return Finding(what, Status.RIGHT, f"{address} speaks HTTP/2")
    mend = f"{variable}: name the address that the sidecar takes OTLP/gRPC at, port 4317 by default"
    return Finding(what, Status.WRONG, f"{address} is not gRPC", mend)


def _speaks_http2(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as connection:
        connection.sendall(_PREFACE + struct.pack(">I", 0)[1:] + bytes((_SETTINGS, 0)) + bytes(4))
        received = b""
        while len(received) < _FRAME_HEADER_BYTES:
            more = connection.recv(_FRAME_HEADER_BYTES - len(received))
            if not more:
                return False
            received += more
    return received[3] == _SETTINGS


def _reachable(address: str) -> str:
    """Return what a client connects to for an address to listen on."""
    host, _, port = address.rpartition(":")
    if host in ("0.0.0.0", ""):  # noqa: S104 - it is not bound here
        return f"127.0.0.1:{port}"
    return f"[::1]:{port}" if host == "[::]" else address


def _start(environ: Mapping[str, str]) -> str:
    if environ.get(semconv.ENV_ECS_METADATA.name):
        return "otel-prefect ecs add-sidecar FAMILY --image IMAGE --register, then start the task anew"
    return "python -m sidecar"
