"""What ``opentelemetry-instrument`` finds by entry points: ``Distro`` and ``Configurator``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# That module has no annotations and asks type checkers to pass over it.
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]

from otel_prefect import configuration, process_kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Distro(BaseDistro):  # type: ignore[misc]  # the base class ships no types
    """Chooses the instrumentations: all that are installed, but none in Prefect's own server."""

    def _configure(self, **_: Any) -> None:
        """Do nothing: ``configuration.configure`` has defaults for what is unset in the environment."""

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load one instrumentation, see ``BaseDistro.load_instrumentor``."""
        if process_kind.is_prefect_server():
            return  # its queries are no pipeline's
        if entry_point.name == "logging":
            # Its fields for format strings are kept; its handler would send each record a second time.
            kwargs["enable_log_auto_instrumentation"] = False
        super().load_instrumentor(entry_point, **kwargs)


class Configurator:
    """Sets up the SDK; made and called by ``opentelemetry-instrument``."""

    def configure(self, **_: Any) -> None:
        """Set this process up, see ``otel_prefect.configuration.configure``."""
        configuration.configure("opentelemetry-instrument", process_span=True)
