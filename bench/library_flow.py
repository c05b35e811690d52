"""A flow of many small tasks, which prints the seconds that they took, with us or without."""

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


if __name__ == "__main__":
    print(many_tasks(int(os.environ["BENCH_TASKS"])))
