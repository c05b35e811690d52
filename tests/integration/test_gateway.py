"""A gateway keeps runs that failed or were slow, whole, and a part of the rest; what it loses is pinned."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from demo.processes import Processes, answers, direct, environment
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.support import gateways, otlp
from tests.support.collector import wait_for
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.collector import RunningCollector
    from tests.support.otlp_sink import OtlpSink

FAILED_TASK, FAILED_RUN, SLOW, GOOD = "failed task", "failed run", "slow", "good"
DECIDED = "otelcol_processor_tail_sampling_global_count_traces_sampled"
NO_GOOD_ONES = {semconv.ENV_GATEWAY_PERCENT.name: "0"}
SECOND = 10**9


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as owner:
        yield owner


class Run:
    """A flow run whose spans come from three containers: one span each beside the root."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.trace_id, self.root = secrets.token_hex(16), secrets.token_hex(8)
        self.children = [secrets.token_hex(8) for _ in range(3)]

    @property
    def spans(self) -> set[str]:
        return {self.root, *self.children}

    def child(self, number: int) -> Any:
        fails = self.kind == FAILED_TASK and number == 1
        status = {"status": {"code": 2}} if fails else {}
        return otlp.traces(
            {"service.name": f"container-{number}"},
            otlp.span("step", self.trace_id, self.children[number], self.root, **status),
        )

    def end(self) -> Any:
        state = {FAILED_RUN: "CRASHED"}.get(self.kind, "COMPLETED")
        span = otlp.span("flow", self.trace_id, self.root, attributes={semconv.PREFECT_STATE_TYPE: state})
        if self.kind == SLOW:
            span["startTimeUnixNano"] = span["endTimeUnixNano"] - 3600 * SECOND
        return otlp.traces({"service.name": "flow"}, span)


def send(runs: list[Run], senders: list[RunningCollector], *, end: bool = True) -> None:
    """Send each run's spans, each container's by a sidecar of its own, and the root's last."""
    for run in runs:
        for number in range(3):
            senders[number % len(senders)].send(run.child(number))
        if end:
            senders[0].send(run.end())


def landed(sink: OtlpSink) -> dict[str, set[str]]:
    """Return the spans of each trace that arrived."""
    found: dict[str, set[str]] = defaultdict(set)
    for span in sink.spans():
        found[span.record.trace_id.hex()].add(span.record.span_id.hex())
    return found


def whole(runs: list[Run], *found: dict[str, set[str]]) -> bool:
    """Tell whether all spans of these runs are in one of the places."""
    return all(any(each.get(run.trace_id) == run.spans for each in found) for run in runs)


def test_a_run_of_three_sidecars_lands_whole_on_one_gateway_and_is_kept_if_it_failed_or_was_slow(
    processes: Processes, tmp_path: Path
) -> None:
    front, *behind = free_ports(3)
    kept = [Run(kind) for kind in (FAILED_TASK, FAILED_RUN, SLOW) for _ in range(10)]
    good = [Run(GOOD) for _ in range(20)]
    runs = [run for pair in zip(kept, [*good, *good[:10]], strict=True) for run in pair]
    with (
        gateways.sinks(2) as (one, two),
        gateways.gateway(processes, tmp_path, behind[0], one, "one", **NO_GOOD_ONES),
        gateways.gateway(processes, tmp_path, behind[1], two, "two", **NO_GOOD_ONES),
        gateways.balancer(processes, tmp_path, front, behind),
        gateways.sidecars(processes, tmp_path, 3, front) as senders,
    ):
        send(list(dict.fromkeys(runs)), senders)
        senders[0].send(otlp.logs({"service.name": "flow"}, otlp.record("a line")))
        wait_for(lambda: (landed(one), landed(two)), lambda found: whole(kept, *found), 60)
        wait_for(lambda: len(one.logs()) + len(two.logs()), lambda count: count == 1)
        found = landed(one), landed(two)
    assert {run.trace_id for run in kept} == {*found[0], *found[1]}
    assert not {*found[0]} & {*found[1]}
    assert found[0]
    assert found[1]


def test_of_the_runs_that_went_well_the_part_that_is_asked_for_goes_on_whole(
    processes: Processes, tmp_path: Path, sink: OtlpSink
) -> None:
    (front,) = free_ports(1)
    good, last = [Run(GOOD) for _ in range(200)], Run(FAILED_RUN)
    half = {semconv.ENV_GATEWAY_PERCENT.name: "50"}
    with gateways.gateway(processes, tmp_path, front, sink, **half) as started:
        send([*good, last], [started])
        wait_for(lambda: landed(sink), lambda found: whole([last], found), 60)
        wait_for(lambda: len(landed(sink)), lambda count: count > 60)
        found = landed(sink)
    assert 60 < len(found) < 140
    assert all(run.spans == found[run.trace_id] for run in good if run.trace_id in found)


def test_what_comes_after_the_decision_goes_the_way_that_was_decided_on(
    processes: Processes, tmp_path: Path, sink: OtlpSink
) -> None:
    """So the time to wait has to be longer than the longest run: this one fails too late."""
    (front,) = free_ports(1)
    good, bad = Run(FAILED_RUN), Run(FAILED_TASK)
    soon = {**NO_GOOD_ONES, semconv.ENV_GATEWAY_WAIT_SECONDS.name: "2"}
    with gateways.gateway(processes, tmp_path, front, sink, **soon) as started:
        send([good, bad], [started], end=False)
        wait_for(lambda: landed(sink), lambda found: bad.trace_id in found)
        wait_for(lambda: metric(started, DECIDED), lambda count: count >= 2)
        for run in (good, bad):
            started.send(run.end())
        wait_for(lambda: landed(sink), lambda found: whole([bad], found))
        assert good.trace_id not in landed(sink)


def test_runs_that_were_decided_on_do_not_count_among_those_that_are_held(
    processes: Processes, tmp_path: Path, sink: OtlpSink
) -> None:
    """They would, without the caches of decisions, and the gateway would stop for good."""
    (front,) = free_ports(1)
    few = {**NO_GOOD_ONES, semconv.ENV_GATEWAY_TRACES.name: "20"}
    last = Run(FAILED_RUN)
    with gateways.gateway(processes, tmp_path, front, sink, **few) as started:
        for _ in range(6):
            send([Run(GOOD) for _ in range(15)], [started])
        send([last], [started])
        wait_for(lambda: landed(sink), lambda found: whole([last], found), 60)


def metric(started: RunningCollector, name: str) -> float:
    """Return a metric of the Collector itself, over all of its labels."""
    port = started.environ[semconv.ENV_COLLECTOR_METRICS_PORT.name]
    with direct.open(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_a_killed_gateway_loses_what_is_undecided_and_nothing_that_it_has_decided_on(
    processes: Processes, tmp_path: Path, sink: OtlpSink
) -> None:
    """The balancer keeps what comes while the gateway is away."""
    front, behind = free_ports(2)
    decided, undecided, later = ([Run(FAILED_RUN) for _ in range(10)] for _ in range(3))
    sink.refuse_with = grpc.StatusCode.UNAVAILABLE
    with gateways.balancer(processes, tmp_path, front, [behind]) as before:
        with gateways.gateway(processes, tmp_path, behind, sink, **NO_GOOD_ONES) as started:
            send(decided, [before])
            name = "otelcol_exporter_queue_size"
            wait_for(lambda: started.own_metric(name, "otlp_grpc/traces"), bool, 60)
            wait_for(lambda: metric(started, DECIDED), lambda count: count >= 10)
            send(undecided, [before], end=False)
            wait_for(lambda: before.own_metric("otelcol_exporter_sent_spans", "loadbalancing/traces"),
                     lambda count: (count or 0) >= 70)  # fmt: skip
            os.kill(started.process.pid, signal.SIGKILL)
            started.process.wait(10)
        send(later, [before])
        sink.refuse_with = None
        with gateways.gateway(processes, tmp_path, behind, sink, **NO_GOOD_ONES):
            wait_for(lambda: landed(sink), lambda found: whole([*decided, *later], found), 60)
    assert not {run.trace_id for run in undecided} & {*landed(sink)}


def test_a_gateway_that_is_stopped_decides_on_what_it_has(
    processes: Processes, tmp_path: Path, sink: OtlpSink
) -> None:
    (front,) = free_ports(1)
    undecided = [Run(FAILED_TASK) for _ in range(10)]
    with gateways.gateway(processes, tmp_path, front, sink, **NO_GOOD_ONES) as started:
        send(undecided, [started], end=False)
    with gateways.gateway(processes, tmp_path, front, sink, **NO_GOOD_ONES):
        wait_for(lambda: landed(sink), lambda found: len(found) >= 10)
    assert all(landed(sink)[run.trace_id] == set(run.children) for run in undecided)


def test_the_command_becomes_the_gateway_and_ends_with_exit_code_0(
    processes: Processes, tmp_path: Path, sink: OtlpSink
) -> None:
    """Signals reach it: the process that was started is the Collector itself."""
    (port,) = free_ports(1)
    settings = {
        **gateways.listening(tmp_path / "data", port, traces="otlp"),
        semconv.ENV_OTLP_ENDPOINT.name: f"127.0.0.1:{sink.grpc_port}",
    }
    health = f"http://{settings[semconv.ENV_GATEWAY_HEALTH_ENDPOINT.name]}"
    command = [str(Path(sys.executable).with_name("otel-prefect")), "collector", "run"]
    started = processes.start(
        "gateway",
        [*command, "--distribution", "gateway"],
        env=environment(settings),
        ready=answers(health),
        timeout=60,
    )
    program = Path(f"/proc/{started.pid}/exe").resolve()
    assert program == collector.find(distribution=collector.GATEWAY).resolve()
    started.terminate()
    assert started.wait(20) == 0
