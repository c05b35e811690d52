"""What AWS's OTLP endpoints refuse is kept, by having the Collector send it nowhere until they take it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from otel_prefect import semconv
from otel_prefect.collector import start as collector
from sidecar.delivery import Deliveries
from sidecar.held import Held
from tests.support import aws_otlp
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.aws_otlp import Endpoints

TRACES = "traces/xray-otlp"
EXPORTER = ("traces", "otlp_http/xray")
SEARCH_IS_OFF = "The OTLP API is supported with CloudWatch Logs as a Trace Segment Destination."
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def aws() -> Iterator[Endpoints]:
    with aws_otlp.serving() as endpoints:
        yield endpoints


def held(aws: Endpoints, **more: str) -> Held:
    layers = {
        semconv.ENV_TRACES.name: "xray-otlp",
        semconv.ENV_LOGS.name: "none",
        semconv.ENV_METRICS.name: "none",
    }
    return Held(collector.environment({**aws.variables(), **layers, **more}))


def test_what_is_taken_goes_where_it_belongs(aws: Endpoints) -> None:
    it = held(aws)
    asyncio.run(it.look())
    assert it.reasons == {}
    assert it.environ()[semconv.ENV_ENDPOINT_XRAY.name] == aws.url


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (aws_otlp.DENIED, "403 AccessDeniedException User is not authorized to perform: xray:PutSpans"),
        (aws_otlp.INTERNAL, "500 InternalFailure an error of ours"),
        (
            aws_otlp.Refusal(400, "ValidationException", SEARCH_IS_OFF),
            f"400 ValidationException {SEARCH_IS_OFF}",
        ),
    ],
)
def test_what_is_refused_for_good_is_held_with_awss_reason(
    aws: Endpoints, refusal: aws_otlp.Refusal, said: str
) -> None:
    aws.faults = (refusal,)
    it = held(aws)
    asyncio.run(it.look())
    assert it.reasons == {TRACES: said}
    assert it.environ()[semconv.ENV_ENDPOINT_XRAY.name] == NOWHERE


EMPTY = aws_otlp.Refusal(400, "ValidationException", "there is nothing in it")


@pytest.mark.parametrize("refusal", [aws_otlp.THROTTLED, aws_otlp.UNAVAILABLE, EMPTY])
def test_what_is_tried_again_or_is_for_the_emptiness_is_not_held(
    aws: Endpoints, refusal: aws_otlp.Refusal
) -> None:
    aws.faults = (refusal,)
    it = held(aws)
    asyncio.run(it.look())
    assert it.reasons == {}


def test_a_log_group_that_is_not_there_has_its_logs_held(aws: Endpoints) -> None:
    logs = {semconv.ENV_LOGS.name: "cloudwatch-otlp", semconv.ENV_LOG_STREAM.name: "task-1"}
    it = held(aws, **logs)
    asyncio.run(it.look())
    assert it.reasons == {
        "logs/cloudwatch-otlp": "400 ResourceNotFoundException The specified log group does not exist."
    }
    aws.groups.add((semconv.ENV_LOG_GROUP.default, "task-1"))
    assert asyncio.run(it.review(Deliveries(), 100.0))
    assert it.reasons == {}


def test_a_wrong_clock_is_what_is_said(aws: Endpoints) -> None:
    aws.ahead = 1000
    it = held(aws)
    asyncio.run(it.look())
    assert "this machine's clock is" in it.reasons[TRACES]
    assert "behind AWS's" in it.reasons[TRACES]


def test_an_endpoint_that_does_not_answer_is_not_held(aws: Endpoints) -> None:
    it = held(aws, **{semconv.ENV_ENDPOINT_XRAY.name: f"http://127.0.0.1:{free_ports(1)[0]}"})
    asyncio.run(it.look())
    assert it.reasons == {}


def test_no_endpoint_is_asked_while_nothing_is_given_up(aws: Endpoints) -> None:
    it = held(aws)
    assert not asyncio.run(it.review(Deliveries(sent={EXPORTER: 5}), 100.0))
    assert aws.taken == []


def test_what_is_given_up_has_the_endpoint_asked_and_held(aws: Endpoints) -> None:
    it = held(aws)
    asyncio.run(it.look())
    aws.faults = (aws_otlp.DENIED,)
    assert asyncio.run(it.review(Deliveries(failed={EXPORTER: 3}), 100.0))
    assert list(it.reasons) == [TRACES]


def test_a_single_poor_request_holds_nothing(aws: Endpoints) -> None:
    it = held(aws)
    assert not asyncio.run(it.review(Deliveries(failed={EXPORTER: 3}), 100.0))
    assert it.reasons == {}


def test_an_endpoint_that_refuses_is_asked_more_and_more_seldom(aws: Endpoints) -> None:
    aws.faults = (aws_otlp.DENIED,)
    it = held(aws)
    asyncio.run(it.look())
    asked = []
    for now in range(0, 200, 10):
        before = aws.refused.total()
        asyncio.run(it.review(Deliveries(), float(now)))
        if aws.refused.total() > before:
            asked.append(now)
    assert asked == [0, 10, 30, 70, 150]
    aws.faults = (None,)
    assert asyncio.run(it.review(Deliveries(), 1000.0))
    assert it.environ()[semconv.ENV_ENDPOINT_XRAY.name] == aws.url
