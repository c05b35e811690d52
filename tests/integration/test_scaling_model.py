"""A real sidecar with a real Collector makes as many requests as the model of ``bench.scaling``."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import grpc

from bench import scaling
from tests.support import aws_faults, load, sidecar
from tests.support.collector import wait_for
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from pathlib import Path

# Far from the second after which a batch is sent: on a busy machine too, it is plain what is one batch.
PAUSES = (0.1, 0.1, 2.5) * 5
# The first batch finds no stream and creates it: a PutLogEvents and a CreateLogStream more.
_OTHERS = 2


class _Prefect(QuietHandler):
    asked: Counter[str]

    def do_GET(self) -> None:
        self.asked[self.path.split("/")[2]] += 1
        run = {"name": "wise-otter", "flow_id": "f1", "deployment_id": "d1", "state": {"type": "RUNNING"}}
        body = json.dumps(run if "flow_runs" in self.path else {"name": "x"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_real_sidecar_makes_as_many_requests_as_the_model_says(tmp_path: Path) -> None:
    """Within a tenth: the model gets the times at which records were acknowledged, not those of the queue."""
    rng = random.Random(3)  # noqa: S311 - bursts of up to 400 records, the same every time
    traces, logs = aws_faults.region(), aws_faults.region()
    asked: Counter[str] = Counter()
    handler = type("Handler", (_Prefect,), {"asked": asked})
    sent: dict[str, list[tuple[float, int]]] = {"traces": [], "logs": []}
    with aws_faults.serving(traces), aws_faults.serving(logs), serving(handler) as prefect:
        variables = {
            "OTEL_PREFECT_TRACES": "xray",
            "OTEL_PREFECT_LOGS": "cloudwatch",
            "AWS_ENDPOINT_URL_XRAY": f"http://127.0.0.1:{traces.port}",
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": f"http://127.0.0.1:{logs.port}",
            "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api",
        }
        with sidecar.running(tmp_path, **variables) as it:
            with grpc.insecure_channel(f"127.0.0.1:{it.grpc_port}") as channel:
                began = time.monotonic()
                for pause in PAUSES:
                    for signal, make in (("traces", load.spans), ("logs", load.logs)):
                        request = make(rng.choice((5, 60, 400)))
                        channel.unary_unary(load.METHODS[signal])(request.body, timeout=10)
                        sent[signal].append((time.monotonic() - began, len(request.ids)))
                    time.sleep(pause)
            wait_for(lambda: len(traces.segments), lambda n: n >= sum(count for _, count in sent["traces"]))
            wait_for(lambda: len(logs.events), lambda n: n >= sum(count for _, count in sent["logs"]))
            assert asked == {"flow_runs": 1, "flows": 1, "deployments": 1}
            it.stop()
    segments = list(scaling.requests(iter(sent["traces"]), 0, scaling.batching("traces/xray")))
    expected = sum(-(-count // 50) for _, count in segments)
    assert abs(traces.requests["taken"] - expected) <= 0.1 * expected, (traces.requests, segments)
    puts = len(list(scaling.requests(iter(sent["logs"]), 0, scaling.batching("logs/cloudwatch"))))
    made = logs.requests["taken"] - _OTHERS
    assert abs(made - puts) <= max(2, 0.1 * puts), (logs.requests, puts)


def test_a_request_that_waits_to_be_filled_is_sent_at_the_tasks_end(tmp_path: Path) -> None:
    aws = aws_faults.region()
    waiting = {"OTEL_PREFECT_TRACES": "xray", "OTEL_PREFECT_BATCH_SECONDS": "8", **aws.variables()}
    request = load.spans(20)
    with aws_faults.serving(aws), sidecar.running(tmp_path, **waiting) as it:
        with grpc.insecure_channel(f"127.0.0.1:{it.grpc_port}") as channel:
            channel.unary_unary(load.METHODS["traces"])(request.body, timeout=10)
        assert not aws.segments
        accounts = it.stop()
    assert set(aws.segments) == request.ids
    assert accounts["left_on_disk"] == {}
