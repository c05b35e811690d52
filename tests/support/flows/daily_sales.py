"""A flow as a user writes it: no word about tracing, but for the spans that the user wants to see."""

import logging
import sys
import threading

from opentelemetry import metrics, trace
from prefect import flow, get_run_logger, task

tracer = trace.get_tracer("daily_sales")
rows_loaded = metrics.get_meter("daily_sales").create_counter("rows.loaded")
library = logging.getLogger("some.library")


@task
def extract(day: int) -> int:
    get_run_logger().info("extracting day %s", day)
    with tracer.start_as_current_span("read file"):
        library.warning("day %s has gaps", day)
    rows_loaded.add(10)
    return day


@flow(name="totals")
def totals() -> None:
    get_run_logger().info("adding up")


def in_thread() -> None:
    with tracer.start_as_current_span("in a thread"):
        library.warning("said in a thread")


@flow(name="daily-sales", log_prints=True)
def daily_sales(fail: bool = False) -> int:
    print("printed by the flow")  # noqa: T201 - what log_prints is for
    total = extract(1) + extract.submit(2).result()
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    totals()
    if fail:
        raise ValueError("no such table")
    return total


if __name__ == "__main__":
    print("total", daily_sales(fail="--fail" in sys.argv))  # noqa: T201 - what the tests look for
