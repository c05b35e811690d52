"""Who may send: everyone who reaches the address, or only who shows the token."""

from __future__ import annotations

import hmac

from grpc import StatusCode

from otel_prefect import semconv
from sidecar.refusal import Refusal

HEADER = "authorization"


def check(shown: str | None, token: str | None) -> None:
    """Let a request pass or refuse it.

    Args:
        shown: the value of its ``authorization`` header or metadata; None where it has none.
        token: what must be shown; None where nothing must.

    Raises:
        Refusal: it shows no token or another one. It is not retried.
    """
    if token is None:
        return
    # Bytes, since compare_digest takes no other text than ASCII; what is not UTF-8 comes as surrogates.
    given = (shown or "").encode(errors="surrogateescape")
    if not hmac.compare_digest(given, f"Bearer {token}".encode()):
        raise Refusal(
            StatusCode.UNAUTHENTICATED,
            f"{HEADER}: 'Bearer ' and the value of {semconv.ENV_BEARER_TOKEN.name} are needed",
        )
