"""X-Ray and CloudWatch Logs as far as the Collector's exporters speak to them, with every way to misbehave.

moto answers too slowly and too kindly for counting under load: this keeps ids only, answers at once, refuses
by AWS's own rules, and throttles, fails, hangs or breaks off as it is told.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.support.http_server import QuietHandler
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_DOCUMENT_BYTES = 64 * 1024
"""https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html: "Maximum size"."""
MAX_DOCUMENTS = 50
"""In a PutTraceSegments; the exporter's source names the limit too."""
_ID = re.compile(r"[0-9a-f]{16}")
_TRACE_ID = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
_NAME = re.compile(r"[ \w.:/%&#=+\-@\\]{1,200}")


class Fault(Enum):
    """What becomes of a request instead of the answer."""

    THROTTLE = "429, and the error code that the service throttles with"
    UNAVAILABLE = "503"
    INTERNAL = "500"
    HANG = "no answer, ever"
    RESET = "the connection is reset before anything is taken"
    LOSE_ANSWER = "all is taken, then the connection is reset"
    DENIED = "403 AccessDeniedException"
    INVALID = "400 InvalidRequestException"


@dataclass
class Aws:
    """A fake region.

    Attributes:
        port: of all services, on loopback.
        segments: how often each segment id was taken.
        events: how often each log event's ``id`` was taken: the first word of its ``message``.
        documents: segment documents as they came, by id; kept where ``keep_documents`` is true.
        unprocessed: ids and error codes of what X-Ray answered 200 to and did not take.
        faults: one for each request in turn, over and over; None is a good answer.
        requests: how many came, by what was made of them.
    """

    port: int
    segments: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    keep_documents: bool = False
    unprocessed: list[tuple[str, str]] = field(default_factory=list)
    faults: Sequence[Fault | None] = (None,)
    requests: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: int = 0
    _streams: set[str] = field(default_factory=set)
    _closing: threading.Event = field(default_factory=threading.Event)

    def variables(self) -> dict[str, str]:
        """Return the environment that leads a Collector here."""
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def next_fault(self) -> Fault | None:
        with self._lock:
            self._turn += 1
            return self.faults[self._turn % len(self.faults)]

    # --- services: each returns status and body --------------------------------------------------

    def put_trace_segments(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        documents = request["TraceSegmentDocuments"]
        if len(documents) > MAX_DOCUMENTS:
            return 400, {"__type": "InvalidRequestException", "message": f"{len(documents)} documents"}
        unprocessed = []
        with self._lock:
            for text in documents:
                document = json.loads(text)
                problem = _problem(text, document)
                if problem is None:
                    self.segments[document["id"]] += 1
                    if self.keep_documents:
                        self.documents[document["id"]] = document
                else:
                    self.unprocessed.append((document.get("id") or "", problem))
                    unprocessed.append({"Id": document.get("id"), "ErrorCode": problem, "Message": problem})
        return 200, {"UnprocessedTraceSegments": unprocessed}

    def put_log_events(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        stream = request["logGroupName"] + " " + request["logStreamName"]
        if stream not in self._streams:
            return 400, {"__type": "ResourceNotFoundException", "message": "no such stream"}
        with self._lock:
            for event in request["logEvents"]:
                self.events[json.loads(event["message"])["message"].split(" ")[0]] += 1
        # Without a token the exporter sends the same batch once more.
        return 200, {"nextSequenceToken": str(self._turn)}

    def create_log_stream(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self._streams.add(request["logGroupName"] + " " + request["logStreamName"])
        return 200, {}


def _problem(text: str, document: dict[str, Any]) -> str | None:
    """Return why X-Ray does not take a document: the rules are of the page named above, the codes ours."""
    if len(text.encode()) > MAX_DOCUMENT_BYTES:
        return "TooLarge"
    if not _ID.fullmatch(document.get("id") or ""):
        return "MissingId"
    if not _TRACE_ID.fullmatch(document.get("trace_id") or ""):
        return "InvalidTraceId"
    if not _NAME.fullmatch(document.get("name") or ""):
        return "InvalidName"
    if "start_time" not in document or ("end_time" not in document and not document.get("in_progress")):
        return "MissingTime"
    return None


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    aws: Aws

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        fault = self.aws.next_fault()
        self.aws.requests["taken" if fault is None else fault.name] += 1
        if fault is Fault.HANG:
            while not self.aws._closing.wait(0.05) and Fault.HANG in self.aws.faults:
                pass
            self._reset()
        elif fault is Fault.RESET:
            self._reset()
        elif fault is Fault.LOSE_ANSWER:
            self._serve(body)
            self._reset()
        elif fault is None:
            self._answer(*self._serve(body))
        else:
            self._answer(*_refusal(fault, self.path))

    def _serve(self, body: bytes) -> tuple[int, dict[str, Any]]:
        request = json.loads(body)
        if self.path == "/TraceSegments":
            return self.aws.put_trace_segments(request)
        action = self.headers["x-amz-target"].rpartition(".")[2]
        if action == "PutLogEvents":
            return self.aws.put_log_events(request)
        if action == "CreateLogStream":
            return self.aws.create_log_stream(request)
        return 200, {}

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(body)))
        if "__type" in answer:  # REST-JSON (X-Ray) has it here, JSON 1.1 (Logs) in the body
            self.send_header("x-amzn-errortype", answer["__type"])
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        # Linger 0: closing sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def handle(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # what comes of a connection that was reset
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            super().finish()


def _refusal(fault: Fault, path: str) -> tuple[int, dict[str, Any]]:
    throttled = "ThrottledException" if path == "/TraceSegments" else "ThrottlingException"
    status, code = {
        Fault.THROTTLE: (429 if path == "/TraceSegments" else 400, throttled),
        Fault.UNAVAILABLE: (503, "ServiceUnavailableException"),
        Fault.INTERNAL: (500, "InternalFailure"),
        Fault.DENIED: (403, "AccessDeniedException"),
        Fault.INVALID: (400, "InvalidRequestException"),
    }[fault]
    return status, {"__type": code, "message": fault.value}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        return


@contextlib.contextmanager
def serving(aws: Aws) -> Iterator[None]:
    """Have the region there while the block runs; outside of it connections are refused."""
    aws._closing.clear()
    handler = type("Handler", (_Handler,), {"aws": aws})
    deadline = time.monotonic() + 10
    while True:
        try:
            server = _Server(("127.0.0.1", aws.port), handler)
            break
        except OSError:  # an end of one of its own connections may still be on the port
            assert time.monotonic() < deadline, f"port {aws.port} does not get free"
            time.sleep(0.05)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield
    finally:
        aws._closing.set()
        server.shutdown()
        server.server_close()


def region() -> Aws:
    """Return a region on a free port that is not there yet."""
    return Aws(free_ports(1)[0])
