"""``python -m bench.scaling --tasks 10000``: how many requests a second so many tasks make, and of whom.

A discrete simulation: each task emits spans, log records and data points at random times, its SDK sends them
in its rhythm, the sidecar's Collector fills requests as ``collector-config`` says, and the sidecar asks
Prefect's API as its own constants say. Without options it writes the tables in ``docs/scaling.md``.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from otel_prefect import configuration, semconv
from otel_prefect.collector import start as collector
from sidecar import prefect_api

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
WINDOW_SECONDS: Final = 60.0
# Tasks know nothing of each other, so as many are simulated, and the figures multiplied.
_SIMULATED: Final = 400
# PutTraceSegments takes 50 documents; the awsxray exporter divides by it (maxSegmentsPerPut).
_SEGMENTS_A_REQUEST: Final = 50
# What the SDK's processors wait for by default: OTEL_BLRP_SCHEDULE_DELAY, OTEL_METRIC_EXPORT_INTERVAL.
# https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
_LOG_DELAY_SECONDS, _METRIC_SECONDS = 1.0, 60.0
_POINT_BYTES: Final = 200


@dataclass(frozen=True)
class Batching:
    """How an exporter's queue fills a request.

    Attributes:
        seconds: that it waits for more, at most.
        least: what is enough to send at once, in ``unit``.
        most: that a request has, in ``unit``.
        unit: ``items`` or ``bytes``.
    """

    seconds: float
    least: float
    most: float
    unit: str


@dataclass(frozen=True)
class Workload:
    """What one task does.

    Attributes:
        name: for the tables.
        life_seconds: from its start to its end.
        spans, records: a second, on average.
        points: of metrics, a minute.
        span_bytes, record_bytes: of one, encoded, with its share of the Resource.
    """

    name: str
    life_seconds: float
    spans: float
    records: float
    points: int
    span_bytes: int = 500
    record_bytes: int = 400


WORKLOADS: Final = (
    Workload("quiet", 1800, 0.05, 0.2, 20),
    Workload("usual", 600, 0.5, 2.0, 40),
    Workload("busy", 600, 10.0, 50.0, 100),
)


@dataclass(frozen=True)
class Quota:
    """What an account may do in a second, by default.

    Attributes:
        of: what it is counted in: ``requests`` or ``records``.
        a_second: how many.
        source: where that is written.
        raised: whether AWS raises it on request.
    """

    of: str
    a_second: float
    source: str
    raised: bool


XRAY: Final = "X-Ray, segments (`xray`)"
XRAY_OTLP: Final = "X-Ray over OTLP (`xray-otlp`)"
PUTS: Final = "CloudWatch Logs, PutLogEvents (`cloudwatch`, `emf`)"
STREAMS: Final = "CloudWatch Logs, CreateLogStream"
LOGS_OTLP: Final = "CloudWatch Logs over OTLP (`cloudwatch-otlp`)"
METRICS_OTLP: Final = "CloudWatch metrics over OTLP (`cloudwatch-otlp`)"
OPENSEARCH: Final = "OpenSearch, bulk requests (`opensearch`)"
PREFECT: Final = "Prefect's API (Cloud, Pro)"
_LAYERS: Final = (
    "traces/xray",
    "traces/xray-otlp",
    "logs/cloudwatch",
    "logs/cloudwatch-otlp",
    "logs/opensearch",
    "metrics/emf",
    "metrics/cloudwatch-otlp",
)
_XRAY_PAGE = "https://docs.aws.amazon.com/general/latest/gr/xray.html"
_LOGS_PAGE = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"
_OTLP_PAGE = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html"
_PREFECT_PAGE = "https://docs.prefect.io/v3/concepts/rate-limits"
QUOTAS: Final = {
    XRAY: Quota("records", 2600, _XRAY_PAGE, raised=False),
    PUTS: Quota("requests", 5000, _LOGS_PAGE, raised=True),
    STREAMS: Quota("requests", 50, _LOGS_PAGE, raised=True),
    LOGS_OTLP: Quota("requests", 5000, _OTLP_PAGE, raised=True),
    METRICS_OTLP: Quota("requests", 500, _OTLP_PAGE, raised=False),
    PREFECT: Quota("requests", 2000 / 60, _PREFECT_PAGE, raised=True),
}
"""Quotas of an account in a region, as those pages had them on the day they were read."""
_UNLIMITED: Final = (XRAY_OTLP, OPENSEARCH)


@dataclass
class Load:
    """What arrives at a destination, a second."""

    requests: float = 0.0
    records: float = 0.0

    def add(self, records: int, requests: int, tasks: float) -> None:
        """Count what comes together within the window, of a task that stands for so many."""
        self.requests += requests * tasks / WINDOW_SECONDS
        self.records += records * tasks / WINDOW_SECONDS


def batching(layer: str, seconds: float | None = None) -> Batching:
    """Read how a layer fills requests.

    Args:
        layer: as ``signal/name``.
        seconds: in place of the default of ``OTEL_PREFECT_BATCH_SECONDS``, where the layer heeds that.
    """
    content = yaml.safe_load((collector.config_dir({}) / f"{layer}.yaml").read_text())
    (batch,) = (
        exporter["sending_queue"]["batch"]
        for exporter in content["exporters"].values()
        if "batch" in (exporter or {}).get("sending_queue", {})
    )
    written = str(batch["flush_timeout"])
    default = re.fullmatch(r"\$\{env:OTEL_PREFECT_BATCH_SECONDS:-(\d+)\}s|(\d+)s", written)
    assert default is not None, f"{layer}: flush_timeout {written!r} is not understood"  # noqa: S101 - our files
    own = float(default[1] or default[2])
    waits = seconds if seconds is not None and default[1] else own
    return Batching(waits, float(batch["min_size"]), float(batch["max_size"]), batch["sizer"])


def emissions(
    rate: float, tick: float, start: float, end: float, rng: random.Random
) -> Iterator[tuple[float, int]]:
    """Give when an SDK sends, and how many records: all that came since its last tick.

    Args:
        rate: records a second.
        tick: seconds between two sendings.
        start: of the task.
        end: of the task, when it sends what is left.
        rng: makes the times; the same seed makes the same ones.
    """
    at, waiting = start, 0
    next_record = start + rng.expovariate(rate) if rate > 0 else math.inf
    while at < end:
        at = min(at + tick, end)
        while next_record <= at:
            waiting += 1
            next_record += rng.expovariate(rate)
        if waiting:
            yield at, waiting
            waiting = 0


def requests(
    sent: Iterator[tuple[float, int]], record_bytes: int, how: Batching
) -> Iterator[tuple[float, int]]:
    """Give when a queue sends a request, and how many records are in it.

    A batch leaves when it has ``least``, or ``seconds`` after its first record came. What is over ``most``
    leaves as more requests, and what is left of it begins the next batch.

    Args:
        sent: when how many records come in.
        record_bytes: of one.
        how: the queue's settings.
    """
    each = record_bytes if how.unit == "bytes" else 1
    largest = max(1, int(how.most // each))
    waiting, due = 0, math.inf
    for at, count in sent:
        if due <= at:
            yield due, waiting
            waiting, due = 0, math.inf
        waiting += count
        if waiting * each < how.least:
            due = min(due, at + how.seconds)
            continue
        while waiting * each >= how.least:
            yield at, min(waiting, largest)
            waiting -= min(waiting, largest)
        due = at + how.seconds if waiting else math.inf
    if waiting:
        yield due, waiting


def questions(start: float, end: float) -> Iterator[float]:
    """Give when a sidecar asks Prefect's API for the one run of its task.

    The run, its flow and its deployment at first, the run again as long as data comes, and its final state.
    """
    yield from (start, start, start)
    at, fresh = start, prefect_api.FRESH_SECONDS
    while (at := at + fresh) < end:
        yield at
        fresh = min(2 * fresh, prefect_api.LONGEST_FRESH_SECONDS)
    yield end


def simulate(
    tasks: int, workload: Workload, seconds: float | None = None, *, at_once: bool = False
) -> dict[str, Load]:
    """Return what so many tasks send to each destination within the window.

    Args:
        tasks: that run at any time; one that ends is followed by the next.
        workload: of each.
        seconds: ``OTEL_PREFECT_BATCH_SECONDS``; None for its default.
        at_once: all of them start within the window, instead of being anywhere in their lives.
    """
    loads = {name: Load() for name in (*QUOTAS, *_UNLIMITED)}
    rng = random.Random(1)  # noqa: S311 - a simulation; the same figures every time
    layers = {name: batching(name, seconds) for name in _LAYERS}
    simulated = min(tasks, _SIMULATED)
    for _ in range(simulated):
        start = rng.uniform(0, WINDOW_SECONDS if at_once else workload.life_seconds)
        start -= 0 if at_once else workload.life_seconds
        while start < WINDOW_SECONDS:
            for name, records, requests_made in _task(start, workload, layers, rng):
                loads[name].add(records, requests_made, tasks / simulated)
            start += workload.life_seconds
    return loads


def _task(
    start: float, workload: Workload, layers: dict[str, Batching], rng: random.Random
) -> Iterator[tuple[str, int, int]]:
    """Give what one task sends within the window: destination, records, requests."""
    end = start + workload.life_seconds
    # What was emitted long before the window is not sent within it. The rhythm of metrics stays the task's.
    before = max(0.0, -2 * _METRIC_SECONDS - start)
    begin, until = start + _METRIC_SECONDS * math.ceil(before / _METRIC_SECONDS), min(end, WINDOW_SECONDS + 1)
    spans = list(emissions(workload.spans, configuration.SPAN_DELAY_MILLISECONDS / 1000, begin, until, rng))
    records = list(emissions(workload.records, _LOG_DELAY_SECONDS, begin, until, rng))
    # The task's own metrics and the sidecar's, together.
    points = [(at, 2 * workload.points) for at in _ticks(begin, until)]
    for name, sent, size, layer, most in (
        (XRAY, spans, workload.span_bytes, "traces/xray", _SEGMENTS_A_REQUEST),
        (XRAY_OTLP, spans, workload.span_bytes, "traces/xray-otlp", None),
        (PUTS, records, workload.record_bytes, "logs/cloudwatch", None),
        (PUTS, points, _POINT_BYTES, "metrics/emf", None),
        (LOGS_OTLP, records, workload.record_bytes, "logs/cloudwatch-otlp", None),
        (METRICS_OTLP, points, _POINT_BYTES, "metrics/cloudwatch-otlp", None),
        (OPENSEARCH, records, workload.record_bytes, "logs/opensearch", None),
    ):
        for at, count in requests(iter(sent), size, layers[layer]):
            if 0 <= at < WINDOW_SECONDS:
                yield name, count, 1 if most is None else math.ceil(count / most)
    if 0 <= start < WINDOW_SECONDS:  # one stream in the group of the logs, one in that of the metrics
        yield STREAMS, 2, 2
    asked = sum(1 for at in questions(start, end) if 0 <= at < WINDOW_SECONDS)
    yield PREFECT, asked, asked


def _ticks(begin: float, until: float) -> Iterator[float]:
    at = begin + _METRIC_SECONDS
    while at < until:
        yield at
        at += _METRIC_SECONDS


def table(tasks: int, *, at_once: bool = False, batch_seconds: tuple[float, ...] = (1, 10)) -> str:
    """Return the table of requests and records a second against the quotas."""
    head = ["destination", "quota a second"]
    head += [f"{each.name}, {seconds:g} s" for each in WORKLOADS for seconds in batch_seconds]
    columns = [
        simulate(tasks, each, seconds, at_once=at_once) for each in WORKLOADS for seconds in batch_seconds
    ]
    rows = []
    for name in (*QUOTAS, *_UNLIMITED):
        quota = QUOTAS.get(name)
        told = "none found" if quota is None else f"{quota.a_second:,.0f} {quota.of}"
        rows.append([name, told, *(_cell(column[name], quota) for column in columns)])
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(load: Load, quota: Quota | None) -> str:
    rate = load.records if quota is not None and quota.of == "records" else load.requests
    return f"**{rate:,.0f}**" if quota is not None and rate > quota.a_second else f"{rate:,.0f}"


def volume(tasks: int) -> str:
    """Return the table of what they send in bytes, and what a gateway would need."""
    head = [
        "workload",
        "spans a second",
        "log records a second",
        "MB a second, uncompressed",
        "gateways: CPU cores",
        "gateways: GB of undecided spans",
    ]
    rows = []
    for each in WORKLOADS:
        spans, records = tasks * each.spans, tasks * each.records
        megabytes = (spans * each.span_bytes + records * each.record_bytes) / 1e6
        cores = (spans + records) * CORE_MICROSECONDS / 1e6
        # A span waits for the rest of its run, half of it on average, and then for other containers.
        held = spans * (each.life_seconds / 2 + _SETTLE_SECONDS) * each.span_bytes * HELD_TIMES / 1e9
        amounts = (f"{megabytes:,.1f}", f"{cores:,.1f}", f"{held:,.1f}")
        rows.append([each.name, f"{spans:,.0f}", f"{records:,.0f}", *amounts])
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_SETTLE_SECONDS: Final = float(semconv.ENV_GATEWAY_SETTLE_SECONDS.default)
HELD_TIMES: Final = 3.0
"""Memory of a gateway for a span that it has not decided on, by the span's size: 1.25 kB for one of 415 bytes
were measured, with 50,000 and with 100,000 spans in runs of 50."""
CORE_MICROSECONDS: Final = 24.0
"""Of a Collector with a queue on disk, OTLP in and out, a span in requests of 50: bench/RESULTS.md."""


def sources() -> str:
    """Return the table of the quotas' sources."""
    head = ["quota", "a second", "raised on request", "source"]
    rows = [
        [name, f"{quota.a_second:,.0f} {quota.of}", "yes" if quota.raised else "no", f"<{quota.source}>"]
        for name, quota in QUOTAS.items()
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(text: str, tasks: int) -> str:
    """Return the page with its tables made anew."""
    tables = {
        "steady": table(tasks),
        "at once": table(tasks, at_once=True),
        "volume": volume(tasks),
        "quotas": sources(),
    }
    for name, content in tables.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text = marked.sub(lambda match, new=content: f"{match[1]}{new}\n{match[2]}", text)  # type: ignore[misc]
    return text


def main() -> int:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000, help="that run at any time (10000)")
    parser.add_argument("--print", action="store_true", help="print the tables; write nothing")
    args = parser.parse_args()
    if args.print or args.tasks != 10_000:
        sys.stdout.write(
            f"{table(args.tasks)}\n\n{table(args.tasks, at_once=True)}\n\n{volume(args.tasks)}\n"
        )
    else:
        PAGE.write_text(page(PAGE.read_text(), args.tasks))
        sys.stdout.write(f"written: {PAGE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
