"""A receiver of OTLP/HTTP that takes all there is and looks at nothing."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler


class TakesAll(BaseHTTPRequestHandler):
    """Answers each request with 200, on connections that stay open."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the body and take it."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
