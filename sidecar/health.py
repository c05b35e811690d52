"""Says whether data is taken and can be forwarded, and shows the sidecar's own metrics."""

from __future__ import annotations

import http.client
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sidecar.http1 import Handler, Request, Response
    from sidecar.metrics import SelfMetrics
    from sidecar.settings import Address

_CHECK_SECONDS = 2.0


def routes(
    problem: Callable[[], str | None],
    numbers: SelfMetrics,
    held: Callable[[], Mapping[str, str]] = dict,
) -> dict[tuple[str, str], Handler]:
    """Return the handlers of the health port: ``/healthz`` and ``/metrics``.

    Args:
        problem: tells why no data can be taken or forwarded now; None while all is well.
        numbers: what ``/metrics`` shows.
        held: tells what is taken and kept, since its destination refuses it: the reason by layer. It is no
            problem of health: a task must not end, or not start, for it.
    """
    from sidecar.http1 import Response  # noqa: PLC0415 - `python -m sidecar health` runs often, without it

    async def healthz(_: Request) -> Response:
        reason = problem()
        said: dict[str, Any] = (
            {"status": "ok"} if reason is None else {"status": "unavailable", "reason": reason}
        )
        if kept := held():
            said["held"] = dict(kept)
        return Response(200 if reason is None else 503, json.dumps(said).encode(), "application/json")

    async def metrics(_: Request) -> Response:
        return Response(200, numbers.prometheus().encode(), "text/plain; version=0.0.4")

    return {("GET", "/healthz"): healthz, ("GET", "/metrics"): metrics}


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
