"""Where the OpenTelemetry Collector is, and what it is started with.

Pure functions of an environment: the sidecar and ``otel-prefect collector`` start
the Collector with the same arguments because both ask here.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import platform
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

BINARY_NAME = "otelcol-prefect"

_PACKAGE = Path(__file__).resolve().parents[1]
_SIGNALS = {
    "traces": semconv.ENV_TRACES,
    "logs": semconv.ENV_LOGS,
    "metrics": semconv.ENV_METRICS,
}
# A layer whose endpoint wants signed requests defines a sigv4auth extension of its own. The Collector
# replaces lists where it merges, so the list of all is put together here.
_LAYER_EXTENSIONS = {
    "traces/xray-otlp": "sigv4auth/xray-otlp",
    "traces/opensearch-ingestion": "sigv4auth/traces-opensearch-ingestion",
    "logs/cloudwatch-otlp": "sigv4auth/cloudwatch-otlp",
    "logs/opensearch-ingestion": "sigv4auth/logs-opensearch-ingestion",
    "metrics/cloudwatch-otlp": "sigv4auth/metrics-cloudwatch-otlp",
}
_PROMETHEUS_LAYER = "metrics/prometheus"
_PROMETHEUS_SIGV4 = "prometheus/sigv4.yaml"
_PROMETHEUS_WRITE = "prometheus/remote-write.yaml"
_PROMETHEUS_EXTENSION = "sigv4auth/prometheus"
# Without it the exporter gives up what is throttled (v0.158.0).
_PROMETHEUS_GATE = "--feature-gates=exporter.prometheusremotewritexporter.RetryOn429"
# In the host's name of Amazon Managed Service for Prometheus:
# https://docs.aws.amazon.com/general/latest/gr/prometheus-service.html
_MANAGED_PROMETHEUS = "aps-workspaces"

AUTO = "auto"
"""Written for ``traces``: the layer is picked when the Collector is started (``destination.py``)."""
_AUTO_LAYER = f"traces/{AUTO}"
_UNRESOLVED_AUTO = "traces/xray"  # takes spans whatever X-Ray does with them

# Where AWS has its OTLP endpoints: our variable, the SDKs' own for the service, and the host's first label.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
_AWS_ENDPOINTS = (
    (semconv.ENV_ENDPOINT_XRAY, "AWS_ENDPOINT_URL_XRAY", "xray"),
    (semconv.ENV_ENDPOINT_LOGS, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "logs"),
    (semconv.ENV_ENDPOINT_MONITORING, "AWS_ENDPOINT_URL_CLOUDWATCH", "monitoring"),
)


# The connector in redaction.yaml that gives on what was redacted.
_REDACTED_ENTRY = "forward/redacted"


class CollectorNotFound(Exception):  # noqa: N818 - a state that the caller asks about, as KeyError is
    """Raised when there is no Collector to start: none is named and none is built."""


class UnknownLayer(ValueError):  # noqa: N818 - says what is wrong with a value, as ValueError does
    """Raised when a variable names a layer that has no file."""


class InvalidSetting(ValueError):  # noqa: N818 - as above
    """Raised when a variable has a value that it does not take."""


@dataclass(frozen=True)
class Distribution:
    """A Collector that can be built: which modules it has and what it is configured with.

    Attributes:
        name: as it is written on the command line.
        manifest: of the builder, in the folder of the configuration.
        base: the file that its layers are merged over.
        layers: the layers that it always has, as ``signal/name``; None: the environment says which.
        extensions: that its base defines.
        binary: the variable that names a binary to use instead of the built one.
        entry: where its layers take their data from; None for the receiver, or what redacts.
    """

    name: str
    manifest: str
    base: str
    layers: tuple[str, ...] | None
    extensions: tuple[str, ...]
    binary: semconv.Variable
    entry: str | None = None


MAIN = Distribution(
    "main", "builder.yaml", "base.yaml", None, ("file_storage/queue",), semconv.ENV_OTELCOL_BIN
)
"""The one that a sidecar runs."""

OPENSEARCH = Distribution(
    "opensearch",
    "opensearch/builder.yaml",
    "opensearch/base.yaml",
    ("traces/opensearch", "logs/opensearch"),
    (),
    semconv.ENV_OTELCOL_OPENSEARCH_BIN,
)
"""A second one for where the first has no ``opensearch`` exporter: it runs the same two layers, and the
first sends to it by its ``otlp`` layers."""

GATEWAY = Distribution(
    "gateway",
    "gateway/builder.yaml",
    "gateway/base.yaml",
    None,
    ("file_storage/queue", "health_check"),
    semconv.ENV_OTELCOL_GATEWAY_BIN,
    "forward/sampled",
)
"""A service that many sidecars send to: it decides which runs' spans go on, and has the layers instead of
them."""

BALANCER = Distribution(
    "balancer",
    GATEWAY.manifest,
    "gateway/balancer.yaml",
    (),
    GATEWAY.extensions,
    GATEWAY.binary,
)
"""Before several gateways: sends all spans of a trace to the same one. The same binary as theirs."""

DISTRIBUTIONS = {distribution.name: distribution for distribution in (MAIN, OPENSEARCH, GATEWAY, BALANCER)}
_RESOLVERS = ("static", "dns", "cloud-map")


def checkout() -> Path | None:
    """Return the root of the checkout that this module runs from; None where it is installed."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "collector-config").is_dir() else None


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder with ``base.yaml`` and the layers.

    ``OTEL_PREFECT_COLLECTOR_CONFIG_DIR``, else the checkout's, else the one in the installed package.
    """
    named = environ.get(semconv.ENV_COLLECTOR_CONFIG_DIR.name)
    return Path(named) if named else (checkout() or _PACKAGE) / "collector-config"


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that builds are kept in: ``.cache`` of the checkout, else the user's (XDG)."""
    root = checkout()
    if root is not None:
        return root / ".cache"
    xdg = environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "otel-prefect"


def known_layers(signal: str, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the names of all layers that there are for ``traces``, ``logs`` or ``metrics``, sorted."""
    return tuple(sorted(path.stem for path in (config_dir(environ) / signal).glob("*.yaml")))


def layers(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the layers that data goes to, as ``signal/name``, each once, in the order written.

    Args:
        environ: read for ``OTEL_PREFECT_TRACES``, ``…_LOGS`` and ``…_METRICS``, comma-separated; unset
            and empty mean the default. ``traces/auto`` is returned as it is; where it is still there when
            the Collector is started, it is ``traces/xray``.

    Raises:
        UnknownLayer: there is no such layer for that signal.
    """
    found = []
    for signal, variable in _SIGNALS.items():
        written = environ.get(variable.name, "").strip(" ,") or variable.default
        known = (*known_layers(signal, environ), *((AUTO,) if signal == "traces" else ()))
        for name in (part.strip() for part in written.split(",")):
            if name and name not in known:
                raise UnknownLayer(
                    f"{variable.name}: there is no layer {name!r} for {signal}; known are {', '.join(known)}"
                )
            if name:
                found.append(f"{signal}/{name}")
    return tuple(dict.fromkeys(found))


def config_files(environ: Mapping[str, str] = os.environ, distribution: Distribution = MAIN) -> list[Path]:
    """Return the files that the Collector merges, in order: base, redaction, one a layer, the user's own.

    Raises:
        InvalidSetting: ``OTEL_PREFECT_REDACTION`` is neither true nor false, or the layer ``prometheus`` has
            no address.
        UnknownLayer: a variable names a layer that does not exist.
        FileNotFoundError: ``OTEL_PREFECT_COLLECTOR_CONFIG`` names a file that does not exist, or
            ``OTEL_PREFECT_COLLECTOR_CONFIG_DIR`` a folder without ``base.yaml``.
    """
    return [*_shipped_files(environ, distribution), *_own_files(environ, distribution)]


def arguments(environ: Mapping[str, str] = os.environ, distribution: Distribution = MAIN) -> list[str]:
    """Return the Collector's command-line arguments for an environment.

    They are the same for ``otelcol-prefect ARGUMENTS`` and ``otelcol-prefect validate ARGUMENTS``.

    Raises:
        UnknownLayer: as :func:`config_files`.
        FileNotFoundError: as :func:`config_files`.
    """
    extensions = [
        *distribution.extensions,
        *(_LAYER_EXTENSIONS[layer] for layer in _used(environ, distribution) if layer in _LAYER_EXTENSIONS),
        *([_PROMETHEUS_EXTENSION] if _PROMETHEUS_SIGV4 in _prometheus_parts(environ, distribution) else []),
    ]
    sources = [
        *map(str, _shipped_files(environ, distribution)),
        f"yaml:service::extensions: [{', '.join(extensions)}]",
        *map(str, _own_files(environ, distribution)),
    ]
    gates = [_PROMETHEUS_GATE] if _PROMETHEUS_WRITE in _prometheus_parts(environ, distribution) else []
    return [argument for source in sources for argument in ("--config", source)] + gates


def environment(environ: Mapping[str, str] = os.environ, distribution: Distribution = MAIN) -> dict[str, str]:
    """Return the environment to start the Collector with.

    The Collector's ``${env:NAME:-default}`` takes the default where NAME is unset, but not where it is
    empty, as it is when a task definition's parameter was left blank: such a variable of ours is taken
    out. What cannot be a constant in YAML is filled in: the log stream, where segments of X-Ray SDKs join,
    that a loopback address is spoken to without TLS, AWS's endpoints, and the header of basic auth.
    """
    ours = {variable.name for variable in semconv.variables() if "collector" in variable.read_by}
    result = {name: value for name, value in environ.items() if value or name not in ours}
    result.setdefault(semconv.ENV_LOG_STREAM.name, socket.gethostname())
    if _redacts(environ, distribution):
        result[semconv.ENV_ENTRY.name] = _REDACTED_ENTRY
    elif distribution.entry is not None:
        result[semconv.ENV_ENTRY.name] = distribution.entry
    result.setdefault(semconv.ENV_XRAY_SDK_TARGET.name, f"unix-abstract:///{_socket_name(result)}:0")
    if _is_plain(result.get(semconv.ENV_OTLP_ENDPOINT.name, "")):
        result.setdefault(semconv.ENV_OTLP_INSECURE.name, "true")
    for variable, _, _ in _AWS_ENDPOINTS:
        result.setdefault(variable.name, aws_endpoint(variable, result))
    user = result.get(semconv.ENV_OPENSEARCH_USERNAME.name)
    if user:
        pair = f"{user}:{result.get(semconv.ENV_OPENSEARCH_PASSWORD.name, '')}".encode()
        basic = f"Basic {base64.b64encode(pair).decode()}"
        result.setdefault(semconv.ENV_OPENSEARCH_AUTHORIZATION.name, basic)
    if distribution is BALANCER and _resolver(environ) == "static":
        result[semconv.ENV_GATEWAYS.name] = f"[{environ[semconv.ENV_GATEWAYS.name]}]"
    if distribution is OPENSEARCH:
        # It has no storage. The sender's queue is on disk, and waits for OpenSearch's own answer.
        result[semconv.ENV_OPENSEARCH_QUEUE.name] = "false"
    return result


def aws_endpoint(variable: semconv.Variable, environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL of one of AWS's OTLP endpoints, without its path.

    Args:
        variable: one of ``semconv.ENV_ENDPOINT_XRAY``, ``…_LOGS``, ``…_MONITORING``.
        environ: read for it, then for what AWS's SDKs read, then for ``AWS_REGION``.
    """
    of_sdks, service = next((name, label) for each, name, label in _AWS_ENDPOINTS if each == variable)
    named = environ.get(variable.name) or environ.get(of_sdks) or environ.get("AWS_ENDPOINT_URL")
    if named:
        return named.rstrip("/")
    region = environ.get("AWS_REGION") or "us-east-1"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{service}.{region}.{suffix}"


def target(environ: Mapping[str, str] = os.environ, distribution: Distribution = MAIN) -> str:
    """Return where the Collector takes OTLP/gRPC, as a gRPC client on the same machine writes it.

    The form of the socket's name is explained in ``base.yaml``.
    """
    if distribution is OPENSEARCH:
        return environ.get(semconv.ENV_OTLP_ENDPOINT.name, "")
    if distribution in (GATEWAY, BALANCER):
        return environ.get(semconv.ENV_GATEWAY_ENDPOINT.name) or semconv.ENV_GATEWAY_ENDPOINT.default
    return f"unix-abstract:/{_socket_name(environ)}:0"


def _socket_name(environ: Mapping[str, str]) -> str:
    return environ.get(semconv.ENV_COLLECTOR_SOCKET.name) or semconv.ENV_COLLECTOR_SOCKET.default


def socket_target(environ: Mapping[str, str] = os.environ) -> str:
    """Return :func:`target` of the Collector that a sidecar runs."""
    return target(environ)


def find(environ: Mapping[str, str] = os.environ, distribution: Distribution = MAIN) -> Path:
    """Return the Collector to start: the named one (``OTELCOL_BIN``), else the one that was built.

    Raises:
        CollectorNotFound: neither is there; the message says what to do.
    """
    variable = distribution.binary.name
    named = environ.get(variable)
    if named:
        path = Path(named)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise CollectorNotFound(f"{variable}: {path} is not a program that can be run")
        return path
    path = built_path(environ, distribution)
    if not path.is_file():
        option = "" if distribution is MAIN else f" --distribution {distribution.name}"
        raise CollectorNotFound(
            f"no Collector has been built from {config_dir(environ) / distribution.manifest}; "
            f"run `otel-prefect collector build{option}`, or set {variable} to one that you have"
        )
    return path


def built_path(environ: Mapping[str, str] = os.environ, distribution: Distribution = MAIN) -> Path:
    """Return where the build of a manifest is kept, whether or not it is there yet.

    The folder is named by the manifest's content, which names every version, and by the kind of
    machine: a changed manifest is another Collector.

    Raises:
        CollectorNotFound: the manifest is not there.
    """
    path = config_dir(environ) / distribution.manifest
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CollectorNotFound(f"the manifest of the Collector cannot be read: {error}") from error
    kind = f"{sys.platform}-{platform.machine()}".encode()
    digest = hashlib.sha256(content + kind).hexdigest()
    return cache_dir(environ) / "collector" / digest[:32] / BINARY_NAME


def _used(environ: Mapping[str, str], distribution: Distribution) -> tuple[str, ...]:
    if distribution.layers is not None:
        return distribution.layers
    found = (_UNRESOLVED_AUTO if layer == _AUTO_LAYER else layer for layer in layers(environ))
    return tuple(dict.fromkeys(found))


def _redacts(environ: Mapping[str, str], distribution: Distribution) -> bool:
    return _switch(environ, semconv.ENV_REDACTION, otherwise=False) and distribution is MAIN


def _shipped_files(environ: Mapping[str, str], distribution: Distribution) -> list[Path]:
    folder = config_dir(environ)
    base = folder / distribution.base
    if not base.is_file():
        raise FileNotFoundError(f"{semconv.ENV_COLLECTOR_CONFIG_DIR.name}: there is no file {base}")
    redaction = [folder / "redaction.yaml"] if _redacts(environ, distribution) else []
    layer_files = [folder / f"{layer}.yaml" for layer in _used(environ, distribution)]
    layer_files += [folder / part for part in _prometheus_parts(environ, distribution)]
    if distribution is MAIN and environ.get(semconv.ENV_ECS_METADATA.name):
        layer_files.append(folder / "ecs.yaml")
    if distribution is BALANCER:
        layer_files.append(folder / "gateway" / f"resolver-{_resolver(environ)}.yaml")
    return [base, *redaction, *layer_files]


def _prometheus_parts(environ: Mapping[str, str], distribution: Distribution) -> list[str]:
    """Return the files that the layer ``prometheus`` is completed by: how the endpoint is spoken to.

    Raises:
        InvalidSetting: there is no endpoint, or a variable cannot be.
    """
    if _PROMETHEUS_LAYER not in _used(environ, distribution):
        return []
    endpoint = urlsplit(environ.get(semconv.ENV_PROMETHEUS_ENDPOINT.name, ""))
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname:
        raise InvalidSetting(
            f"{semconv.ENV_PROMETHEUS_ENDPOINT.name}={endpoint.geturl()!r}: the layer `prometheus` needs a "
            "URL, such as http://prometheus:9090/api/v1/otlp/v1/metrics, or one for remote write"
        )
    if endpoint.path.endswith("/v1/metrics"):
        return ["prometheus/otlp.yaml"]
    managed = _MANAGED_PROMETHEUS in endpoint.hostname.split(".")
    signed = _switch(environ, semconv.ENV_PROMETHEUS_SIGV4, otherwise=managed)
    return [_PROMETHEUS_WRITE, *([_PROMETHEUS_SIGV4] if signed else [])]


def writes_to_managed_prometheus(environ: Mapping[str, str]) -> bool:
    """Return whether the layer ``prometheus`` is used, and signs its requests."""
    try:
        return _PROMETHEUS_SIGV4 in _prometheus_parts(environ, MAIN)
    except (UnknownLayer, InvalidSetting):
        return False


def _switch(environ: Mapping[str, str], variable: semconv.Variable, *, otherwise: bool) -> bool:
    written = environ.get(variable.name, "").strip().lower()
    if written not in ("", "true", "false"):
        raise InvalidSetting(f"{variable.name}={written!r}: true or false is needed")
    return written == "true" if written else otherwise


def _resolver(environ: Mapping[str, str]) -> str:
    """Return how a balancer finds its gateways, once it is known that it is told which."""
    variable = semconv.ENV_GATEWAY_RESOLVER
    resolver = environ.get(variable.name) or variable.default
    if resolver not in _RESOLVERS:
        raise InvalidSetting(f"{variable.name}={resolver!r}: one of {', '.join(_RESOLVERS)} is needed")
    needed = [semconv.ENV_GATEWAYS] + ([semconv.ENV_GATEWAYS_NAMESPACE] if resolver == "cloud-map" else [])
    for each in needed:
        if not environ.get(each.name):
            raise InvalidSetting(
                f"{each.name}: is needed by a balancer that finds its gateways by {resolver}"
            )
    return resolver


def _own_files(environ: Mapping[str, str], distribution: Distribution) -> list[Path]:
    if distribution.layers is not None:
        return []
    variable = semconv.ENV_COLLECTOR_CONFIG.name
    files = [Path(name.strip()) for name in environ.get(variable, "").split(",") if name.strip()]
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"{variable}: there is no file {path}")
    return files


def _is_plain(endpoint: str) -> bool:
    """Tell whether an endpoint is spoken to without TLS: by its scheme, or since it is on loopback."""
    if endpoint.startswith("http://"):
        return True
    host = endpoint.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
