"""``auto`` is the layer that X-Ray's own answer asks for, and ``xray`` where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_prefect import semconv
from otel_prefect.collector import destination
from tests.support import aws_otlp
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.aws_otlp import Endpoints


@pytest.fixture
def aws() -> Iterator[Endpoints]:
    with aws_otlp.serving() as endpoints:
        yield endpoints


@pytest.mark.parametrize(("answer", "layer"), [("CloudWatchLogs", "xray-otlp"), ("XRay", "xray")])
def test_the_layer_is_the_one_for_where_segments_go(aws: Endpoints, answer: str, layer: str) -> None:
    aws.destination = answer
    picked = destination.pick(aws.variables())
    assert (picked.layer, picked.sure) == (layer, True)
    assert aws.asked == {"GetTraceSegmentDestination": 1}


def test_transaction_search_that_is_being_turned_on_is_not_on(aws: Endpoints) -> None:
    aws.destination, aws.status = "CloudWatchLogs", "PENDING"
    picked = destination.pick(aws.variables())
    assert picked.layer == "xray"
    assert picked.why == "Transaction Search is not on (CloudWatchLogs, PENDING)"


def test_a_refusal_is_told_with_the_action_that_is_missing(aws: Endpoints) -> None:
    aws.destination = aws_otlp.DENIED
    picked = destination.pick(aws.variables())
    assert (picked.layer, picked.sure) == ("xray", False)
    assert "403 AccessDeniedException" in picked.why
    assert "(xray:GetTraceSegmentDestination)" in picked.why


def test_a_clock_that_is_wrong_is_named(aws: Endpoints) -> None:
    aws.ahead = 1000
    picked = destination.pick(aws.variables())
    assert picked.layer == "xray"
    assert "clock is 1000 s behind AWS's" in picked.why or "clock is 999 s behind AWS's" in picked.why


def test_xray_that_never_answers_is_not_waited_for(aws: Endpoints) -> None:
    aws.hang = True
    picked = destination.pick(aws.variables(), seconds=0.3)
    assert (picked.layer, picked.sure) == ("xray", False)
    assert "does not answer" in picked.why


def test_without_xray_or_credentials_it_is_said_what_is_missing() -> None:
    gone = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"}
    assert "there are no AWS credentials" in destination.pick(gone).why
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert "127.0.0.1 does not answer" in destination.pick({**gone, **keys}).why


@pytest.mark.parametrize(
    ("written", "found"),
    [("auto", "xray-otlp"), (" auto , otlp", "xray-otlp,otlp"), ("xray-otlp,auto", "xray-otlp")],
)
def test_auto_is_replaced_among_other_layers(written: str, found: str) -> None:
    environ = {semconv.ENV_TRACES.name: written}
    assert destination.is_asked_for(environ)
    assert destination.with_layers(environ, "xray-otlp")[semconv.ENV_TRACES.name] == found


def test_what_an_earlier_start_left_is_looked_for_under_both_layers() -> None:
    environ = {semconv.ENV_TRACES.name: "auto"}
    assert destination.with_either(environ)[semconv.ENV_TRACES.name] == "xray,xray-otlp"
    assert destination.with_either({}) == {}
