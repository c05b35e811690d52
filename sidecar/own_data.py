"""Sends what the sidecar itself has to say, by the way that everything takes."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from sidecar.refusal import Refusal

if TYPE_CHECKING:
    from sidecar.intake import Intake
    from sidecar.otlp import Signal

_log = logging.getLogger("sidecar.own_data")

SEND_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.2


class OwnData:
    """Hands requests of the sidecar's own to its intake, and again while it is told to try again.

    Args:
        intake: takes them as it takes all requests.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def send(self, signal: Signal, body: bytes) -> bool:
        """Send one request, within SEND_SECONDS; tell whether it was taken. A failure is logged."""
        deadline = time.monotonic() + SEND_SECONDS
        refusal = await self._try(signal, body)
        while refusal is not None and refusal.retry and time.monotonic() < deadline:
            await asyncio.sleep(_PAUSE_SECONDS)
            refusal = await self._try(signal, body)
        if refusal is not None:
            _log.error("own %s could not be sent: %s", signal.name, refusal.message)
        return refusal is None

    async def _try(self, signal: Signal, body: bytes) -> Refusal | None:
        try:
            await self._intake.take(signal, "own", body, SEND_SECONDS)
        except Refusal as refusal:
            return refusal
        return None
