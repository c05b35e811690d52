"""Adds the run to messages and invocations: SQS, SNS, EventBridge, Lambda, Step Functions.

Only what AWS has beside a payload is used: message attributes, trace headers, the client context. A payload
is never touched: it may be hashed, compared, checked against a schema, or make a repeated start idempotent.

Each function takes a boto3 client, the call's parameters and the variables, and returns changed parameters,
or None where the call is to be left as it is. ``otel_prefect.joined`` reads on the other side what is added.
"""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any

from otel_prefect import propagation, semconv
from otel_prefect.guard import warn_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_logger = logging.getLogger(__name__)

# SQS: "Each message can have up to 10 attributes". SNS has no such limit of its own, but drops a message with
# more for a queue with raw delivery:
# https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
_MOST_ATTRIBUTES = 10
# 256 KiB for SNS and for all of a batch; SQS takes 1 MiB now, unless a queue says less:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
_MESSAGE_LIMIT = 256 * 1024
# "Up to 3,583 bytes of base64-encoded data": https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
_CLIENT_CONTEXT_LIMIT = 3583


def send_message(_: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Add message attributes, and the trace header, which is a system attribute and no part of the size."""
    return _with_trace_header(_with_attributes(params, variables, _size(params, "MessageBody")))


def send_message_batch(_: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Add the same to each message of a batch."""
    entries = _batch(params.get("Entries", ()), variables, "MessageBody")
    return {**params, "Entries": [_with_trace_header(entry) for entry in entries]}


def publish(_: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Add message attributes to what goes to a topic; SMS and pushes to a phone have their own meaning."""
    if "TopicArn" not in params and ":endpoint/" in str(params.get("TargetArn", ":endpoint/")):
        return None
    return _with_attributes(params, variables, _size(params, "Message"))


def publish_batch(_: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Add the same to each message of a batch."""
    return {
        **params,
        "PublishBatchRequestEntries": _batch(
            params.get("PublishBatchRequestEntries", ()), variables, "Message"
        ),
    }


def put_events(_: Any, params: Mapping[str, Any], __: Mapping[str, str]) -> dict[str, Any] | None:
    """Set each entry's ``TraceHeader``, which EventBridge hands on to its targets."""
    header = propagation.xray_trace_header()
    if header is None:
        return None
    return {**params, "Entries": [{"TraceHeader": header, **entry} for entry in params.get("Entries", ())]}


def start_execution(_: Any, params: Mapping[str, Any], __: Mapping[str, str]) -> dict[str, Any] | None:
    """Set ``traceHeader``. The input stays: with the same name and input a start is idempotent."""
    header = propagation.xray_trace_header()
    return None if header is None else {"traceHeader": header, **params}


def invoke(_: Any, params: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Add to ``custom`` of the client context, which only a synchronous invocation is given."""
    if params.get("InvocationType", "RequestResponse") != "RequestResponse":
        return None
    context = _client_context(params.get("ClientContext"))
    if context is None:
        return None
    context["custom"] = {**variables, **(context.get("custom") or {})}
    encoded = base64.b64encode(json.dumps(context).encode()).decode()
    if len(encoded) > _CLIENT_CONTEXT_LIMIT:
        warn_once(
            _logger,
            "lambda.invoke is left as it is: its ClientContext would have %d bytes with the run's variables, "
            "Lambda takes %d. The function will not know its run; pass less",
            len(encoded),
            _CLIENT_CONTEXT_LIMIT,
        )
        return None
    return {**params, "ClientContext": encoded}


def _client_context(given: str | None) -> dict[str, Any] | None:
    """Return the caller's own context, None where it is not what Lambda's runtimes can read."""
    if not given:
        return {}
    try:
        context = json.loads(base64.b64decode(given))
    except ValueError:
        return None
    return (
        context if isinstance(context, dict) and isinstance(context.get("custom", {}), dict | None) else None
    )


def _batch(
    entries: Sequence[Mapping[str, Any]], variables: Mapping[str, str], body: str
) -> list[dict[str, Any]]:
    total = sum(_size(entry, body) for entry in entries)
    changed = []
    for entry in entries:
        added = _with_attributes(entry, variables, total)
        total += _size(added, body) - _size(entry, body)
        changed.append(added)
    return changed


def _with_attributes(message: Mapping[str, Any], variables: Mapping[str, str], size: int) -> dict[str, Any]:
    """Return a message with as many of the variables as have room, ``traceparent`` first.

    Args:
        message: of SQS or SNS, or an entry of a batch.
        variables: of ``propagation_env``.
        size: bytes of all that is sent together.
    """
    attributes = dict(message.get("MessageAttributes") or {})
    missing = {name: value for name, value in _named(variables).items() if name not in attributes}
    for name, value in missing.items():
        size += _attribute_size(name, value)
        if len(attributes) >= _MOST_ATTRIBUTES or size > _MESSAGE_LIMIT:
            warn_once(
                _logger,
                "a message leaves without %s as a message attribute: with it there would be more than %d "
                "attributes or %d bytes",
                name,
                _MOST_ATTRIBUTES,
                _MESSAGE_LIMIT,
            )
            break
        attributes[name] = {"DataType": "String", "StringValue": value}
    return {**message, "MessageAttributes": attributes} if attributes else dict(message)


def _named(variables: Mapping[str, str]) -> dict[str, str]:
    """Return attribute names → values. ``traceparent`` is W3C's, which OTel's instrumentations look for."""
    trace_context = semconv.ENV_TRACEPARENT.name
    others = {name: value for name, value in variables.items() if name != trace_context}
    if trace_context not in variables:
        return others
    return {semconv.MESSAGE_TRACEPARENT: variables[trace_context], **others}


def _with_trace_header(message: dict[str, Any]) -> dict[str, Any]:
    header = propagation.xray_trace_header()
    if header is None:
        return message
    added = {semconv.MESSAGE_XRAY_TRACE_HEADER: {"DataType": "String", "StringValue": header}}
    return {**message, "MessageSystemAttributes": {**added, **(message.get("MessageSystemAttributes") or {})}}


def _size(message: Mapping[str, Any], body: str) -> int:
    """Return what SQS and SNS count: the body, and of each attribute its name, type and value."""
    attributes = message.get("MessageAttributes") or {}
    return len(str(message.get(body, "")).encode()) + sum(
        _attribute_size(name, value.get("StringValue") or value.get("BinaryValue") or "")
        for name, value in attributes.items()
    )


def _attribute_size(name: str, value: str | bytes) -> int:
    raw = value.encode() if isinstance(value, str) else value
    return len(name.encode()) + len("String") + len(raw)
