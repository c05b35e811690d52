"""Where the OpenTelemetry Collector is, and what it is started with.

Pure functions of an environment: the sidecar and ``otel-prefect collector`` start
the Collector with the same arguments because both ask here.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import platform
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

BINARY_NAME = "otelcol-prefect"

MANIFESTS = {"main": "builder.yaml", "opensearch": "opensearch/builder.yaml"}
"""The Collectors that can be built: the one, and a second one that has the ``opensearch`` exporter."""

_PACKAGE = Path(__file__).resolve().parent
_SIGNALS = {
    "traces": semconv.ENV_TRACES,
    "logs": semconv.ENV_LOGS,
    "metrics": semconv.ENV_METRICS,
}
_BASE_EXTENSIONS = ("file_storage/queue",)
# A layer whose endpoint wants signed requests defines a sigv4auth extension of its own. The Collector
# replaces lists where it merges, so the list of all is put together here.
_LAYER_EXTENSIONS: dict[str, str] = {}


class CollectorNotFound(Exception):  # noqa: N818 - a state the caller asks about, as KeyError is
    """Raised when there is no Collector to start: not named, not built."""


class UnknownLayer(ValueError):  # noqa: N818 - says what is wrong with the value, as ValueError's kind do
    """Raised when a variable names a layer that has no file."""


def checkout() -> Path | None:
    """Return the root of the checkout that this module runs from; None where it is installed."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "collector-config").is_dir() else None


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder with ``base.yaml`` and the layers.

    ``OTEL_PREFECT_COLLECTOR_CONFIG_DIR``, else the checkout's, else the one in the installed package.
    """
    named = environ.get(semconv.ENV_COLLECTOR_CONFIG_DIR.name)
    if named:
        return Path(named)
    root = checkout()
    return (root or _PACKAGE) / "collector-config"


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that builds are kept in: ``.cache`` of the checkout, else the user's (XDG)."""
    root = checkout()
    if root is not None:
        return root / ".cache"
    xdg = environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "otel-prefect"


def layers(signal: str, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names of the layers that a signal goes to, each once, in the order written.

    Args:
        signal: ``traces``, ``logs`` or ``metrics``.
        environ: read for ``OTEL_PREFECT_TRACES`` and its like; unset and empty mean the default.

    Raises:
        UnknownLayer: there is no such layer for that signal.
    """
    variable = _SIGNALS[signal]
    written = environ.get(variable.name, "").strip() or variable.default
    names = tuple(dict.fromkeys(name.strip() for name in written.split(",") if name.strip()))
    known = known_layers(signal, environ)
    for name in names:
        if name not in known:
            raise UnknownLayer(
                f"{variable.name}: there is no layer {name!r} for {signal}; known are {', '.join(known)}"
            )
    return names


def known_layers(signal: str, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names of all layers that there are for a signal, sorted."""
    return tuple(sorted(path.stem for path in (config_dir(environ) / signal).glob("*.yaml")))


def config_files(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the files that the Collector merges, in order: base, one a layer, the user's own.

    Raises:
        UnknownLayer: a variable names a layer that does not exist.
        FileNotFoundError: ``OTEL_PREFECT_COLLECTOR_CONFIG`` names a file that does not exist, or
            ``OTEL_PREFECT_COLLECTOR_CONFIG_DIR`` a folder without ``base.yaml``.
    """
    folder = config_dir(environ)
    base = folder / "base.yaml"
    if not base.is_file():
        raise FileNotFoundError(f"{semconv.ENV_COLLECTOR_CONFIG_DIR.name}: there is no {base}")
    return [
        base,
        *(folder / signal / f"{name}.yaml" for signal in _SIGNALS for name in layers(signal, environ)),
        *_user_files(environ),
    ]


def arguments(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the Collector's command-line arguments for an environment.

    They are the same for ``otelcol-prefect ARGUMENTS`` and ``otelcol-prefect validate ARGUMENTS``.

    Raises:
        UnknownLayer: as :func:`config_files`.
        FileNotFoundError: as :func:`config_files`.
    """
    own = _user_files(environ)
    shipped = config_files(environ)[: -len(own) or None]
    used = [f"{signal}/{name}" for signal in _SIGNALS for name in layers(signal, environ)]
    extensions = [
        *_BASE_EXTENSIONS,
        *(_LAYER_EXTENSIONS[layer] for layer in used if layer in _LAYER_EXTENSIONS),
    ]
    sources = [*map(str, shipped), f"yaml:service::extensions: [{', '.join(extensions)}]", *map(str, own)]
    return [argument for source in sources for argument in ("--config", source)]


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment to start the Collector with.

    The Collector's ``${env:NAME:-default}`` takes the default where NAME is unset, but not where it is
    empty, as it is when a task definition's parameter was left blank: such a variable of ours is taken
    out. What cannot be a constant in YAML (the log stream, TLS to a loopback address) is filled in.
    """
    ours = {variable.name for variable in semconv.variables() if "collector" in variable.read_by}
    result = {name: value for name, value in environ.items() if value or name not in ours}
    result.setdefault(semconv.ENV_LOG_STREAM.name, socket.gethostname())
    if _is_loopback(result.get(semconv.ENV_OTLP_ENDPOINT.name, "")):
        result.setdefault(semconv.ENV_OTLP_INSECURE.name, "true")
    return result


def socket_target(environ: Mapping[str, str] = os.environ) -> str:
    """Return the gRPC target of the Collector's OTLP receiver, for a client on the same machine.

    It is the name in ``base.yaml``, where its form is explained.
    """
    name = environ.get(semconv.ENV_COLLECTOR_SOCKET.name) or semconv.ENV_COLLECTOR_SOCKET.default
    return f"unix-abstract:/{name}:0"


def find(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the Collector to start: ``OTELCOL_BIN``, else the one that was built for the shipped manifest.

    Raises:
        CollectorNotFound: neither is there; the message says what to do.
    """
    variable = semconv.ENV_OTELCOL_BIN.name
    named = environ.get(variable)
    if named:
        path = Path(named)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise CollectorNotFound(f"{variable}: {path} is not a program that can be run")
        return path
    path = built_path(environ)
    if not path.is_file():
        raise CollectorNotFound(
            f"no Collector has been built for {manifest(environ)}; "
            f"run `otel-prefect collector build`, or set {variable} to one that you have"
        )
    return path


def manifest(environ: Mapping[str, str] = os.environ, which: str = "main") -> Path:
    """Return the builder's manifest: which modules a Collector is made of.

    Args:
        environ: says where the configuration is.
        which: one of :data:`MANIFESTS`.
    """
    return config_dir(environ) / MANIFESTS[which]


def built_path(environ: Mapping[str, str] = os.environ, which: str = "main") -> Path:
    """Return where the build of a manifest is kept, whether or not it is there yet.

    The folder is named by the manifest's content and the machine's kind, so a changed manifest is
    another Collector, and two checkouts with the same one share nothing but the name.

    Raises:
        CollectorNotFound: the manifest itself is not there.
    """
    path = manifest(environ, which)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CollectorNotFound(f"the manifest of the Collector cannot be read: {error}") from error
    kind = f"{sys.platform}-{platform.machine()}".encode()
    digest = hashlib.sha256(content + kind).hexdigest()
    return cache_dir(environ) / "collector" / digest[:32] / BINARY_NAME


def _user_files(environ: Mapping[str, str]) -> list[Path]:
    variable = semconv.ENV_COLLECTOR_CONFIG.name
    files = [Path(name.strip()) for name in environ.get(variable, "").split(",") if name.strip()]
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"{variable}: there is no file {path}")
    return files


def _is_loopback(endpoint: str) -> bool:
    host = endpoint.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
