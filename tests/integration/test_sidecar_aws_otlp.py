"""A sidecar picks X-Ray's layer by X-Ray's answer, and keeps what AWS refuses until it takes it."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.support import aws_otlp, load, sidecar
from tests.support.collector import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.aws_otlp import Endpoints
    from tests.support.sidecar import RunningSidecar


@pytest.fixture
def aws() -> Iterator[Endpoints]:
    with aws_otlp.serving() as endpoints:
        yield endpoints


def send(it: RunningSidecar, count: int) -> frozenset[str]:
    """Send spans; return their ids once they are acknowledged."""
    request = load.spans(count)
    with grpc.insecure_channel(f"127.0.0.1:{it.grpc_port}") as channel:
        channel.unary_unary(load.METHODS["traces"])(request.body, timeout=10)
    return request.ids


def health(it: RunningSidecar) -> dict[str, Any]:
    """Return what it says; at a restart of the Collector it is unavailable for a moment."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{it.health_port}/healthz", timeout=2) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return dict(json.load(error))


def ids(aws: Endpoints) -> list[str]:
    return sorted(span.span_id.hex() for span in aws.spans())


def test_auto_sends_spans_over_otlp_where_transaction_search_is_on(aws: Endpoints, tmp_path: Path) -> None:
    aws.destination = "CloudWatchLogs"
    with sidecar.running(tmp_path, **aws.variables(), OTEL_PREFECT_TRACES="auto") as it:
        sent = send(it, 10)
        wait_for(lambda: len(aws.spans()), lambda count: count >= 10)
        accounts = it.stop()
    assert ids(aws) == sorted(sent)
    assert accounts["delivered"] == {"traces": {"otlp_http/xray": 10}}
    assert "traces go to the layer xray-otlp: Transaction Search is on" in it.stderr.read_text()


@pytest.mark.parametrize("destination", ["XRay", aws_otlp.DENIED], ids=["off", "refused"])
def test_auto_sends_segments_where_it_is_off_or_not_to_be_known(
    aws: Endpoints, tmp_path: Path, destination: str | aws_otlp.Refusal
) -> None:
    aws.destination = destination
    with sidecar.running(tmp_path, **aws.variables(), OTEL_PREFECT_TRACES="auto") as it:
        send(it, 10)
        wait_for(lambda: len(aws.segments), lambda count: count >= 10)
        it.stop()
    log = it.stderr.read_text()
    assert log.count("traces go to the layer xray:") == 1
    assert aws.spans() == []


def test_what_aws_refuses_at_the_start_is_kept_and_sent_once_it_is_allowed(
    aws: Endpoints, tmp_path: Path
) -> None:
    aws.faults = (aws_otlp.DENIED,)
    with sidecar.running(tmp_path, **aws.variables(), OTEL_PREFECT_TRACES="xray-otlp") as it:
        sent = send(it, 50)
        denied = "403 AccessDeniedException User is not authorized to perform: xray:PutSpans"
        assert health(it) == {"status": "ok", "held": {"traces/xray-otlp": denied}}
        aws.faults = (None,)
        wait_for(lambda: len(aws.spans()), lambda count: count >= 50, 60)
        wait_for(lambda: health(it), lambda said: said == {"status": "ok"})
        accounts = it.stop()
    assert ids(aws) == sorted(sent)
    assert accounts["given_up"] == {}


def test_what_aws_begins_to_refuse_is_kept_after_the_first_refusal(aws: Endpoints, tmp_path: Path) -> None:
    """The exporter drops what it had sent by then; it counts as given up."""
    with sidecar.running(tmp_path, **aws.variables(), OTEL_PREFECT_TRACES="xray-otlp") as it:
        aws.faults = (aws_otlp.DENIED,)
        send(it, 10)
        wait_for(lambda: health(it), lambda said: said["status"] == "ok" and "held" in said, 60)
        sent = send(it, 50)
        aws.faults = (None,)
        wait_for(lambda: len(aws.spans()), lambda count: count >= 50, 60)
        accounts = it.stop()
    assert ids(aws) == sorted(sent)
    assert accounts["given_up"] == {"traces": {"otlp_http/xray": 10}}


def test_an_endpoint_that_never_answers_delays_the_start_and_health_says_so(
    aws: Endpoints, tmp_path: Path
) -> None:
    aws.hang = True
    environ = sidecar.environment(tmp_path / "data", **aws.variables(), OTEL_PREFECT_TRACES="xray-otlp")
    it = sidecar.launch(tmp_path, environ)
    wait_for(it.health, lambda status: status != 0)
    assert health(it) == {"status": "unavailable", "reason": "the Collector is starting"}
    with sidecar.healthy(it):
        sent = send(it, 10)
        aws.hang = False
        wait_for(lambda: len(aws.spans()), lambda count: count >= 10, 60)
        it.stop()
    assert set(ids(aws)) == sent


def test_what_a_task_left_since_aws_refused_it_is_sent_by_the_layer_that_had_it(
    aws: Endpoints, tmp_path: Path
) -> None:
    """Also where X-Ray would be asked anew which layer it is."""
    aws.destination, aws.faults = "CloudWatchLogs", (aws_otlp.DENIED,)
    shared = {
        **aws.variables(),
        "OTEL_PREFECT_TRACES": "auto",
        "OTEL_PREFECT_DATA_SHARED": "true",
        "OTEL_PREFECT_DRAIN_SECONDS": "1",
    }
    with sidecar.running(tmp_path, **shared) as it:
        sent = send(it, 50)
        assert "otlp_http/xray" in it.stop()["left_on_disk"]["traces"]
    aws.destination, aws.faults = "XRay", (None,)
    subprocess.run((*sidecar.COMMAND, "send-left"), cwd=sidecar.ROOT, env=it.environ, check=True, timeout=60)
    assert ids(aws) == sorted(sent)
