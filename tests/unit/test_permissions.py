"""The table of what AWS has to allow."""

from __future__ import annotations

import re

import pytest

from otel_prefect.collector import start
from otel_prefect.deploy import permissions

VARIABLES = {
    "partition": "aws",
    "region": "eu-west-1",
    "account": "123456789012",
    "log_group": "/otel-prefect",
    "metric_log_group": "/otel-prefect/metrics",
    "opensearch_domain": "logs",
    "ingestion_pipeline": "otel",
    "prometheus_workspace": "ws-1",
    "file_system": "fs-0123456789abcdef0",
}
# What sends nothing to AWS, or without AWS's credentials.
ELSEWHERE = {"none", "debug", "otlp", "opensearch", "prometheus"}


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_every_layer_that_sends_to_aws_has_a_row(signal: str) -> None:
    for name in set(start.known_layers(signal)) - ELSEWHERE:
        assert permissions.needed([f"{signal}/{name}"]), f"{signal}/{name}"


def test_layers_elsewhere_need_nothing() -> None:
    assert permissions.needed(["traces/otlp", "logs/opensearch", "metrics/prometheus", "traces/none"]) == ()


@pytest.mark.parametrize("row", permissions.TABLE, ids=lambda row: f"{row.action}-{row.why}")
def test_a_row_names_an_action_and_a_resource_of_that_service(row: permissions.Permission) -> None:
    assert re.fullmatch(r"[a-z]+:[A-Z][A-Za-z]+", row.action)
    resource = row.on(VARIABLES)
    assert "$" not in resource
    assert resource == "*" or resource.startswith(f"arn:aws:{row.service}:eu-west-1:123456789012:")


def test_the_default_layers_need_five_rows_and_no_more() -> None:
    rows = permissions.needed(["traces/xray", "logs/cloudwatch", "metrics/emf"])
    assert [(row.action, row.on(VARIABLES).rpartition("log-group:")[2]) for row in rows] == [
        ("xray:PutTraceSegments", "*"),
        ("logs:CreateLogStream", "/otel-prefect:*"),
        ("logs:PutLogEvents", "/otel-prefect:log-stream:*"),
        ("logs:CreateLogStream", "/otel-prefect/metrics:*"),
        ("logs:PutLogEvents", "/otel-prefect/metrics:log-stream:*"),
    ]


def test_a_statement_has_lists_only_where_there_are_several() -> None:
    (row,) = permissions.needed(["traces/xray"])
    assert permissions.statement([row], VARIABLES) == {
        "Effect": "Allow",
        "Action": "xray:PutTraceSegments",
        "Resource": "*",
    }
    rows = permissions.needed(["traces/xray-otlp"])
    assert permissions.statement(rows, VARIABLES)["Action"] == ["xray:PutSpans", "xray:PutSpansForIndexing"]
