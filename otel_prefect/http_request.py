"""One HTTP request, answered or not, in bounded time."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        status: of HTTP.
        headers: with names in lower case.
        body: a megabyte of it at most.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self) -> str:
        """Return the beginning of the body in one line."""
        return " ".join(self.body[:300].decode(errors="replace").split())


class NoAnswer(Exception):  # noqa: N818 - a state that the caller asks about
    """Raised when there is no answer of HTTP; the text says why."""


def ask(  # noqa: PLR0913 - each is one plain fact of a request
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 5.0,
    direct: bool = False,
    certificates: str | None = None,
) -> Answer:
    """Send one request; an answer of any status is an answer.

    Args:
        url: http or https.
        method: of HTTP.
        body: sent with it.
        headers: sent with it.
        seconds: for connecting, and for each part of the answer.
        direct: whether proxies that the environment names are passed by.
        certificates: file of authorities to trust instead of the system's.

    Raises:
        NoAnswer: nothing listens, it is no HTTP, TLS fails, or it took too long.
    """
    try:
        context = ssl.create_default_context(cafile=certificates)
        opener = build_opener(HTTPSHandler(context=context), *([ProxyHandler({})] if direct else []))
        request = Request(url, data=body, method=method, headers=dict(headers or {}))  # noqa: S310 - http or https
        try:
            with opener.open(request, timeout=seconds) as response:
                return Answer(response.status, _lower(response.headers), response.read(_MOST_BYTES))
        except HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers), error.read(_MOST_BYTES))
    except URLError as error:
        raise NoAnswer(_why(error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(_why(error)) from error


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _why(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, (http.client.HTTPException, ConnectionError)) and not str(error):
        return type(error).__name__
    return " ".join(str(error).split())
