"""AWS JSON 1.1 over HTTP: what boto3 speaks to ECS and Glue.

The protocol is described at https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html:
a POST to ``/`` whose ``X-Amz-Target`` header is ``SERVICE.Operation``; errors answer 400
with the error's name in ``__type`` and in ``x-amzn-errortype``.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from demo.processes import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Operation = Callable[[dict[str, Any]], dict[str, Any]]


class AwsError(Exception):
    """Raised by an operation to answer with one of AWS's errors.

    Attributes:
        code: the error's name, as in ``ClientError.response["Error"]["Code"]``.
        message: its text.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Server:
    """Serves operations on a free port of loopback, a thread for each request.

    Args:
        operations: ``SERVICE.Operation`` → the function that carries it out.

    Attributes:
        url: what goes into ``AWS_ENDPOINT_URL_…``.
    """

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                target = self.headers.get("x-amz-target", "")
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                try:
                    operation = operations.get(target)
                    if operation is None:
                        raise AwsError("UnknownOperationException", f"{target or 'no X-Amz-Target'}")
                    self._answer(200, operation(json.loads(body or b"{}")))
                except AwsError as error:
                    self._answer(400, {"__type": error.code, "message": error.message}, error.code)

            def _answer(self, status: int, answer: dict[str, Any], error: str | None = None) -> None:
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.1")
                self.send_header("content-length", str(len(text)))
                self.send_header("x-amzn-requestid", str(uuid4()))
                if error is not None:
                    self.send_header("x-amzn-errortype", error)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing: what goes wrong is in the answer."""

        self._http = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, name="aws-json", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
