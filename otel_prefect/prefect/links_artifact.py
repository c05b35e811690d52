"""Gives each flow run an artifact in Prefect with the links to its trace and its log.

It has no key, so it stands on the run's own page and not among the artifacts of all runs
(https://docs.prefect.io/v3/concepts/artifacts). It is sent by a thread that nothing waits for: a run is not
slower for it, and a run that is over before the answer may stay without.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from prefect.context import FlowRunContext
from prefect.settings import get_current_settings

from otel_prefect import environment, links, semconv
from otel_prefect.guard import never_raises
from otel_prefect.http_request import NoAnswer
from otel_prefect.prefect import api as prefect_api

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger(__name__)

_SECONDS: Final = 5.0
_LOG_SECONDS: Final = 24 * 3600
"""From the run's start: how much of the log the link looks at; nobody knows the end yet."""
_CREATED: Final = 201


@never_raises(None)
def send_soon(run: Any, trace_id: int) -> None:
    """Have an artifact made for a flow run that begins, if it is to have one.

    None is made for a run that is tried again, whose first attempt has made one; for a flow that another one
    calls in its own process, which is seen in that one's trace; where nobody says the region; and where
    ``OTEL_PREFECT_LINKS`` is ``false``.

    Args:
        run: as Prefect's engine has it.
        trace_id: of its span.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region or run.run_count or FlowRunContext.get() is not None:
        return
    if not environment.flag(semconv.ENV_LINKS):
        return
    settings = get_current_settings().to_environment_variables(exclude_unset=True, include_secrets=True)
    body = artifact(str(run.id), text(region, trace_id, str(run.id), os.environ))
    thread = threading.Thread(
        target=_send, args=({**settings, **os.environ}, body), name="otel-prefect-links", daemon=True
    )
    thread.start()


def text(region: str, trace_id: int, flow_run_id: str, environ: Mapping[str, str]) -> str:
    """Return the artifact's text, as Markdown.

    Args:
        region: of AWS.
        trace_id: of the run.
        flow_run_id: a UUID.
        environ: with what else there is to link to.
    """
    now = time.time()
    group = environ.get(semconv.ENV_LOG_GROUP.name) or semconv.ENV_LOG_GROUP.default
    places = links.of_run(region, group, trace_id, now, now + _LOG_SECONDS)
    places |= links.elsewhere(environ, trace_id, now, now + _LOG_SECONDS)
    listed = "\n".join(f"- [{name}]({_in_markdown(address)})" for name, address in places.items())
    return f"{listed}\n\nIn a terminal: `otel-prefect trace {flow_run_id}`\n"


def _in_markdown(address: str) -> str:
    # A bracket ends the link, and the console's addresses are full of them.
    return address.replace("(", "%28").replace(")", "%29")


def artifact(flow_run_id: str, data: str) -> dict[str, Any]:
    """Return what Prefect's API is sent."""
    return {
        "type": "markdown",
        "description": "The trace and the log of this run.",
        "data": data,
        "flow_run_id": flow_run_id,
    }


@never_raises(None)
def _send(environ: Mapping[str, str], body: Mapping[str, Any]) -> None:
    try:
        api = prefect_api.of_environment(environ)
        with suppress_http_instrumentation():
            answer = api.post("/artifacts/", body, _SECONDS)
    except (ValueError, NoAnswer) as error:
        # A server that the flow has started for itself has no address; a flow runs without links.
        _logger.debug("no artifact with links: %s", error)
        return
    if answer.status != _CREATED:
        _logger.debug("no artifact with links: Prefect answers %s: %s", answer.status, answer.text())
