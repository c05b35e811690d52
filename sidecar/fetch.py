"""Asks other servers by HTTP GET: Prefect's API, ECS's metadata, the Collector's numbers.

The sidecar asks seldom and waits for nothing, so the standard library in a thread does: a client for
asyncio would take ten megabytes in every task.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

# No answer that is asked for here is near it.
LARGEST_ANSWER: Final = 8 * 1024 * 1024


class FetchError(Exception):
    """Raised when there is no answer that can be used.

    The text names neither the URL, which may carry credentials, nor headers, which do.

    Attributes:
        status: of HTTP; None where no server answered.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Fetcher:
    """Asks one server.

    Args:
        timeout: seconds until an answer is given up.
        headers: sent with each question, and not to where a redirect leads.
        proxies: whether ``HTTP_PROXY`` and its like are heeded; never for what is in the task itself.
        tls: how servers are trusted; None for OpenSSL's defaults.
    """

    def __init__(
        self,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        *,
        proxies: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout
        self._headers = dict(headers or {})
        handlers: list[urllib.request.BaseHandler] = [] if proxies else [urllib.request.ProxyHandler({})]
        if tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=tls))
        self._opener = urllib.request.build_opener(*handlers)

    async def text(self, url: str) -> str:
        """Return the answer's body.

        Args:
            url: beginning with ``http://`` or ``https://``.

        Raises:
            FetchError: no server answered in time, or not with 200.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()

        def deliver(body: bytes | None, error: FetchError | None) -> None:
            if answer.done():
                return  # given up meanwhile
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(body or b"")

        def ask() -> None:
            body = error = None
            try:
                body = self._get(url)
            except FetchError as failed:
                error = failed
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(deliver, body, error)

        # A thread of its own and not the loop's pool: that one is waited for at the end.
        threading.Thread(target=ask, name="otel-prefect-fetch", daemon=True).start()
        try:
            return (await asyncio.wait_for(answer, self._timeout)).decode(errors="replace")
        except asyncio.TimeoutError:
            raise FetchError(f"no answer within {self._timeout:g} s") from None

    async def json(self, url: str) -> dict[str, Any]:
        """Return the JSON object that a server answers.

        Raises:
            FetchError: as in :meth:`text`, or the answer is no JSON object.
        """
        try:
            answer = json.loads(await self.text(url))
        except ValueError:
            raise FetchError("the answer is no JSON") from None
        if not isinstance(answer, dict):
            raise FetchError("the answer is no JSON object")
        return answer

    def _get(self, url: str) -> bytes:
        request = urllib.request.Request(url)  # noqa: S310 - settings take http and https only
        for name, value in self._headers.items():
            request.add_unredirected_header(name, value)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                body = bytes(response.read(LARGEST_ANSWER + 1))
        except urllib.error.HTTPError as error:
            error.close()
            raise FetchError(f"answered {error.code} {error.reason}", error.code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise FetchError(f"not reached ({type(reason).__name__})") from None
        if len(body) > LARGEST_ANSWER:
            raise FetchError(f"answered more than {LARGEST_ANSWER} bytes")
        return body
