"""What calls of a pipeline are in X-Ray: documents by its rules, and what it draws as other services."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_collector_aws import Run, segments, stand_in
from tests.support import otlp
from tests.support.segment_documents import problems

if TYPE_CHECKING:
    from demo import aws
    from tests.support.collector import RunningCollector

__all__ = ["stand_in"]
CLIENT = 3
S3: dict[str, Any] = {
    "rpc.system": "aws-api",
    "rpc.service": "S3",
    "rpc.method": "GetObject",
    "cloud.region": "eu-west-1",
    "server.address": "s3.eu-west-1.amazonaws.com",
    "aws.request_id": "0A1B",
    "http.status_code": 200,
}
# Each as today's instrumentations write it, and as those of the conventions before do.
HTTP: dict[str, Any] = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "url.full": "https://api.example.com/v1/orders",
    "server.address": "api.example.com",
}
OLD_HTTP: dict[str, Any] = {
    "http.method": "GET",
    "http.status_code": 200,
    "http.url": "https://api.example.com/v1/orders",
    "net.peer.name": "api.example.com",
}
SQL: dict[str, Any] = {
    "db.system.name": "postgresql",
    "db.namespace": "sales",
    "db.query.text": "select 1",
    "server.address": "db.example.com",
}
OLD_SQL: dict[str, Any] = {
    "db.system": "postgresql",
    "db.name": "sales",
    "db.statement": "select 1",
    "net.peer.name": "db.example.com",
}


@pytest.fixture
def run() -> Run:
    return Run()


def sent(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run, name: str, attributes: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """Send a process with one call; return the call's document, after both were held to the rules."""
    moto, started = stand_in
    root, call = secrets.token_hex(8), secrets.token_hex(8)
    started.send(
        otlp.traces(
            run.resource,
            otlp.span("load", run.trace_id, root),
            otlp.span(name, run.trace_id, call, root, kind=CLIENT, attributes=attributes, **more),
        )
    )
    found = segments(moto, run, 2)
    assert problems(found.values()) == []
    return found[call]


def test_a_call_of_s3_is_one_of_aws(stand_in: tuple[aws.Aws, RunningCollector], run: Run) -> None:
    found = sent(stand_in, run, "S3.GetObject", S3)
    assert (found["name"], found["namespace"]) == ("S3", "aws")
    assert found["aws"]["operation"] == "GetObject"
    assert found["aws"]["region"] == "eu-west-1"
    assert found["http"]["response"]["status"] == 200


@pytest.mark.parametrize("attributes", [HTTP, OLD_HTTP])
def test_a_call_over_http_is_of_the_host_that_was_called(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run, attributes: dict[str, Any]
) -> None:
    found = sent(stand_in, run, "GET", attributes)
    assert (found["name"], found["namespace"]) == ("api.example.com", "remote")
    assert found["http"]["request"] == {"method": "GET", "url": "https://api.example.com/v1/orders"}
    assert (found["fault"], found["error"], found["throttle"]) == (False, False, False)


@pytest.mark.parametrize("attributes", [SQL, OLD_SQL])
def test_a_call_of_a_database_is_of_that_database_with_its_statement(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run, attributes: dict[str, Any]
) -> None:
    found = sent(stand_in, run, "SELECT sales", attributes)
    assert (found["name"], found["namespace"]) == ("sales@db.example.com", "remote")
    assert found["sql"]["sanitized_query"] == "select 1"
    assert found["sql"]["database_type"] == "postgresql"


def test_a_database_without_a_host_is_of_its_name(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    found = sent(stand_in, run, "SELECT", {"db.system": "sqlite", "db.name": "warehouse.db"})
    assert (found["name"], found["namespace"]) == ("warehouse.db", "remote")


def test_what_the_user_calls_a_service_wins(stand_in: tuple[aws.Aws, RunningCollector], run: Run) -> None:
    assert sent(stand_in, run, "GET", {**HTTP, "peer.service": "orders"})["name"] == "orders"


@pytest.mark.parametrize(
    ("status", "flags"),
    [(500, (True, False, False)), (404, (False, True, False)), (429, (False, True, True))],
)
def test_a_refusal_is_a_fault_an_error_or_a_throttle_by_its_status(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run, status: int, flags: tuple[bool, bool, bool]
) -> None:
    attributes = {**HTTP, "http.response.status_code": status}
    found = sent(stand_in, run, "GET", attributes, status={"code": 2})
    assert (found["fault"], found["error"], found["throttle"]) == flags


def test_an_exception_comes_with_its_frames(stand_in: tuple[aws.Aws, RunningCollector], run: Run) -> None:
    trace = (
        'Traceback (most recent call last):\n  File "load.py", line 12, in read\n    raise\nEOFError: early\n'
    )
    said = {
        "exception.type": "EOFError",
        "exception.message": "early",
        "exception.stacktrace": trace,
    }
    event = {"name": "exception", "timeUnixNano": time.time_ns(), "attributes": otlp.key_values(said)}
    run.resource["telemetry.sdk.language"] = "python"
    found = sent(stand_in, run, "read", {}, status={"code": 2}, events=[event])
    (caught,) = found["cause"]["exceptions"]
    assert (caught["type"], caught["message"]) == ("EOFError", "early")
    assert caught["stack"] == [{"path": "load.py", "line": 12, "label": "read"}]


def test_a_link_to_another_span_is_kept(stand_in: tuple[aws.Aws, RunningCollector], run: Run) -> None:
    span_id = secrets.token_hex(8)
    other = {"traceId": otlp.id_(secrets.token_hex(16)), "spanId": otlp.id_(span_id)}
    found = sent(stand_in, run, "read", {}, links=[other])
    assert [each["id"] for each in found["links"]] == [span_id]
