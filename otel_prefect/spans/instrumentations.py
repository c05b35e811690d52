"""OpenTelemetry's instrumentations of other libraries, all that are installed, also without its command.

``opentelemetry-instrument`` loads them through ``otel_prefect.distro``. Where only Prefect's plugin is on,
this does, by the same rules (https://opentelemetry.io/docs/zero-code/python/configuration/).
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from otel_prefect import process_kind
from otel_prefect.distro import Distro
from otel_prefect.guard import never_raises

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_logger = logging.getLogger(__name__)

_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


@never_raises(None)
def load() -> None:
    """Load what is installed, but for what ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` names (``*``: all)."""
    disabled = {name.strip() for name in os.environ.get(_DISABLED, "").split(",")}
    if process_kind.is_prefect_server() or "*" in disabled:
        return
    distro = Distro()
    for entry_point in entry_points(group="opentelemetry_instrumentor"):
        if entry_point.name not in disabled:
            _load(distro, entry_point)


def _load(distro: Any, entry_point: EntryPoint) -> None:
    try:
        # Importing one imports its library: not before it is known to be there.
        if not _conflicts(entry_point):
            distro.load_instrumentor(entry_point, skip_dep_check=True)
    except ModuleNotFoundError as error:
        _logger.debug("instrumentation %s is not loaded: %s", entry_point.name, error)
    except Exception:  # one that is broken must not cost the others, nor the program anything
        _logger.warning("instrumentation %s cannot be loaded", entry_point.name, exc_info=True)


def _conflicts(entry_point: EntryPoint) -> bool:
    """Tell whether the library is missing or of another version than the instrumentation is for."""
    from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts  # noqa: PLC0415

    if entry_point.dist is None:
        return False
    conflict = get_dist_dependency_conflicts(entry_point.dist)
    if conflict is None:
        return False
    log = _logger.warning if conflict.found else _logger.debug
    log("instrumentation %s is not loaded: %s", entry_point.name, conflict)
    return True
