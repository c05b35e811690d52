"""AWS's OTLP endpoints: X-Ray, CloudWatch Logs, CloudWatch metrics and an OpenSearch Ingestion pipeline.

Of Amazon Managed Service for Prometheus it has the door alone: the signature of a request that holds nothing.

It checks each request as AWS documents that it does: the signature of version 4, recomputed by botocore from
what was received (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html), and the limits of
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html. What it takes it
decodes and keeps. What AWS writes into the body of a refusal to an OTLP client is not documented: here it is
the JSON that its other services answer with.
"""

from __future__ import annotations

import calendar
import contextlib
import gzip
import hashlib
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.http_server import QuietHandler
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from email.message import Message

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-west-1"
WINDOW_SECONDS = 300
"""By which a request's date may be off: five minutes, says the page on signatures."""
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)"
    r"/aws4_request, "
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
# What is signed for, by path, and what the body is.
_SERVICES: dict[str, tuple[str, Any, Any]] = {
    "/v1/traces": ("xray", ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/logs": ("logs", ExportLogsServiceRequest, ExportLogsServiceResponse),
    "/v1/metrics": ("monitoring", ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}
# OpenSearch Ingestion: the source's path comes before, and the service is another.
_INGESTION = "/ingestion"
REMOTE_WRITE = "/workspaces/ws-1/api/v1/remote_write"

TRACES_BYTES, TRACES_SPANS, SPAN_BYTES = 5_000_000, 10_000, 200_000
LOGS_BYTES, LOGS_RECORDS, RECORD_EXTRA_BYTES = 1_048_576, 10_000, 26
METRICS_BYTES, METRICS_POINTS, LABELS, LABELS_BYTES = 1_000_000, 1_000, 150, 40_000
RESOURCE_BYTES = 16_000
OLDEST_SECONDS, AHEAD_SECONDS, GAP_SECONDS = 14 * 86_400, 7_200, 86_400


class Refusal(Exception):  # noqa: N818 - an answer, not an error of the stand-in
    """Raised for a request that AWS would refuse."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


THROTTLED = Refusal(429, "ThrottlingException", "Rate exceeded", retry_after=1)
DENIED = Refusal(403, "AccessDeniedException", "User is not authorized to perform: xray:PutSpans")
UNAVAILABLE = Refusal(503, "ServiceUnavailableException", "come again")
INTERNAL = Refusal(500, "InternalFailure", "an error of ours")


@dataclass
class Taken:
    """A request that was taken.

    Attributes:
        path: of its URL.
        headers: as they came.
        message: decoded.
        size: bytes after decompression.
    """

    path: str
    headers: Message
    message: Any
    size: int


@dataclass
class Endpoints:
    """A region's OTLP endpoints.

    Attributes:
        port: of all of them, on loopback.
        taken: what was taken, in order.
        refused: how often a request was refused, by status and code.
        faults: what each request is refused with, in turn, over and over; None: it is looked at in earnest.
        groups: the log streams that there are, as (group, stream).
        ahead: seconds by which AWS's clock is ahead of this machine's.
        segments: documents of PutTraceSegments, as they came.
        destination: where X-Ray says that segments go to; a Refusal is answered instead.
        status: of that destination.
        hang: whether nothing is ever answered.
        asked: how often X-Ray was asked for it.
        lost_spans: spans that were alone too large, and of which the client was told by partial success.
    """

    port: int
    taken: list[Taken] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    faults: Sequence[Refusal | None] = (None,)
    segments: list[str] = field(default_factory=list)
    groups: set[tuple[str, str]] = field(default_factory=set)
    ahead: float = 0.0
    destination: str | Refusal = "XRay"
    status: str = "ACTIVE"
    hang: bool = False
    lost_spans: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    _turn: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self) -> dict[str, str]:
        """Return the environment that leads a Collector here, with the right keys."""
        return {
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_ENDPOINT_URL": self.url,
            "OTEL_PREFECT_OPENSEARCH_INGESTION_ENDPOINT": self.url + _INGESTION,
        }

    def messages(self, path: str) -> list[Any]:
        """Return the requests that were taken at a path."""
        return [each.message for each in self.taken if each.path == path]

    def spans(self, path: str = "/v1/traces") -> list[Any]:
        """Return the spans that were taken."""
        return [
            span
            for message in self.messages(path)
            for of_resource in message.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def records(self, path: str = "/v1/logs") -> list[Any]:
        """Return the log records that were taken."""
        return [
            record
            for message in self.messages(path)
            for of_resource in message.resource_logs
            for of_scope in of_resource.scope_logs
            for record in of_scope.log_records
        ]

    def _fail_in_turn(self) -> None:
        self._wait()
        with self._lock:
            self._turn += 1
            fault = self.faults[self._turn % len(self.faults)]
        if fault is not None:
            raise fault

    def _take_remote_write(self, headers: Message, body: bytes) -> ExportMetricsServiceResponse:
        self.check_signature("POST", REMOTE_WRITE, headers, body, "aps")
        self._fail_in_turn()
        assert (headers["content-encoding"], body) == ("snappy", b"\0"), "only nothing is taken here"
        with self._lock:
            self.taken.append(Taken(REMOTE_WRITE, headers, ExportMetricsServiceResponse(), 0))
        return ExportMetricsServiceResponse()

    def take(self, path: str, headers: Message, body: bytes) -> Any:
        """Check a request as AWS does, keep it, and return the answer's message.

        Raises:
            Refusal: AWS would not take it.
        """
        if path == REMOTE_WRITE:
            return self._take_remote_write(headers, body)
        service, kind, answer = _SERVICES[path.removeprefix(_INGESTION)]
        if path.startswith(_INGESTION):
            service = "osis"
        self.check_signature("POST", path, headers, body, service)
        self._fail_in_turn()
        plain = _plain(headers, body)
        message = kind()
        try:
            message.ParseFromString(plain)
        except DecodeError:
            raise Refusal(400, "SerializationException", "not protobuf") from None
        result = answer()
        if service != "osis":
            self._check(kind, message, headers, len(plain), result)
        with self._lock:
            self.taken.append(Taken(path, headers, message, len(plain)))
        return result

    def _wait(self) -> None:
        while self.hang and not self._closing.wait(0.05):
            pass

    def check_signature(self, method: str, path: str, headers: Message, body: bytes, service: str) -> None:
        """Recompute the signature from what was received, by AWS's own code in botocore.

        Raises:
            Refusal: it is another, is of another service or region, or its date is off.
        """
        match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if match is None:
            raise Refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        if match["key"] != ACCESS_KEY:
            raise Refusal(403, "UnrecognizedClientException", "The security token is invalid.")
        scope = f"{match['region']}/{match['service']}"
        if scope != f"{REGION}/{service}":
            raise Refusal(
                403, "InvalidSignatureException", f"Credential should be scoped to {REGION}/{service}"
            )
        stamp = headers.get("x-amz-date", "")
        now = time.time() + self.ahead
        if abs(calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - now) > WINDOW_SECONDS:
            here = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            raise Refusal(
                403,
                "InvalidSignatureException",
                f"Signature expired: {stamp} is now earlier than {here} - 5 min.",
            )
        signed = match["signed"].split(";")
        if not {"host", "x-amz-date"} <= set(signed):
            raise Refusal(403, "InvalidSignatureException", "'Host' and 'X-Amz-Date' must be signed")
        request = AWSRequest(method, f"http://{headers['host']}{path}", data=body)
        for name in signed:
            request.headers[name] = headers[name]
        # Where the client says the payload's hash it is signed too; botocore would take it as it is said.
        digest = hashlib.sha256(body).hexdigest()
        if request.headers.get("x-amz-content-sha256", digest) != digest:
            raise Refusal(400, "XAmzContentSHA256Mismatch", "the body is not what its hash says")
        request.context["timestamp"] = stamp
        auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), service, REGION)
        to_sign = auth.string_to_sign(request, auth.canonical_request(request))
        if auth.signature(to_sign, request) != match["signature"]:
            raise Refusal(
                403, "InvalidSignatureException", "The request signature we calculated does not match"
            )

    def _check(self, kind: Any, message: Any, headers: Message, size: int, result: Any) -> None:
        if kind is ExportTraceServiceRequest:
            self.lost_spans += _check_traces(message, size, result)
        elif kind is ExportLogsServiceRequest:
            place = (headers.get("x-aws-log-group", ""), headers.get("x-aws-log-stream", ""))
            if place not in self.groups:
                raise Refusal(400, "ResourceNotFoundException", "The specified log group does not exist.")
            _check_logs(message, size)
        else:
            _check_metrics(message, size)

    def answer_destination(self, headers: Message, body: bytes) -> dict[str, Any]:
        """Answer GetTraceSegmentDestination.

        https://docs.aws.amazon.com/xray/latest/api/API_GetTraceSegmentDestination.html
        """
        self.asked["GetTraceSegmentDestination"] += 1
        self.check_signature("POST", "/GetTraceSegmentDestination", headers, body, "xray")
        self._wait()
        if isinstance(self.destination, Refusal):
            raise self.destination
        return {"Destination": self.destination, "Status": self.status}


def _plain(headers: Message, body: bytes) -> bytes:
    encoding = headers.get("content-encoding", "none")
    if encoding not in ("gzip", "none"):
        raise Refusal(400, "InvalidRequestException", f"{encoding}: gzip and none are supported")
    return gzip.decompress(body) if encoding == "gzip" else body


def _check_traces(message: ExportTraceServiceRequest, size: int, result: Any) -> int:
    """Apply the limits of the traces endpoint; return how many spans are alone too large."""
    if size > TRACES_BYTES:
        raise Refusal(413, "RequestEntityTooLargeException", f"{size} bytes")
    spans: list[Any] = []
    for of_resource in message.resource_spans:
        for of_scope in of_resource.scope_spans:
            if of_resource.resource.ByteSize() + of_scope.scope.ByteSize() > RESOURCE_BYTES:
                raise Refusal(400, "InvalidRequestException", "resource and scope over 16 KB")
            spans.extend(of_scope.spans)
    if len(spans) > TRACES_SPANS:
        raise Refusal(400, "InvalidRequestException", f"{len(spans)} spans")
    _check_times([span.start_time_unix_nano for span in spans])
    too_large = len([span for span in spans if span.ByteSize() > SPAN_BYTES])
    if too_large:
        result.partial_success.rejected_spans = too_large
        result.partial_success.error_message = "spans over 200 KB"
    return too_large


def _check_logs(message: ExportLogsServiceRequest, size: int) -> None:
    """Apply the limits of the logs endpoint.

    "The sum of all event messages in UTF-8, plus 26 bytes for each log record", where an event is a record
    with its Resource and scope: all as JSON here, since that is what the log group shows.
    """
    total, times = 0, []
    for of_resource in message.resource_logs:
        resource = len(json.dumps(MessageToDict(of_resource.resource), ensure_ascii=False).encode())
        for of_scope in of_resource.scope_logs:
            around = resource + len(json.dumps(MessageToDict(of_scope.scope), ensure_ascii=False).encode())
            if of_resource.resource.ByteSize() + of_scope.scope.ByteSize() > RESOURCE_BYTES:
                raise Refusal(400, "InvalidRequestException", "resource and scope over 16 KB")
            for record in of_scope.log_records:
                event = json.dumps(MessageToDict(record), ensure_ascii=False).encode()
                total += around + len(event) + RECORD_EXTRA_BYTES
                times.append(record.time_unix_nano)
    if max(total, size) > LOGS_BYTES:
        raise Refusal(
            413, "RequestEntityTooLargeException", f"{total} bytes of events, {size} of the request"
        )
    if len(times) > LOGS_RECORDS:
        raise Refusal(400, "InvalidRequestException", f"{len(times)} records")
    _check_times(times)


def _check_metrics(message: ExportMetricsServiceRequest, size: int) -> None:
    if size > METRICS_BYTES:
        raise Refusal(400, "InvalidRequestException", f"{size} bytes")
    points = 0
    for of_resource in message.resource_metrics:
        shared = list(of_resource.resource.attributes)
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                for point in getattr(metric, str(metric.WhichOneof("data"))).data_points:
                    points += 1
                    labels = [*shared, *of_scope.scope.attributes, *point.attributes]
                    if len(labels) > LABELS or sum(label.ByteSize() for label in labels) > LABELS_BYTES:
                        raise Refusal(400, "InvalidRequestException", f"{len(labels)} labels")
    if points > METRICS_POINTS:
        raise Refusal(400, "InvalidRequestException", f"{points} data points")


def _check_times(nanoseconds: list[int]) -> None:
    if not nanoseconds:
        return
    first, last, now = min(nanoseconds) / 1e9, max(nanoseconds) / 1e9, time.time()
    if first < now - OLDEST_SECONDS or last > now + AHEAD_SECONDS or last - first > GAP_SECONDS:
        raise Refusal(400, "InvalidRequestException", "too old, too far ahead, or too far apart")


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    endpoints: Endpoints

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            if self.path == "/GetTraceSegmentDestination":
                answer = json.dumps(self.endpoints.answer_destination(self.headers, body)).encode()
                self._send(200, "application/json", answer)
            elif self.path == "/TraceSegments":
                self.endpoints.segments.extend(json.loads(body)["TraceSegmentDocuments"])
                self._send(200, "application/json", b'{"UnprocessedTraceSegments": []}')
            else:
                message = self.endpoints.take(self.path, self.headers, body)
                self._send(200, "application/x-protobuf", message.SerializeToString())
        except Refusal as refusal:
            self.endpoints.refused[f"{refusal.status} {refusal.code}"] += 1
            text = json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
            more = {} if refusal.retry_after is None else {"retry-after": str(refusal.retry_after)}
            self._send(refusal.status, "application/json", text, {"x-amzn-errortype": refusal.code, **more})

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "content-type": kind,
            **(headers or {}),
            "content-length": str(len(body)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who asked may have gone
            self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.endpoints.ahead)


@contextlib.contextmanager
def serving(endpoints: Endpoints | None = None) -> Iterator[Endpoints]:
    """Have the endpoints there while the block runs."""
    it = endpoints or Endpoints(free_ports(1)[0])
    server = ThreadingHTTPServer(("127.0.0.1", it.port), type("Handler", (_Handler,), {"endpoints": it}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield it
    finally:
        it._closing.set()
        server.shutdown()
        server.server_close()
