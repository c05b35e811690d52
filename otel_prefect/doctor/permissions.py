"""Tries each action that the layers need, so that nothing comes of it but the answer."""

from __future__ import annotations

import re
from importlib import util
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.collector import start as collector
from otel_prefect.deploy import permissions
from otel_prefect.doctor import aws as aws_module
from otel_prefect.doctor.aws import Denied, NoBoto3, Refused, Unauthenticated, Unreachable
from otel_prefect.doctor.findings import Finding, Status, Surroundings
from otel_prefect.http_request import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_prefect.deploy.permissions import Permission

_AUTO: Final = f"traces/{collector.AUTO}"
STREAM: Final = "otel-prefect-doctor"
"""The log stream that is made to find out whether streams may be made; it stays empty."""
_NO_STREAM: Final = "otel-prefect-doctor-no-such-stream"

# AWS's own words, for principals of all kinds:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
_DENIED: Final = re.compile(
    r"not authorized to perform"
    r"(?:.*?(?P<explicit>with an explicit deny)(?: in (?P<where>an? [\w -]+?(?:policy|boundary)))?)?"
    r"(?:.*?because no (?P<lacking>[\w -]+?) allows)?"
)
# That these do not allow it is what a statement mends by itself.
_OWN: Final = ("identity-based policy", None)
# These answers come after the action was allowed.
_CARRIED_OUT: Final = {
    "ResourceNotFoundException",
    "ResourceAlreadyExistsException",
    "InvalidRequestException",
    "InvalidParameterException",
}


def check(surroundings: Surroundings) -> Iterator[Finding]:
    """Try every action that the layers need."""
    rows = [*permissions.needed(surroundings.layers)]
    if util.find_spec("aws_xray_sdk") is not None and rows:
        rows += permissions.needed([permissions.XRAY_SDK])
    if collector.writes_to_managed_prometheus(surroundings.environ):
        rows += permissions.needed([permissions.MANAGED_PROMETHEUS])
    if surroundings.picked is not None:  # what only the picking needs
        rows += [row for row in permissions.TABLE if row.needed_by == (_AUTO,)]
    if not rows:
        return
    if surroundings.credentials:
        told = f"not tried: the credentials {surroundings.credentials}"
        yield Finding("permissions", Status.SKIPPED, told)
        return
    try:
        variables = surroundings.aws.variables()
    except NoBoto3:
        yield Finding("permissions", Status.SKIPPED, "boto3 is not installed here")
        return
    for row in rows:
        yield _try(row, surroundings, variables)


def _try(row: Permission, surroundings: Surroundings, variables: Mapping[str, str]) -> Finding:
    resource = _short(row.on(variables))
    dry = _DRY.get(row.action)
    if dry is None:
        return Finding(row.action, Status.SKIPPED, f"cannot be tried without effect: {row.why}")
    if row.action == "logs:CreateLogStream" and not surroundings.send:
        return Finding(row.action, Status.SKIPPED, "not tried with --no-send: it would make a log stream")
    try:
        dry(surroundings, row)
    except Denied as error:
        return _denied(row, surroundings, variables, str(error))
    except (Unauthenticated, Unreachable, NoAnswer) as error:
        return Finding(row.action, Status.SKIPPED, f"cannot be told on {resource}: {_said(error)}")
    except Refused as error:
        if error.code not in _CARRIED_OUT:
            return _refused(row, resource, error)
    return Finding(row.action, Status.RIGHT, f"allowed on {resource}")


def _refused(row: Permission, resource: str, error: Refused) -> Finding:
    if "CloudWatch Logs" in error.message and "Destination" in error.message:
        return Finding(
            row.action,
            Status.WRONG,
            f"Transaction Search is not on: {error.message}",
            "aws xray update-trace-segment-destination --destination CloudWatchLogs",
        )
    status = Status.WRONG if error.code == "403" else Status.NOTE
    return Finding(row.action, status, f"cannot be told on {resource}: AWS answers {error}")


def _denied(
    row: Permission, surroundings: Surroundings, variables: Mapping[str, str], message: str
) -> Finding:
    optional = not any(layer in surroundings.layers for layer in row.needed_by) and (
        permissions.MANAGED_PROMETHEUS not in row.needed_by
    )
    if not optional:
        surroundings.denied.update(layer for layer in row.needed_by if layer in surroundings.layers)
    status = Status.NOTE if optional else Status.WRONG
    told = f"denied on {_short(row.on(variables))}; it {row.why}"
    found = _DENIED.search(message)
    if found and found["explicit"]:
        where = found["where"] or "a policy"
        return Finding(row.action, status, f"{told}; {where} denies it", f"take the Deny out of {where}")
    lacking = found["lacking"] if found else None
    mend = "" if lacking in _OWN else f"have the {lacking} allow it too:"
    return Finding(row.action, status, told, mend, permissions.statement([row], variables))


def denied_to_doctor(row_action: str, surroundings: Surroundings) -> Mapping[str, Any]:
    """Return the statement that lets the doctor do one of its own actions on all that it looks at."""
    rows = [row for row in permissions.needed([permissions.DOCTOR]) if row.action == row_action]
    return permissions.statement(rows, surroundings.aws.variables())


def _short(resource: str) -> str:
    """Return an ARN without what all of them begin with."""
    return resource.split(":", 5)[-1]


def _said(error: Exception) -> str:
    return f"the credentials {error}" if isinstance(error, Unauthenticated) else str(error)


# --- What is tried: it raises where the answer is not the one that follows on "allowed" --------------


def _put_trace_segments(surroundings: Surroundings, _: Permission) -> None:
    # A document without an id is answered with 200, and named among the unprocessed:
    # https://docs.aws.amazon.com/xray/latest/api/API_PutTraceSegments.html
    surroundings.aws.call("xray", "put_trace_segments", TraceSegmentDocuments=["{}"])


def _get_destination(surroundings: Surroundings, _: Permission) -> None:
    surroundings.aws.call("xray", "get_trace_segment_destination")


def _get_sampling_rules(surroundings: Surroundings, _: Permission) -> None:
    surroundings.aws.call("xray", "get_sampling_rules")


def _get_sampling_targets(surroundings: Surroundings, _: Permission) -> None:
    surroundings.aws.call("xray", "get_sampling_targets", SamplingStatisticsDocuments=[])


def _create_log_stream(surroundings: Surroundings, row: Permission) -> None:
    surroundings.aws.call(
        "logs", "create_log_stream", logGroupName=_group(surroundings, row), logStreamName=STREAM
    )


def _put_log_events(surroundings: Surroundings, row: Permission) -> None:
    if any(layer in surroundings.layers for layer in row.needed_by if layer.endswith("-otlp")):
        _post(surroundings, "logs/cloudwatch-otlp")
        if "logs/cloudwatch" not in surroundings.layers:
            return
    # There is no such stream, so nothing is written.
    surroundings.aws.call(
        "logs",
        "put_log_events",
        logGroupName=_group(surroundings, row),
        logStreamName=_NO_STREAM,
        logEvents=[{"timestamp": 0, "message": "otel-prefect doctor"}],
    )


def _put_spans(surroundings: Surroundings, _: Permission) -> None:
    _post(surroundings, "traces/xray-otlp")


def _put_metric_data(surroundings: Surroundings, _: Permission) -> None:
    _post(surroundings, "metrics/cloudwatch-otlp")


def _ingest(surroundings: Surroundings, row: Permission) -> None:
    for layer in row.needed_by:
        if layer in surroundings.layers:
            _post(surroundings, layer)


def _remote_write(surroundings: Surroundings, _: Permission) -> None:
    _post(surroundings, "metrics/prometheus")


def _post(surroundings: Surroundings, layer: str) -> None:
    headers, body = {}, b""
    if layer == "metrics/prometheus":
        # https://prometheus.io/docs/specs/prw/remote_write_spec/; nothing, as snappy writes it.
        headers = {"content-encoding": "snappy", "x-prometheus-remote-write-version": "0.1.0"}
        body = b"\0"
    if layer == "logs/cloudwatch-otlp":
        group = surroundings.value(semconv.ENV_LOG_GROUP)
        headers = {"x-aws-log-group": group, "x-aws-log-stream": _NO_STREAM}
    answer = surroundings.aws.post(layer, headers, min(8.0, surroundings.left()), body)
    code = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    if answer.status == 403:
        # What an OTLP client is told is not documented: other services name a code, or say so in words.
        guess = "AccessDeniedException" if "not authorized" in answer.text() else "403"
        raise aws_module.problem(code or guess, answer.text())
    # Any other answer to an empty request comes from behind the gate.
    if answer.status == 400 and "Destination" in answer.text():
        raise Refused(code or "400", answer.text())
    if answer.status >= 500 or answer.status == 429:
        raise Refused(str(answer.status), answer.text())


def _group(surroundings: Surroundings, row: Permission) -> str:
    of_metrics = "${metric_log_group}" in row.resource
    return surroundings.value(semconv.ENV_METRIC_LOG_GROUP if of_metrics else semconv.ENV_LOG_GROUP)


_DRY: Final[Mapping[str, Callable[[Surroundings, Permission], None]]] = {
    "xray:PutTraceSegments": _put_trace_segments,
    "xray:GetTraceSegmentDestination": _get_destination,
    "xray:GetSamplingRules": _get_sampling_rules,
    "xray:GetSamplingTargets": _get_sampling_targets,
    "xray:PutSpans": _put_spans,
    "xray:PutSpansForIndexing": _put_spans,
    "logs:CreateLogStream": _create_log_stream,
    "logs:PutLogEvents": _put_log_events,
    "cloudwatch:PutMetricData": _put_metric_data,
    "osis:Ingest": _ingest,
    "aps:RemoteWrite": _remote_write,
}
