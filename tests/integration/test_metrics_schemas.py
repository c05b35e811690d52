"""The last known form of a table in S3 (moto), as a container of the pipeline keeps it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from demo import aws
from demo.processes import Processes
from otel_prefect import semconv
from tests.support.instrumented import run_code
from tests.support.otlp_sink import attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.otlp_sink import OtlpSink

BUCKET = "pipeline-state"
RUN_ID = "0199d2a2-7d1c-7d55-9a55-6c1f0f3a2b10"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:
    with Processes(tmp_path_factory.mktemp("aws")) as processes:
        started = aws.start(processes)
        location = {"LocationConstraint": aws.REGION}
        started.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        yield started


def load(moto: aws.Aws, sink: OtlpSink, columns: dict[str, str], where: str) -> str:
    """Run a container that loads a table; return its stderr."""
    code = f"from otel_prefect import metrics; print(metrics.schema('orders', {columns!r}))"
    return run_code(
        code,
        {
            **moto.variables(),
            semconv.ENV_SCHEMAS.name: where,
            semconv.ENV_FLOW_RUN_ID.name: RUN_ID,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}",
        },
    )


def changes(sink: OtlpSink) -> dict[str, int]:
    """Return the counted changes by their kind."""
    return {
        attributes(point.attributes)[semconv.CHANGE]: point.as_int
        for request in sink.metric_requests
        for of_resource in request.resource_metrics
        for scope in of_resource.scope_metrics
        for metric in scope.metrics
        if metric.name == semconv.METRIC_SCHEMA_CHANGES.name
        for point in metric.sum.data_points
    }


def test_the_next_container_sees_what_changed_since_the_last(moto: aws.Aws, sink: OtlpSink) -> None:
    where = f"s3://{BUCKET}/forms/prod"
    assert "table orders" not in load(moto, sink, {"id": "bigint"}, where)
    kept = moto.client("s3").get_object(Bucket=BUCKET, Key="forms/prod/orders.json")["Body"].read()
    assert json.loads(kept) == {"id": "bigint"}
    load(moto, sink, {"id": "bigint", "name": "text"}, where)
    assert changes(sink) == {"added": 1}
    (record,) = [each for each in sink.logs() if "table orders" in each.record.body.string_value]
    assert record.record.body.string_value == "table orders: column name (text) was added"
    assert record.attributes["flow_run_id"] == RUN_ID


def test_a_bucket_that_is_not_there_is_said_and_harms_nothing(moto: aws.Aws, sink: OtlpSink) -> None:
    said = load(moto, sink, {"id": "bigint"}, "s3://no-such-bucket/forms")
    assert "OTEL_PREFECT_SCHEMAS=s3://no-such-bucket/forms cannot be read" in said
    assert "NoSuchBucket" in said
    assert changes(sink) == {}
