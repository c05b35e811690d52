"""The log groups of CloudWatch: whether they are there, and how long they keep."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.doctor import permissions
from otel_prefect.doctor.aws import Denied, NoBoto3, Refused, Unauthenticated, Unreachable
from otel_prefect.doctor.findings import Finding, Status, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WHAT: Final = "log group"
_GROUPS: Final = {
    "logs/cloudwatch": semconv.ENV_LOG_GROUP,
    "logs/cloudwatch-otlp": semconv.ENV_LOG_GROUP,
    "metrics/emf": semconv.ENV_METRIC_LOG_GROUP,
}


def check(surroundings: Surroundings) -> Iterator[Finding]:
    """Look at each log group that the layers write to.

    The Collector makes the groups that are not there with their first event, where it may.
    """
    variables = dict.fromkeys(_GROUPS[layer] for layer in surroundings.layers if layer in _GROUPS)
    for variable in variables:
        name = surroundings.value(variable)
        yield _looked_at(_WHAT, name, "DescribeLogGroups", partial(_group, variable), surroundings)
    if "logs/cloudwatch" in surroundings.layers:
        name = surroundings.value(semconv.ENV_LOG_GROUP)
        yield _looked_at("log index", name, "DescribeIndexPolicies", _index, surroundings)
    if "logs/cloudwatch-otlp" in surroundings.layers:
        name = surroundings.environ.get(semconv.ENV_LOG_STREAM.name, "")
        yield _looked_at("log stream", name, "DescribeLogStreams", _stream, surroundings)


def _looked_at(
    what: str,
    name: str,
    operation: str,
    look: Callable[[str, Surroundings], Finding],
    surroundings: Surroundings,
) -> Finding:
    """Look at one thing, or say why it could not be looked at."""
    if surroundings.credentials:
        told = f"{name} is not looked at: the credentials {surroundings.credentials}"
        return Finding(what, Status.SKIPPED, told)
    try:
        return look(name, surroundings)
    except Denied:
        statement = permissions.denied_to_doctor(f"logs:{operation}", surroundings)
        told = f"{name}: logs:{operation} is denied; only this command needs it"
        return Finding(what, Status.NOTE, told, statement=statement)
    except NoBoto3:
        return Finding(what, Status.SKIPPED, f"{name} is not looked at: boto3 is not installed here")
    except (Unauthenticated, Unreachable, Refused) as error:
        return Finding(what, Status.SKIPPED, f"{name} cannot be looked at: {error}")


def _stream(name: str, surroundings: Surroundings) -> Finding:
    """Look for the stream that the OTLP endpoint needs: neither it nor the Collector makes one."""
    what, variable = "log stream", semconv.ENV_LOG_STREAM.name
    if not name:
        told = f"{variable} is not set here: the sidecar needs one that names a stream that is there"
        return Finding(what, Status.NOTE, told, f"{variable}=otel-prefect")
    group = surroundings.value(semconv.ENV_LOG_GROUP)
    try:
        answer = surroundings.aws.call(
            "logs", "describe_log_streams", logGroupName=group, logStreamNamePrefix=name
        )
    except Refused as error:
        if error.code != "ResourceNotFoundException":
            raise
        answer = {"logStreams": []}
    if any(stream["logStreamName"] == name for stream in answer["logStreams"]):
        return Finding(what, Status.RIGHT, f"{name} is there")
    create = f"aws logs create-log-stream --log-group-name {group} --log-stream-name {name}"
    return Finding(what, Status.WRONG, f"{name} is not there ({variable})", create)


def _index(name: str, surroundings: Surroundings) -> Finding:
    """Look whether a run's records are found without looking at all others: for money and time."""
    what, field = "log index", semconv.XRAY_TRACE_ID
    try:
        answer = surroundings.aws.call("logs", "describe_index_policies", logGroupIdentifiers=[name])
    except Refused as error:
        if error.code != "ResourceNotFoundException":
            raise
        return Finding(what, Status.SKIPPED, f"{name} is not there")
    # The fields are a list, or the keys of an object: FieldsV2.
    if any(f'"{field}"' in policy.get("policyDocument", "") for policy in answer["indexPolicies"]):
        return Finding(what, Status.RIGHT, f"{name} has an index on {field}")
    told = f"{name} has no index on {field}: `otel-prefect trace` and `logs` look at all that was logged then"
    fields = json.dumps({"Fields": [semconv.RECORD_FLOW_RUN_ID, field]})
    create = f"aws logs put-index-policy --log-group-identifier {name} --policy-document '{fields}'"
    return Finding(what, Status.NOTE, told, create)


def _group(variable: semconv.Variable, name: str, surroundings: Surroundings) -> Finding:
    found = _describe(name, surroundings)
    days = surroundings.value(semconv.ENV_LOG_RETENTION_DAYS)
    retain = f"aws logs put-retention-policy --log-group-name {name} --retention-in-days {days}"
    if found is None:
        return _missing(name, variable, retain)
    return _retention(name, found.get("retentionInDays"), days, retain)


def _describe(name: str, surroundings: Surroundings) -> dict[str, Any] | None:
    answer = surroundings.aws.call("logs", "describe_log_groups", logGroupNamePrefix=name)
    groups: list[dict[str, Any]] = answer["logGroups"]
    return next((group for group in groups if group["logGroupName"] == name), None)


def _retention(name: str, kept: int | None, days: str, retain: str) -> Finding:
    if kept is None:
        return Finding(_WHAT, Status.NOTE, f"{name} keeps its events for ever", retain)
    if days.isdecimal() and kept < int(days):
        # The layer gives old events a time that a group of so many days takes: see logs/cloudwatch.yaml.
        told = f"{name} keeps events {kept} days and {semconv.ENV_LOG_RETENTION_DAYS.name} is {days}: "
        told += "events that are older than the group keeps are refused"
        return Finding(_WHAT, Status.WRONG, told, f"{semconv.ENV_LOG_RETENTION_DAYS.name}={kept}")
    return Finding(_WHAT, Status.RIGHT, f"{name} keeps events {kept} days")


def _missing(name: str, variable: semconv.Variable, retain: str) -> Finding:
    create = f"aws logs create-log-group --log-group-name {name} && {retain}"
    if variable is semconv.ENV_METRIC_LOG_GROUP:
        # Metrics leave once a minute: a sidecar that has just started has not made it yet.
        told = f"{name} is not there; the Collector makes it with the first metrics, where it may"
        return Finding(_WHAT, Status.NOTE, told, create)
    return Finding(_WHAT, Status.WRONG, f"{name} is not there ({variable.name})", create)
