"""Takes OTLP over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from otel_prefect import semconv
from sidecar import access
from sidecar.forward import LONGEST_SECONDS
from sidecar.otlp import SIGNALS
from sidecar.refusal import Refusal

if TYPE_CHECKING:
    from sidecar.intake import Intake
    from sidecar.otlp import Signal
    from sidecar.settings import Settings


class BindError(OSError):
    """Raised when an address cannot be listened on; the text names the variable that moves it."""


def create(settings: Settings, intake: Intake) -> grpc.aio.Server:
    """Bind a server that is not started yet.

    Args:
        settings: where it listens, what it takes and from whom.
        intake: where requests go.

    Raises:
        BindError: the address is taken or not of this machine.
    """
    server = grpc.aio.server(
        handlers=[_handler(signal, intake, settings.bearer_token) for signal in SIGNALS],
        options=[
            # gRPC itself answers RESOURCE_EXHAUSTED to what is larger.
            ("grpc.max_receive_message_length", settings.max_request_bytes),
            ("grpc.so_reuseport", 0),  # a second sidecar on the same port is an error, not a partner
        ],
    )
    try:
        port = server.add_insecure_port(str(settings.grpc))
    except RuntimeError:
        port = 0
    if port == 0:
        variable = semconv.ENV_GRPC_ENDPOINT.name
        raise BindError(f"{variable}={settings.grpc}: cannot listen there: in use, or not of this machine")
    return server


def _handler(signal: Signal, intake: Intake, token: str | None) -> grpc.GenericRpcHandler:
    async def export(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        remaining = context.time_remaining()
        try:
            if token is not None:  # reading the metadata costs, and nearly nobody has a token
                access.check(_metadata(context).get(access.HEADER), token)
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


def _metadata(context: grpc.aio.ServicerContext) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


async def _abort(context: grpc.aio.ServicerContext, refusal: Refusal) -> None:
    details = (("grpc-status-details-bin", refusal.status().SerializeToString()),)
    await context.abort(refusal.code, refusal.message, details)
