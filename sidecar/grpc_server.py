"""Takes OTLP over gRPC."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import grpc

from sidecar.forward import LONGEST_SECONDS
from sidecar.otlp import SIGNALS
from sidecar.refusal import Refusal

if TYPE_CHECKING:
    from sidecar.intake import Intake
    from sidecar.otlp import Signal
    from sidecar.settings import Address

_log = logging.getLogger("sidecar.grpc_server")


class BindError(OSError):
    """Raised when an address cannot be listened on; the text names the variable that moves it."""


def create(address: Address, variable: str, intake: Intake, max_request_bytes: int) -> grpc.aio.Server:
    """Bind a server that is not started yet.

    Args:
        address: where it listens.
        variable: the environment variable that the address comes from, for the error.
        intake: where requests go.
        max_request_bytes: gRPC itself answers RESOURCE_EXHAUSTED to what is larger.

    Raises:
        BindError: the address is taken or not of this machine.
    """
    server = grpc.aio.server(
        handlers=[_handler(signal, intake) for signal in SIGNALS],
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 0),  # a second sidecar on the same port is an error, not a partner
        ],
    )
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError:
        port = 0
    if port == 0:
        raise BindError(
            f"{variable}={address}: cannot listen there: the port is in use or not of this machine"
        )
    return server


def _handler(signal: Signal, intake: Intake) -> grpc.GenericRpcHandler:
    async def export(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        remaining = context.time_remaining()
        try:
            with intake.room.hold() as take_room:
                take_room(len(body))
                return await intake.take(
                    signal, "grpc", body, LONGEST_SECONDS if remaining is None else remaining
                )
        except Refusal as refusal:
            await _abort(context, refusal)
            raise AssertionError("abort() raises") from None

    service = signal.method.split("/")[1]
    # No (de)serializer: what comes and goes is bytes.
    method = grpc.unary_unary_rpc_method_handler(export)
    return grpc.method_handlers_generic_handler(service, {"Export": method})


async def _abort(context: grpc.aio.ServicerContext, refusal: Refusal) -> None:
    details = (("grpc-status-details-bin", refusal.status().SerializeToString()),)
    await context.abort(refusal.code, refusal.message, details)
