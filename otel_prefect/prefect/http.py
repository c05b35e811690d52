"""Keeps Prefect's talk with its own API out of traces: about 20 requests a run, none of the pipeline's.

Nearly all of it goes through two classes of ``prefect.client.base``. Where they are not as expected, httpx is
not instrumented at all, with one warning. What else Prefect asks its server is on a list; where an entry is
not as expected, a request or two are seen that need not be.
"""

from __future__ import annotations

import functools
import inspect
import logging
from typing import Any

import wrapt
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from otel_prefect.guard import never_raises

_logger = logging.getLogger(__name__)

_CLIENTS = "prefect.client.base"
_SENDS = ("PrefectHttpxAsyncClient.send", "PrefectHttpxSyncClient.send")
_OTHERS = {
    # These ask for the server's version first; each has the function by a name of its own.
    "prefect.events.clients": ("check_server_version",),
    "prefect.logging.clients": ("check_server_version",),
    # Asks whether the server is up that a flow starts for itself.
    "prefect.server.api.server": ("SubprocessASGIServer.start",),
}


def install() -> None:
    """Stand before Prefect's requests, now or as soon as the modules that make them are imported."""
    wrapt.register_post_import_hook(_wrap_clients, _CLIENTS)
    for module, names in _OTHERS.items():
        wrapt.register_post_import_hook(functools.partial(_wrap, names=names), module)


@never_raises(None)
def _wrap_clients(module: Any) -> None:
    if all(_find(module, name) is not None for name in _SENDS):
        _wrap(module, _SENDS)
    else:
        _leave_httpx_alone()


@never_raises(None)
def _wrap(module: Any, names: tuple[str, ...]) -> None:
    for name in names:
        function = _find(module, name)
        if function is not None:
            wrapper = _in_silence_async if inspect.iscoroutinefunction(function) else _in_silence
            wrapt.wrap_function_wrapper(module, name, wrapper)


def _find(module: Any, name: str) -> Any:
    owner, _, function = name.rpartition(".")
    found = getattr(module, owner, None) if owner else module
    return None if found is None else vars(found).get(function)


async def _in_silence_async(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with suppress_http_instrumentation():
        return await wrapped(*args, **kwargs)


def _in_silence(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with suppress_http_instrumentation():
        return wrapped(*args, **kwargs)


def _leave_httpx_alone() -> None:
    try:
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: PLC0415
    except ImportError:
        return
    HTTPXClientInstrumentor().uninstrument()
    _logger.warning(
        "this version of Prefect is not known to us: httpx is not traced, or Prefect's own requests would be"
    )
