"""Says what a killed process could not: watches the task's containers and closes what they left open."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from typing import TYPE_CHECKING, Final

from sidecar.open_spans import Cause
from sidecar.otlp import LOGS, TRACES

if TYPE_CHECKING:
    from sidecar.ecs import Container, TaskMetadata
    from sidecar.open_spans import OpenSpan, OpenSpans
    from sidecar.own_data import OwnData

_log = logging.getLogger("sidecar.closing")

# How often the containers are looked at while a run is open. What a container sent before its end is in
# by the next look, which is when it is closed: some 2 s after its end, and 5 s at most.
LOOK_SECONDS: Final = 1.0
# 128 and the signal's number: what a shell and container runtimes make of a death by signal.
_SIGNALLED: Final = 128
_KIND: Final = "ContainerEnded"


class Closer:
    """Closes what ended containers left open.

    Args:
        open_spans: what is open.
        metadata: tells which containers ended, and how.
        own_data: takes what is sent in their place.
    """

    def __init__(self, open_spans: OpenSpans, metadata: TaskMetadata, own_data: OwnData) -> None:
        self._open = open_spans
        self._metadata = metadata
        self._own_data = own_data
        self._seen_ended: set[str] = set()

    async def watch(self) -> None:
        """Look at the containers for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._open:
                await self.look()

    async def look(self, *, last: bool = False) -> None:
        """Close what ended containers left open.

        Args:
            last: whether there is no later look. Otherwise a container must have ended by the look before,
                so that what it sent before its end has come in.
        """
        others = await self._metadata.others()
        if others is None:
            return
        ended = [container for container in others if container.ended]
        for container in ended:
            if last or container.id in self._seen_ended:
                all_ended = len(ended) == len(others)
                await self._close(
                    [span for span in self._open if _is_of(span, container, all_ended)], cause_of(container)
                )
        self._seen_ended.update(container.id for container in ended)

    async def close_the_rest(self) -> None:
        """Close all that is open when the sidecar itself has to end: nobody will see its end any more."""
        if not self._open:
            return
        await self.look(last=True)
        message = "the task was stopped, and the process ended without a word or was still running"
        await self._close(list(self._open), Cause("TaskStopped", message, time.time_ns()))

    async def _close(self, spans: list[OpenSpan], cause: Cause) -> None:
        if not spans:
            return
        _log.error("%d open spans are closed as failed: %s", len(spans), cause.message)
        traces, logs = self._open.close(spans, cause)
        await self._own_data.send(TRACES, traces)
        await self._own_data.send(LOGS, logs)


def _is_of(span: OpenSpan, container: Container, all_ended: bool) -> bool:
    """Tell whether a span is of an ended container; one that does not say its container, when all ended."""
    return all_ended if span.container_id is None else span.container_id == container.id


def cause_of(container: Container) -> Cause:
    """Describe a container's end for people."""
    at = container.finished_unix_nano or time.time_ns()
    code = container.exit_code
    if code is None:
        return Cause(_KIND, f"container {container.name} ended; ECS does not say how", at)
    what = f"container {container.name} ended with exit code {code}"
    name = _signal_name(code - _SIGNALLED)
    if name == "SIGKILL":
        return Cause(name, f"{what} (SIGKILL: killed, most often for using more memory than its limit)", at)
    if name is not None:
        return Cause(name, f"{what} ({name})", at)
    return Cause(_KIND, f"{what} before the run's end was told", at)


def _signal_name(number: int) -> str | None:
    try:
        return signal.Signals(number).name
    except ValueError:
        return None
