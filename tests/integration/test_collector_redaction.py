"""Redaction: secrets and e-mail addresses are masked before they leave, and nothing else is."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import yaml

from otel_prefect.collector import start as collector
from tests.support import otlp, sidecar
from tests.support.otlp_sink import attributes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.otlp_sink import OtlpSink

RUN = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE, SPAN = RUN.replace("-", ""), "53995c3f42cd8ad8"
MASK = "****"
# Made up, and put together here so that nobody's scanner takes them for real ones.
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "dBjftJeZ4CVP"
SECRETS = {
    "key AKIA" + "IOSFODNN7EXAMPLE is used": "key **** is used",
    "pnu_" + "a1B2c3D4e5F6g7H8i9J0": MASK,
    "ghp_" + "x" * 36: MASK,
    f"sent {JWT} along": "sent **** along",
    "sent Authorization: Bearer abc.def-ghi, then": "sent ****, then",
    "with bearer abcdefghijklmnopqrstuvwxyz0123": "with ****",
    "login with password=hunter2, retry": "login with ****, retry",
    "postgresql://etl:hunter2@db.internal:5432/sales": "postgresql****db.internal:5432/sales",
    "mail jane.doe+x@data.example.com now": "mail **** now",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nrest": "****\nrest",
}
PLAIN = [
    "loaded 1024 rows from s3://bucket/day=2026-03-01/part-0.parquet in 1.5 s",
    "GET http://prefect.internal:4200/api/flow_runs/" + RUN,
    "no such table: tokens",
    "secretary and passwords are words",
    "basic validation passed, and the bearer authentication scheme is documented",
]


def export(running: sidecar.RunningSidecar, request: Any, service: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        path = f"/opentelemetry.proto.collector.{service}/Export"
        channel.unary_unary(path)(request.SerializeToString(), timeout=10)


@pytest.fixture
def received(sink: OtlpSink, tmp_path: Path) -> OtlpSink:
    """What a sidecar with redaction on sends on of spans, log records and a metric full of secrets."""
    resource = {"service.name": "flow", "prefect.flow-run.id": RUN, "db.password": "hunter2"}
    texts = {f"text.{n}": text for n, text in enumerate([*SECRETS, *PLAIN])}
    keys = {"api_key": "x1", "http.request.header.authorization": "y", "token": 42, "input_tokens": 42}
    exception = {
        "name": "exception",
        "attributes": otlp.key_values(
            {"exception.message": next(text for text in SECRETS if "hunter2" in text)}
        ),
    }
    layers = {f"OTEL_PREFECT_{signal}": "otlp" for signal in ("TRACES", "LOGS", "METRICS")}
    endpoint = {"OTEL_PREFECT_OTLP_ENDPOINT": f"127.0.0.1:{sink.grpc_port}"}
    with sidecar.running(tmp_path, OTEL_PREFECT_REDACTION="true", **layers, **endpoint) as running:
        spans = [
            otlp.span("load", TRACE, SPAN, attributes={**texts, **keys}, events=[exception]),
            *(
                otlp.span(f"status {n}", TRACE, f"{n:016x}", status={"code": 2, "message": text})
                for n, text in enumerate([*SECRETS, *PLAIN], 1)
            ),
        ]
        export(running, otlp.traces(resource, *spans), "trace.v1.TraceService")
        records = [
            *(otlp.record(text) for text in [*SECRETS, *PLAIN]),
            otlp.record(
                {"a": {"b": next(text for text in SECRETS if "hunter2" in text)}, "password": "hunter2"}
            ),
        ]
        export(running, otlp.logs(resource, *records), "logs.v1.LogsService")
        metric = otlp.counter(
            resource,
            "rows.loaded",
            3,
            "{row}",
            {"user": next(text for text in SECRETS if "jane" in text), "n": 1},
        )
        export(running, metric, "metrics.v1.MetricsService")
        running.stop()
    return sink


def test_secrets_are_masked_wherever_they_stand_and_the_rest_is_left(received: OtlpSink) -> None:
    span = received.span("load")
    expected = [*SECRETS.values(), *PLAIN]
    assert [span.attributes[f"text.{n}"] for n in range(len(expected))] == expected
    assert span.resource["db.password"] == MASK
    assert span.resource["prefect.flow-run.id"] == RUN
    assert (span.attributes["api_key"], span.attributes["http.request.header.authorization"]) == (MASK, MASK)
    assert (span.attributes["token"], span.attributes["input_tokens"]) == (MASK, 42)
    assert "hunter2" not in str(span.record.events)
    statuses = [received.span(f"status {n}").record.status.message for n in range(1, len(expected) + 1)]
    assert statuses == expected
    bodies = [log.record.body for log in received.logs()]
    assert [body.string_value for body in bodies[:-1]] == expected
    assert "hunter2" not in str(bodies[-1])
    (metric,) = [
        each
        for request in received.metric_requests
        for of_resource in request.resource_metrics
        for each in of_resource.scope_metrics[0].metrics
        if each.name == "rows.loaded"
    ]
    assert attributes(metric.sum.data_points[0].attributes) == {"user": "mail **** now", "n": 1}
    assert not any(b"hunter2" in body for bodies_ in received.raw.values() for body in bodies_)


def test_both_lists_of_patterns_are_the_same() -> None:
    config = yaml.safe_load((collector.config_dir() / "redaction.yaml").read_text())
    patterns = config["processors"]["redaction"]["blocked_values"]
    (of_spans,) = config["processors"]["transform/redaction"]["trace_statements"]
    assert of_spans["statements"] == [
        'replace_pattern(span.status.message, "{}", "****")'.format(
            pattern.replace("\\", "\\\\").replace('"', '\\"')
        )
        for pattern in patterns
    ]


def test_a_value_that_is_neither_true_nor_false_is_said(tmp_path: Path) -> None:
    environ = sidecar.environment(tmp_path, OTEL_PREFECT_REDACTION="yes")
    done = subprocess.run(
        sidecar.COMMAND,
        cwd=sidecar.ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "OTEL_PREFECT_REDACTION='yes': true or false is needed" in done.stderr
