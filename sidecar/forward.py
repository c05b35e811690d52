"""Hands requests to the Collector and tells what it answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from sidecar.otlp import SIGNALS, TRACES
from sidecar.refusal import Refusal, busy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.otlp import Signal

# Longer than any client waits; a client's own deadline is passed on.
LONGEST_SECONDS = 30.0

_OPTIONS = (
    # The Collector checks the size itself.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A Collector that was killed is back within a second: look for it often.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # The name of a unix socket is not a valid :authority for the Collector's HTTP/2 server.
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_http_proxy", 0),
)
# What the OTLP specification has a client send again. RESOURCE_EXHAUSTED only with RetryInfo.
_RETRYABLE = frozenset(
    (
        StatusCode.CANCELLED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.ABORTED,
        StatusCode.OUT_OF_RANGE,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    )
)


class CollectorClient:
    """A channel to a Collector's OTLP/gRPC receiver.

    Args:
        target: in gRPC's form: ``host:port`` or ``unix-abstract:name``.
    """

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._methods: Mapping[Signal, grpc.aio.UnaryUnaryMultiCallable] = {
            signal: self._channel.unary_unary(signal.method) for signal in SIGNALS
        }

    async def export(self, signal: Signal, body: bytes, timeout: float = LONGEST_SECONDS) -> bytes:
        """Send one request.

        Args:
            signal: which service takes it.
            body: the encoded request.
            timeout: seconds until it is given up.

        Returns:
            The encoded response, with what it says of a partial success.

        Raises:
            Refusal: the Collector did not take it, or is not there. What may be sent again says so.
        """
        try:
            return bytes(await self._methods[signal](body, timeout=min(timeout, LONGEST_SECONDS)))
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None

    async def ready(self, timeout: float) -> bool:
        """Wait until the Collector's receiver answers; tell whether it does within ``timeout`` seconds."""
        try:
            await self._methods[TRACES](b"", timeout=timeout, wait_for_ready=True)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


def _refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """Translate the Collector's answer for the client."""
    code, details = error.code(), error.details() or ""
    if code in _RETRYABLE or (code is StatusCode.RESOURCE_EXHAUSTED and _has_retry_info(error)):
        return busy(f"the Collector did not take it ({code.name}): {details}")
    return Refusal(code, f"the Collector refused it: {details}")


def _has_retry_info(error: grpc.aio.AioRpcError) -> bool:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return any("RetryInfo" in detail.type_url for detail in Status.FromString(value).details)
    return False
