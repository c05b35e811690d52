"""Picks the layer for traces where ``OTEL_PREFECT_TRACES`` has ``auto``, by what X-Ray does with them.

Where Transaction Search is on, spans go to CloudWatch Logs, and X-Ray's OTLP endpoint takes them as they are
(``xray-otlp``). Where it is off, that endpoint takes nothing, and they go as segments (``xray``), which X-Ray
takes either way. So ``xray`` is also what is picked where X-Ray does not say.
https://docs.aws.amazon.com/xray/latest/api/API_GetTraceSegmentDestination.html
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_prefect import semconv
from otel_prefect.collector import aws_request
from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger("otel_prefect.collector")
_SEGMENTS: Final = "xray"
_SPANS: Final = "xray-otlp"
# For an answer, and as long for the credentials: the task's start waits for it.
SECONDS: Final = 2.0


@dataclass(frozen=True)
class Picked:
    """Which layer ``auto`` is.

    Attributes:
        layer: of traces.
        why: a sentence for the log.
        sure: whether X-Ray has said it.
    """

    layer: str
    why: str
    sure: bool


def is_asked_for(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment leaves the layer to us."""
    return collector.AUTO in _written(environ)


def pick(environ: Mapping[str, str], seconds: float = SECONDS) -> Picked:
    """Ask X-Ray where segments go; never raises and never waits for longer than twice ``seconds``.

    Args:
        environ: read for region, credentials and endpoint.
        seconds: until an answer is given up.
    """
    url = collector.aws_endpoint(semconv.ENV_ENDPOINT_XRAY, environ) + "/GetTraceSegmentDestination"
    try:
        answer = aws_request.post(aws_request.Request(url, "xray"), environ, seconds)
    except aws_request.NoAnswer as error:
        return Picked(_SEGMENTS, f"X-Ray was not asked where segments go: {error}", sure=False)
    if answer.status != 200:
        said = f"X-Ray does not say where segments go: {answer.said()}"
        return Picked(_SEGMENTS, f"{said} (xray:GetTraceSegmentDestination)", sure=False)
    try:
        found = json.loads(answer.body)
        destination, status = found["Destination"], found["Status"]
    except (ValueError, KeyError, TypeError):
        return Picked(_SEGMENTS, "X-Ray's answer on where segments go is not understood", sure=False)
    if (destination, status) == ("CloudWatchLogs", "ACTIVE"):
        return Picked(_SPANS, "Transaction Search is on", sure=True)
    return Picked(_SEGMENTS, f"Transaction Search is not on ({destination}, {status})", sure=True)


def with_layers(environ: Mapping[str, str], *layers: str) -> dict[str, str]:
    """Return the environment with ``auto`` replaced by layers."""
    written = [name for each in _written(environ) for name in (layers if each == collector.AUTO else (each,))]
    return {**environ, semconv.ENV_TRACES.name: ",".join(dict.fromkeys(written))}


def with_picked(environ: Mapping[str, str], seconds: float = SECONDS) -> dict[str, str]:
    """Return the environment with the layer that X-Ray's answer asks for; log which and why."""
    if not is_asked_for(environ):
        return dict(environ)
    picked = pick(environ, seconds)
    tell = _log.info if picked.sure else _log.warning
    tell("traces go to the layer %s: %s", picked.layer, picked.why)
    return with_layers(environ, picked.layer)


def with_either(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with both layers that ``auto`` may have been: for queues of an earlier start."""
    return with_layers(environ, _SEGMENTS, _SPANS) if is_asked_for(environ) else dict(environ)


def _written(environ: Mapping[str, str]) -> list[str]:
    written = environ.get(semconv.ENV_TRACES.name) or semconv.ENV_TRACES.default
    return [name.strip() for name in written.split(",") if name.strip()]
