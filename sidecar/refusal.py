"""How a request is refused, on either transport: the codes that clients act on.

https://opentelemetry.io/docs/specs/otlp/#failures and #failures-1: a client sends again what was
refused with a retryable code, and never what was refused as malformed.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

# Sent again after this; a Collector that was killed is back in less.
RETRY_AFTER_SECONDS = 1

_HTTP_STATUS = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.UNIMPLEMENTED: 404,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}
TOO_LARGE = 413


class Refusal(Exception):  # noqa: N818 - an answer to the client, not a failure
    """Raised when a request is not taken; tells the client whether to send it again.

    Args:
        code: the gRPC status.
        message: what is wrong; it goes to the client.
        retry: whether the client is told to send the request again.
        http_status: where it is another one than the code's own.
    """

    def __init__(
        self, code: StatusCode, message: str, *, retry: bool = False, http_status: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry = retry
        self.http_status = http_status or _HTTP_STATUS.get(code, 500)

    def status(self) -> Status:
        """Return the ``google.rpc.Status`` that both transports carry, RetryInfo included."""
        status = Status(code=self.code.value[0], message=self.message)
        if self.retry:
            status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_SECONDS)))
        return status


def malformed(message: str) -> Refusal:
    """Return the refusal of what will never be taken."""
    return Refusal(StatusCode.INVALID_ARGUMENT, message)


def busy(message: str) -> Refusal:
    """Return the refusal of what is to be sent again."""
    return Refusal(StatusCode.UNAVAILABLE, message, retry=True)


def too_large(limit: int, way_out: str) -> Refusal:
    """Return the refusal of a request over a limit (bytes); ``way_out`` says what the client can do."""
    return Refusal(
        StatusCode.RESOURCE_EXHAUSTED,
        f"the request is larger than {limit} bytes after decompression; {way_out}",
        http_status=TOO_LARGE,
    )
