"""A flow of many small tasks, which prints the seconds that they took, whatever observes it."""

from __future__ import annotations

import os
import time

from prefect import flow, task


@task
def add(number: int) -> int:
    """Do as little as a task can."""
    return number + 1


@flow(name="many-tasks")
def many_tasks(count: int) -> float:
    """Return the seconds that so many tasks took, one after the other."""
    add(0)  # what is done once is not what is measured
    began = time.perf_counter()
    for number in range(count):
        add(number)
    return time.perf_counter() - began


def plain_sdk() -> None:
    """Have Prefect's own spans sent by OpenTelemetry's SDK and exporter, as they are."""
    from opentelemetry import trace  # noqa: PLC0415 - the other ways do not pay for it
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


if __name__ == "__main__":
    if os.environ.get("BENCH_PLAIN_SDK"):
        plain_sdk()
    print(many_tasks(int(os.environ["BENCH_TASKS"])))
