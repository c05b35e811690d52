"""Says whether data is taken and can be forwarded, and shows the sidecar's own metrics."""

from __future__ import annotations

import http.client
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from sidecar.metrics import SelfMetrics
    from sidecar.settings import Address

_CHECK_SECONDS = 2.0


def application(problem: Callable[[], str | None], numbers: SelfMetrics) -> web.Application:
    """Return the application of the health port: ``/healthz`` and ``/metrics``.

    Args:
        problem: tells why no data can be taken or forwarded now; None while all is well.
        numbers: what ``/metrics`` shows.
    """
    from aiohttp import web  # noqa: PLC0415 - `python -m sidecar health` runs every few seconds without it

    async def healthz(_: web.Request) -> web.Response:
        reason = problem()
        if reason is None:
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "unavailable", "reason": reason}, status=503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=numbers.prometheus().encode(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app


def check(address: Address) -> int:
    """Ask a running sidecar for its health, as a container's HEALTHCHECK does.

    Args:
        address: its health endpoint.

    Returns:
        The exit code: 0 healthy, 1 not; then one line on stderr says why.
    """
    connection = http.client.HTTPConnection(address.host, address.port, timeout=_CHECK_SECONDS)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"sidecar health: nothing answers at {address}: {error}\n")
        return 1
    finally:
        connection.close()
    if response.status == http.client.OK:
        return 0
    sys.stderr.write(f"sidecar health: {response.status} {body}\n")
    return 1
