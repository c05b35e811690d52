"""Keeps what AWS's OTLP endpoints refuse until they take it.

The exporter does as OTLP says: after any refusal but 429, 502, 503 and 504 it drops what it has sent. A
missing permission, a wrong clock, a log group that is not there would cost everything until somebody has
mended it. So before the Collector is started, and whenever it has given something up, each endpoint is asked
with an empty request. Where it refuses that, the layer's endpoint becomes an address that nothing answers at:
the exporter's queue then keeps all of it on disk. Once the endpoint is open, the Collector is started anew.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_prefect import semconv
from otel_prefect.collector import aws_request
from otel_prefect.collector import start as configuration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sidecar.delivery import Deliveries

_log = logging.getLogger("sidecar.held")

# The discard port: connecting to it is refused at once, which the exporter takes for an outage.
_NOWHERE: Final = "http://127.0.0.1:9"
_ANSWER_SECONDS: Final = 2.0
# All endpoints are asked at once, before the Collector is started, and nobody is waited for longer.
_START_SECONDS: Final = 2.5
# How long an endpoint that refuses is left in peace: at first, and at most.
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 10.0, 120.0
_NO_SUCH_STREAM: Final = "ResourceNotFoundException"


@dataclass(frozen=True)
class _Endpoint:
    """An OTLP endpoint that a layer sends to."""

    exporter: tuple[str, str]
    variable: semconv.Variable
    path: str
    service: str


_ENDPOINTS: Final = {
    "traces/xray-otlp": _Endpoint(
        ("traces", "otlp_http/xray"), semconv.ENV_ENDPOINT_XRAY, "/v1/traces", "xray"
    ),
    "logs/cloudwatch-otlp": _Endpoint(
        ("logs", "otlp_http/cloudwatch"), semconv.ENV_ENDPOINT_LOGS, "/v1/logs", "logs"
    ),
    "metrics/cloudwatch-otlp": _Endpoint(
        ("metrics", "otlp_http/metrics-cloudwatch"),
        semconv.ENV_ENDPOINT_MONITORING,
        "/v1/metrics",
        "monitoring",
    ),
}


class Held:
    """Which layers' data is kept, and why.

    Args:
        environ: the Collector's.

    Attributes:
        reasons: what an endpoint says to an empty request, by layer (``traces/xray-otlp``).
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._endpoints = {
            layer: _ENDPOINTS[layer] for layer in configuration.layers(environ) if layer in _ENDPOINTS
        }
        self.reasons: dict[str, str] = {}
        self._given_up: dict[str, int] = {}
        self._ask_after: dict[str, float] = {}
        self._pause: dict[str, float] = {}

    def environ(self) -> dict[str, str]:
        """Return the environment to start the Collector with now."""
        nowhere = {self._endpoints[layer].variable.name: _NOWHERE for layer in self.reasons}
        return {**self._environ, **nowhere}

    async def look(self) -> None:
        """Ask all endpoints, before the Collector is started. One that does not answer is not held."""
        await self._ask(self._endpoints)

    async def review(self, deliveries: Deliveries, now: float) -> bool:
        """Ask again where something was given up or is held; tell whether the Collector has to be restarted.

        Args:
            deliveries: what the Collector says, over all of its starts.
            now: in seconds, by a clock that does not jump.
        """
        due = []
        for layer, endpoint in self._endpoints.items():
            given_up = deliveries.failed.get(endpoint.exporter, 0)
            grown = given_up > self._given_up.get(layer, 0)
            self._given_up[layer] = given_up
            if grown or (layer in self.reasons and now >= self._ask_after.get(layer, now)):
                due.append(layer)
        before = set(self.reasons)
        await self._ask(due)
        for layer in due:
            pause = self._pause.get(layer, _PAUSE_SECONDS) if layer in self.reasons else _PAUSE_SECONDS
            self._ask_after[layer] = now + pause
            self._pause[layer] = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return set(self.reasons) != before

    async def _ask(self, layers: Iterable[str]) -> None:
        asked = {layer: asyncio.create_task(asyncio.to_thread(self._refusal, layer)) for layer in layers}
        if not asked:
            return
        await asyncio.wait(asked.values(), timeout=_START_SECONDS)
        for layer, task in asked.items():
            if not task.done():
                continue  # what was known of it stays
            reason = task.result()
            if reason is not None and layer not in self.reasons:
                _log.warning("%s: AWS refuses it, so it is kept on disk: %s", layer, reason)
            elif reason is None and layer in self.reasons:
                _log.info("%s: AWS takes it again", layer)
            if reason is None:
                self.reasons.pop(layer, None)
            else:
                self.reasons[layer] = reason

    def _refusal(self, layer: str) -> str | None:
        """Return what an endpoint refuses an empty request with; None where it would take data, or may."""
        endpoint = self._endpoints[layer]
        headers = {"content-type": "application/x-protobuf"}
        if endpoint.service == "logs":
            for header, variable in (
                ("x-aws-log-group", semconv.ENV_LOG_GROUP),
                ("x-aws-log-stream", semconv.ENV_LOG_STREAM),
            ):
                headers[header] = self._environ.get(variable.name) or variable.default
        url = self._environ[endpoint.variable.name].rstrip("/") + endpoint.path
        try:
            answer = aws_request.post(
                aws_request.Request(url, endpoint.service, headers), self._environ, _ANSWER_SECONDS
            )
        except aws_request.NoAnswer:
            return None  # the exporter tries again by itself
        # A 400 may be for the request being empty, unless it says what is missing: the log stream, or
        # Transaction Search ("… with CloudWatch Logs as a Trace Segment Destination").
        missing = answer.code == _NO_SUCH_STREAM or b"Trace Segment Destination" in answer.body
        return answer.said() if missing or answer.status in {401, 403, 404, 500} else None
