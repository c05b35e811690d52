"""One trace and one log stream for one Prefect flow run on AWS.

Importing this package imports neither Prefect nor boto3, nor the OpenTelemetry
SDK: it is loaded in every process of a pipeline.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_prefect.jobs import job as job
    from otel_prefect.jobs import spark_conf as spark_conf
    from otel_prefect.propagation import container_overrides as container_overrides
    from otel_prefect.propagation import propagation_env as propagation_env
    from otel_prefect.received import joined as joined

__version__ = "0.1.0"

# Loaded when they are first used: name → module.
_LAZY = {
    "container_overrides": "otel_prefect.propagation",
    "job": "otel_prefect.jobs",
    "joined": "otel_prefect.received",
    "propagation_env": "otel_prefect.propagation",
    "spark_conf": "otel_prefect.jobs",
}

__all__ = ["__version__", "container_overrides", "job", "joined", "propagation_env", "spark_conf"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
