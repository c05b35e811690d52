"""Prefect's plugin, on with ``PREFECT_PLUGINS_ENABLED=1``.

Prefect calls ``setup_environment`` while it is being imported, in every process: ``python flow.py``,
``prefect flow-run execute`` and the ``prefect.engine`` that it starts, workers, runners of tasks.
"""

from __future__ import annotations

from typing import Any

from prefect.plugins import register_hook

from otel_prefect import configuration
from otel_prefect.spans import instrumentations

PREFECT_PLUGIN_API_REQUIRES = ">=0.1,<1"
"""Read by Prefect before it loads the plugin."""


@register_hook
def setup_environment(*, ctx: Any) -> None:  # noqa: ARG001 - Prefect passes it by name
    """Set this process up, see ``otel_prefect.configuration.configure``.

    Returns:
        None: there is nothing for Prefect to set in the environment.
    """
    if configuration.configure("Prefect's plugin") is not None:
        # Else `opentelemetry-instrument` has been there, and has loaded them, or the SDK is disabled.
        instrumentations.load()
