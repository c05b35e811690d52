"""Sends one span and one log line through the sidecar, and reads them back where a person would look."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_prefect import ids, semconv
from otel_prefect.doctor import opensearch, permissions, sidecar
from otel_prefect.doctor.aws import Denied, NoBoto3, Refused, Unauthenticated, Unreachable
from otel_prefect.doctor.findings import Finding, Status, Surroundings
from otel_prefect.http_request import NoAnswer, ask
from otel_prefect.view.transaction_search import CLOUDWATCH_LOGS, SPANS_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SERVICE: Final = "otel-prefect-doctor"
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True)
class _Sent:
    """What was sent.

    Attributes:
        trace_id: 128 random bits: nothing else has it.
        span_id: 64 random bits.
        at: nanoseconds since 1970.
    """

    trace_id: bytes
    span_id: bytes
    at: int

    @property
    def hex(self) -> str:
        return self.trace_id.hex()

    @property
    def xray(self) -> str:
        return ids.xray_trace_id(int.from_bytes(self.trace_id, "big"))


@dataclass
class _Destination:
    """Where something is to be found.

    Attributes:
        what: for the table.
        layer: that leads there.
        look: tells whether it is there; raises what ``doctor.aws`` raises.
        action: of AWS, that looking needs; empty where it is none.
    """

    what: str
    layer: str
    look: Callable[[], bool]
    action: str = ""


def check(surroundings: Surroundings) -> Iterator[Finding]:
    """Send, and read back until all has been found or the time is over."""
    what = "delivery"
    if not surroundings.send:
        yield Finding(what, Status.SKIPPED, "nothing is sent with --no-send")
        return
    if surroundings.sidecar_takes is False:
        yield Finding(what, Status.SKIPPED, "nothing is sent: the sidecar does not take it, see above")
        return
    # The first half of a trace id is a time in X-Ray's eyes, where it cares; the flow run ids that are trace
    # ids here have none either.
    sent = _Sent(secrets.token_bytes(16), secrets.token_bytes(8), time.time_ns())
    problems = list(_send(surroundings, sent))
    if problems:
        yield from problems
        return
    yield Finding("delivery: sidecar", Status.RIGHT, f"took a span and a log line of trace {sent.xray}")
    waiting = []
    for each in _destinations(surroundings, sent):
        if each.layer in surroundings.denied:
            told = "not looked for: AWS refuses what is needed to send it, see above"
            yield Finding(each.what, Status.SKIPPED, told)
        else:
            waiting.append(each)
    yield from _wait(waiting, surroundings)
    out_of_sight = {"debug"} if opensearch.needed(surroundings) else {"debug", "otlp", "opensearch-ingestion"}
    for layer in surroundings.layers:
        signal, _, name = layer.partition("/")
        if signal != "metrics" and name in out_of_sight:
            yield Finding(f"delivery: {layer}", Status.SKIPPED, "sent; it cannot be read back from here")


def _send(surroundings: Surroundings, sent: _Sent) -> Iterator[Finding]:
    resource = Resource(attributes=[_pair("service.name", _SERVICE), _pair("host.name", os.uname().nodename)])
    for signal, request, answer in (
        ("traces", _span(resource, sent), ExportTraceServiceResponse()),
        ("logs", _log_line(resource, sent), ExportLogsServiceResponse()),
    ):
        what = f"delivery: {signal} to the sidecar"
        target, variable = sidecar.url(surroundings.environ, signal)
        try:
            got = ask(
                target,
                method="POST",
                body=request.SerializeToString(),
                headers={**sidecar.headers(surroundings.environ), "content-type": sidecar.PROTOBUF},
                seconds=min(10.0, surroundings.left()),
                direct=True,
            )
        except NoAnswer as error:
            yield Finding(what, Status.WRONG, f"{target} ({variable}): {error}")
            continue
        if got.status != 200:
            yield Finding(what, Status.WRONG, f"{target} ({variable}) answers {got.status}: {got.text()}")
            continue
        answer.ParseFromString(got.body)
        partial = answer.partial_success
        if partial.ByteSize():
            yield Finding(what, Status.WRONG, f"was taken in part: {partial.error_message}")


def _span(resource: Resource, sent: _Sent) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add(resource=resource).scope_spans.add()
    scoped.spans.add(
        trace_id=sent.trace_id,
        span_id=sent.span_id,
        name="otel-prefect doctor",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=sent.at - 1_000_000,
        end_time_unix_nano=sent.at,
        attributes=[_pair(semconv.STAGE, "doctor")],
    )
    return request


def _log_line(resource: Resource, sent: _Sent) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    scoped = request.resource_logs.add(resource=resource).scope_logs.add()
    scoped.log_records.add(
        time_unix_nano=sent.at,
        observed_time_unix_nano=sent.at,
        severity_number=9,
        severity_text="INFO",
        body=AnyValue(string_value=f"otel-prefect doctor: test line of trace {sent.hex}"),
        trace_id=sent.trace_id,
        span_id=sent.span_id,
    )
    return request


def _pair(name: str, value: str) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(string_value=value))


# --- Where it is to be found --------------------------------------------------------------------


def _destinations(surroundings: Surroundings, sent: _Sent) -> Iterator[_Destination]:
    layers = surroundings.layers
    for layer in layers:
        if layer in ("traces/xray", "traces/xray-otlp"):
            yield _Destination(
                "delivery: X-Ray", layer, lambda: _in_xray(surroundings, sent), "xray:BatchGetTraces"
            )
        elif layer in ("logs/cloudwatch", "logs/cloudwatch-otlp"):
            yield _Destination(
                "delivery: CloudWatch Logs",
                layer,
                lambda: _in_log_group(surroundings, surroundings.value(semconv.ENV_LOG_GROUP), sent),
                "logs:FilterLogEvents",
            )
    if opensearch.needed(surroundings):
        yield from _in_opensearch(surroundings, sent)


def _in_xray(surroundings: Surroundings, sent: _Sent) -> bool:
    found = surroundings.aws.call("xray", "batch_get_traces", TraceIds=[sent.xray])
    if found.get("Traces"):
        return True
    # Where Transaction Search is on, most traces are not indexed, and that operation does not find them.
    try:
        destination = surroundings.aws.call("xray", "get_trace_segment_destination").get("Destination")
    except (Denied, Refused):
        destination = None
    return destination == CLOUDWATCH_LOGS and _in_log_group(surroundings, SPANS_GROUP, sent)


def _in_log_group(surroundings: Surroundings, group: str, sent: _Sent) -> bool:
    request: dict[str, Any] = {
        "logGroupName": group,
        "filterPattern": f'"{sent.hex}"',
        "startTime": sent.at // 1_000_000 - 600_000,
    }
    while True:
        try:
            answer = surroundings.aws.call("logs", "filter_log_events", **request)
        except Refused as error:
            if error.code == "ResourceNotFoundException":
                return False  # the Collector makes the group with the first event
            raise
        if any(sent.hex in event["message"] for event in answer["events"]):
            return True
        # An empty page is not the last one.
        if not answer.get("nextToken") or surroundings.left() <= _POLL_SECONDS:
            return False
        request["nextToken"] = answer["nextToken"]


def _in_opensearch(surroundings: Surroundings, sent: _Sent) -> Iterator[_Destination]:
    prefix = surroundings.value(semconv.ENV_OPENSEARCH_PREFIX)
    for signal, kind, field in (("traces", "spans", "traceId"), ("logs", "logs", "trace_id")):
        names = {layer.partition("/")[2] for layer in surroundings.layers if layer.startswith(signal)}
        if names & {"opensearch", "otlp", "opensearch-ingestion"}:
            yield _Destination(
                f"delivery: OpenSearch {kind}",
                f"{signal}/opensearch",
                lambda kind=kind, field=field: _searched(  # type: ignore[misc]
                    surroundings, f"{prefix}-{kind}*", field, sent
                ),
            )


def _searched(surroundings: Surroundings, index: str, field: str, sent: _Sent) -> bool:
    try:
        from opensearchpy.exceptions import NotFoundError, OpenSearchException  # noqa: PLC0415 - of an extra

        from otel_prefect.deploy import opensearch as setup  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise Unreachable(f"{error.name} is not installed") from error
    try:
        client = setup.connect(surroundings.environ)
        found = client.transport.perform_request(
            "POST",
            f"/{index}/_search",
            params={"request_timeout": 5},
            body={"query": {"term": {field: sent.hex}}},
        )
    except NotFoundError:
        return False
    except (setup.SetupError, OpenSearchException) as error:
        told = setup.reason(error) if isinstance(error, OpenSearchException) else str(error)
        raise Unreachable(told) from error
    return bool(found["hits"]["hits"])


# --- Waiting ------------------------------------------------------------------------------------


def _wait(waiting: list[_Destination], surroundings: Surroundings) -> Iterator[Finding]:
    """Look everywhere in turn until all is found; say of each how long it took, or why it was not found."""
    began = time.monotonic()
    while waiting:
        for each in tuple(waiting):
            finding = _look(each, surroundings, began)
            if finding is not None:
                waiting.remove(each)
                yield finding
        if waiting and surroundings.left() <= _POLL_SECONDS:
            break
        if waiting:
            time.sleep(_POLL_SECONDS)
    waited = time.monotonic() - began
    for each in waiting:
        yield Finding(
            each.what,
            Status.WRONG,
            f"not there after {waited:.0f} s: it waits in the sidecar's queue, or was refused",
            "look at what the sidecar's container has written",
        )


def _look(each: _Destination, surroundings: Surroundings, began: float) -> Finding | None:
    try:
        if not each.look():
            return None
    except Denied:
        told = f"sent; not read back: {each.action} is denied, and only this command needs it"
        statement = permissions.denied_to_doctor(each.action, surroundings)
        return Finding(each.what, Status.NOTE, told, statement=statement)
    except (NoBoto3, Unauthenticated) as error:
        why = "boto3 is not installed here" if isinstance(error, NoBoto3) else f"the credentials {error}"
        return Finding(each.what, Status.SKIPPED, f"sent; not read back: {why}")
    except (Unreachable, Refused, json.JSONDecodeError) as error:
        if surroundings.left() > _POLL_SECONDS:
            return None  # it may come back
        return Finding(each.what, Status.WRONG, f"sent; not read back: {error}")
    return Finding(each.what, Status.RIGHT, f"found after {time.monotonic() - began:.1f} s")
