"""Work on a message or an invocation belongs to the run that sent it: what ``aws_messages`` added is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry import trace

from otel_prefect import environment, ids, runs, semconv
from otel_prefect.guard import never_raises

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names that are looked for, in attributes of messages and in plain mappings: as they stand there → as
# `environment.read` knows them.
_NAMES = {
    semconv.MESSAGE_TRACEPARENT: semconv.ENV_TRACEPARENT.name,
    **{
        variable.name: variable.name
        for variable in (
            semconv.ENV_FLOW_RUN_ID,
            semconv.ENV_LOG_CORRELATION_ID,
            semconv.ENV_SOURCE,
            semconv.ENV_STAGE,
            semconv.ENV_TRACEPARENT,
        )
    },
}


@contextmanager
def joined(received: object) -> Iterator[None]:
    """Make the code of the block part of the run that sent something.

    Spans, log records and calls of boto3 in the block are the run's: children of the span that sent it, with
    its ids and its ``SOURCE``. Where nothing is found, the block runs as it would without. Malformed ids are
    ignored, with a warning that shows them. An exception of the block passes unchanged.

    Args:
        received: a message of ``sqs.receive_message`` (ask for ``MessageAttributeNames=["All"]`` and
            ``MessageSystemAttributeNames=["AWSTraceHeader"]``), one of a Lambda's ``event["Records"]`` from
            SQS or SNS, the ``context`` of a Lambda that was invoked, or any mapping with what
            ``propagation_env`` returned, such as the input of a state machine.
    """
    told = _told(received)
    if told is None:
        yield
        return
    parent = trace.INVALID_SPAN if told.parent is None else trace.NonRecordingSpan(told.parent)
    token = context_api.attach(trace.set_span_in_context(parent))
    try:
        with runs.joined(told):
            yield
    finally:
        context_api.detach(token)


@never_raises(None)
def _told(received: object) -> environment.Environment | None:
    variables = _variables(received)
    if not variables:
        return None
    told = environment.read(variables, argv=())
    return told if told.trace_id is not None else None


def _variables(received: object) -> dict[str, str]:
    """Return what was sent along, under the names of the variables."""
    custom = getattr(getattr(received, "client_context", None), "custom", None)
    carrier = custom if isinstance(custom, Mapping) else received
    if not isinstance(carrier, Mapping):
        return {}
    found: dict[str, str] = {}
    for part in (carrier, *_attributes(carrier)):
        for name, known_as in _NAMES.items():
            value = _text(part.get(name))
            if value:
                found.setdefault(known_as, value)
    header = _trace_header(carrier)
    if header is not None:
        found.setdefault(semconv.ENV_TRACEPARENT.name, header)
    return found


def _attributes(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the message attributes of SQS or SNS, in whatever form they came."""
    for holder in (message, message.get("Sns"), _notification(message.get("Body", message.get("body")))):
        if isinstance(holder, Mapping):
            for key in ("MessageAttributes", "messageAttributes"):
                if isinstance(holder.get(key), Mapping):
                    yield holder[key]


def _notification(body: object) -> object:
    """Return what SNS puts into a queue without raw delivery: the notification, as JSON."""
    if not isinstance(body, str) or '"Notification"' not in body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str | None:
    """Return a value: as it is, or out of an attribute of SQS (boto3, Lambda) or SNS."""
    if isinstance(value, Mapping):
        value = next(
            (value[key] for key in ("StringValue", "stringValue", "Value") if value.get(key) is not None),
            None,
        )
    return value if isinstance(value, str) else None


def _trace_header(message: Mapping[str, Any]) -> str | None:
    """Return the X-Ray header of a message of SQS as a ``traceparent``; None without a parent in it."""
    attributes = message.get("Attributes", message.get("attributes"))
    text = attributes.get(semconv.MESSAGE_XRAY_TRACE_HEADER) if isinstance(attributes, Mapping) else None
    if not isinstance(text, str):
        return None
    parts = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
    if "Parent" not in parts:
        return None
    try:
        trace_id = ids.parse_xray_trace_id(parts.get("Root", ""))
    except ValueError:
        return None
    return f"00-{trace_id:032x}-{parts['Parent']}-{'00' if parts.get('Sampled') == '0' else '01'}"
