"""The exporters that the standard ``OTEL_*`` variables ask for: OTLP/HTTP to the sidecar by default."""

from __future__ import annotations

import logging
import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal

from otel_prefect.export.delivery import Delivery, QuietExporter, QuietQueue

if TYPE_CHECKING:
    from collections.abc import Mapping

Signal = Literal["traces", "logs", "metrics"]

_logger = logging.getLogger(__name__)

# Loopback by its address: "localhost" may be ::1 first, where the sidecar does not listen.
_DEFAULT_ENDPOINT = "http://127.0.0.1:4318"
_HTTP = "http/protobuf"
# Names of entry points, by the values that OTEL_EXPORTER_OTLP_PROTOCOL may have.
_OTLP = {_HTTP: "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_OWN_SESSION = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER"


def exporters(signal: Signal, delivery: Delivery, environ: Mapping[str, str] | None = None) -> list[Any]:
    """Make the exporters of one signal.

    Args:
        signal: which of the three.
        delivery: what OTLP/HTTP exporters send through.
        environ: the environment; the process's own where it is None.

    Returns:
        One exporter for each name in ``OTEL_TRACES_EXPORTER`` (``_LOGS_``, ``_METRICS_``) that is
        installed; none where it says ``none``. A name that is not installed is left out with a warning.
    """
    values = os.environ if environ is None else environ
    made = [_exporter(name, signal, delivery, values) for name in _names(signal, values)]
    return [exporter for exporter in made if exporter is not None]


def otlp_names(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the names in ``OTEL_TRACES_EXPORTER`` that mean OTLP.

    Args:
        environ: the environment; the process's own where it is None.
    """
    values = os.environ if environ is None else environ
    return [name for name in _names("traces", values) if name == "otlp" or name in _OTLP.values()]


def hasty_exporters(seconds: float, environ: Mapping[str, str] | None = None) -> list[Any]:
    """Make exporters of spans for what is only news: they try once, and are silent where it fails.

    Args:
        seconds: that an attempt may take.
        environ: the environment; the process's own where it is None.

    Returns:
        As above, of the names that mean OTLP: no other destination understands a span without an end.
    """
    values = os.environ if environ is None else environ
    # Sent from a thread that nobody waits for: what stays open could not be closed.
    delivery = Delivery(retry_seconds=0.0, silent=True, keeps_connections=False)
    made = [_exporter(name, "traces", delivery, values, timeout=seconds) for name in otlp_names(values)]
    return [exporter for exporter in made if exporter is not None]


def _names(signal: Signal, values: Mapping[str, str]) -> list[str]:
    names = values.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    return [name.strip() for name in names.split(",")]


def _exporter(
    name: str, signal: Signal, delivery: Delivery, values: Mapping[str, str], **arguments: Any
) -> Any:
    if name in ("", "none"):
        return None
    if name == "otlp":
        protocol = (
            values.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
            or values.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or _HTTP
        )
        name = _OTLP.get(protocol.strip(), protocol)
    group = f"opentelemetry_{signal}_exporter"
    found = next(iter(entry_points(group=group, name=name)), None)
    if found is None:
        _logger.warning(
            "OTEL_%s_EXPORTER: no exporter named %r is installed, %s are not sent to it",
            signal.upper(),
            name,
            signal,
        )
        return None
    if name == _OTLP[_HTTP]:
        arguments |= _http_arguments(signal, delivery, values)
    return found.load()(**arguments)


def _http_arguments(signal: Signal, delivery: Delivery, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments by which an OTLP/HTTP exporter sends through ``delivery``."""
    # The loggers of the three exporters: children of this one, and filters are not inherited.
    for module in ("trace_exporter", "_log_exporter", "metric_exporter"):
        exporter_logger = logging.getLogger(f"opentelemetry.exporter.otlp.proto.http.{module}")
        if not any(isinstance(present, QuietExporter) for present in exporter_logger.filters):
            exporter_logger.addFilter(QuietExporter())
    queue_logger = logging.getLogger("opentelemetry.sdk._shared_internal")
    if not delivery.silent and not any(isinstance(present, QuietQueue) for present in queue_logger.filters):
        queue_logger.addFilter(QuietQueue(delivery))
    endpoint = values.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    base = values.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _DEFAULT_ENDPOINT
    url = endpoint or f"{base.removesuffix('/')}/v1/{signal}"
    if values.get(_OWN_SESSION) or values.get(
        f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{signal.upper()}_CREDENTIAL_PROVIDER"
    ):
        return {"endpoint": url}
    return {"endpoint": url, "session": delivery.session(url)}
