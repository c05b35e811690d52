"""What is measured: the one table of cases, and what is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The ways that spans take from a client to their destination.
COLLECTOR: Final = "Collector"
SIDECAR: Final = "sidecar"
DECODE: Final = "decode/encode"
ROTEL: Final = "rotel"
WAYS: Final = {
    COLLECTOR: "the Collector alone; its `resource` processor adds the attributes",
    SIDECAR: "the sidecar before the same Collector: what is shipped",
    DECODE: "the same, but the sidecar decodes and encodes each request instead of splicing it",
    ROTEL: "`rotel` alone, with a processor in Python that adds the attributes; its queue is in memory",
}

AS_MANY: Final = 0
"""A rate: as many spans a second as are taken, by CLIENTS clients that each wait for their answer."""
CLIENTS: Final = 4
SECONDS: Final = {1_000: 2.0, 10_000: 3.0, AS_MANY: 0.6}
"""How long each rate is kept up, in spans a second."""
GATE_RATE: Final = 10_000
"""The rate that the targets speak of."""

ATTRIBUTES: Final = {
    "cloud.provider": "aws",
    "cloud.platform": "aws_ecs",
    "cloud.region": "eu-west-1",
    "cloud.account.id": "111122223333",
    "cloud.availability_zone": "eu-west-1a",
    "aws.ecs.cluster.arn": "arn:aws:ecs:eu-west-1:111122223333:cluster/pipelines",
    "aws.ecs.task.arn": "arn:aws:ecs:eu-west-1:111122223333:task/pipelines/158d1c8083dd49d6b527399fd6414f5c",
    "aws.ecs.task.family": "daily-sales",
    "aws.ecs.task.revision": "26",
    "aws.ecs.launchtype": "FARGATE",
    "prefect.flow.name": "daily-sales-flow",
    "prefect.deployment.name": "nightly",
}
"""What every way adds to each Resource."""


@dataclass(frozen=True)
class Case:
    """One load, sent through several ways.

    Attributes:
        layer: of traces: where they go.
        protocol: ``grpc`` or ``http``.
        spans: in a request.
        ways: that are compared.
        rates: that are sent one after the other, in spans a second.
    """

    layer: str
    protocol: str
    spans: int
    ways: tuple[str, ...] = tuple(WAYS)
    rates: tuple[int, ...] = (1_000, GATE_RATE, AS_MANY)


@dataclass(frozen=True)
class Plan:
    """A whole run.

    Attributes:
        rounds: how often each case is measured; its ways take turns within a round.
        cases: the cases.
        lives: how often each way is started, left idle and ended, and the sidecar shown many runs.
    """

    rounds: int
    cases: tuple[Case, ...]
    lives: int


FULL: Final = Plan(
    rounds=3,
    cases=(
        Case("xray", "grpc", 512),
        Case("xray", "grpc", 50),
        Case("xray", "http", 512, ways=(COLLECTOR, SIDECAR, DECODE)),
        Case("xray", "http", 50),
        Case("otlp", "grpc", 512, ways=(COLLECTOR, SIDECAR, ROTEL), rates=(GATE_RATE,)),
        Case("otlp", "grpc", 50, ways=(COLLECTOR, SIDECAR, ROTEL), rates=(GATE_RATE,)),
        Case("xray-otlp", "grpc", 512, ways=(COLLECTOR, SIDECAR), rates=(GATE_RATE,)),
        Case("xray-otlp", "grpc", 50, ways=(COLLECTOR, SIDECAR), rates=(GATE_RATE,)),
    ),
    lives=3,
)
QUICK: Final = Plan(
    rounds=1,
    cases=(
        Case("xray", "grpc", 512, rates=(GATE_RATE,)),
        Case("xray", "grpc", 50, rates=(GATE_RATE,)),
        Case("xray-otlp", "grpc", 512, ways=(COLLECTOR, SIDECAR), rates=(GATE_RATE,)),
    ),
    lives=1,
)
DISTINCT_RUNS: Final = 2_000
"""Of the measurement of many runs: each sends one request."""
