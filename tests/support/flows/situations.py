"""The ways in which Prefect runs code, a flow each; a test names the one it wants.

Run ``python situations.py FLOW``.
"""

import asyncio
import os
import signal
import sys
import time
from typing import Any

from opentelemetry import metrics, trace
from prefect import flow, task
from prefect.cache_policies import INPUTS
from prefect.deployments import run_deployment
from prefect.flow_runs import suspend_flow_run
from prefect.runtime import flow_run
from prefect.task_runners import ProcessPoolTaskRunner
from prefect_dask import DaskTaskRunner
from pydantic import SecretStr

# A script's functions are pickled with what they use, for other processes.
tracer = trace.get_tracer("situations")
rows = metrics.get_meter("situations").create_counter("rows")
attempts: list[str] = []


def attempt(of: str) -> int:
    """Count, and return, how often something has been tried in this process."""
    attempts.append(of)
    return attempts.count(of)


@task
def extract(day: int = 1) -> int:
    with tracer.start_as_current_span("read file"):
        rows.add(10)
        return day


@task
def add(days: list[int]) -> int:
    return sum(days)


@task
def days_of_week() -> list[int]:
    return [1, 2]


@flow(name="retried", retries=2)
def retried() -> None:
    extract()
    with tracer.start_as_current_span("own code"):
        pass
    if attempt("retried") < 3:
        raise ValueError("no such table")


@flow(name="retried-async", retries=1, retry_delay_seconds=0.2)
async def retried_async() -> None:
    extract.submit(1).result()
    with tracer.start_as_current_span("own code"):
        pass
    if attempt("retried-async") < 2:
        raise ValueError("no such table")


@task(retries=1)
def flaky() -> None:
    with tracer.start_as_current_span("read file"):
        pass
    if attempt("flaky") < 2:
        raise KeyError("no such day")


@task(retries=1, retry_delay_seconds=0.1)
async def flaky_async() -> None:
    if attempt("flaky-async") < 2:
        raise KeyError("no such day")


@flow(name="retried-tasks")
async def retried_tasks() -> None:
    flaky()
    await flaky_async()


@flow(name="exhausted", retries=1)
def exhausted() -> None:
    raise ValueError("no such table")


@flow(name="once-more")
def once_more() -> None:
    if flow_run.run_count < 2:
        raise ValueError("no such table")


@flow(name="in-processes", task_runner=ProcessPoolTaskRunner(max_workers=1), retries=1)
def in_processes() -> None:
    if attempt("in-processes") == 1:
        days = extract.map([1, 2])
        add.submit(days).result()
        raise ValueError("no such table")
    background.submit(1).result()


@flow(
    name="in-dask",
    task_runner=DaskTaskRunner(
        cluster_kwargs={"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    ),
)
def in_dask() -> None:
    days = extract.map([1, 2])
    add.submit(days).result()


@flow(name="in-threads")
def in_threads() -> None:
    days = extract.map([1, 2])
    add.submit(days).result()
    add(days_of_week())


@flow(name="inner")
async def inner(day: int) -> int:
    return extract(day)


@task
async def call_inner(day: int) -> int:
    return await inner(day)


@flow(name="outer")
async def outer() -> None:
    await asyncio.gather(inner(1), inner(2))
    await call_inner(3)


@task(cache_policy=INPUTS, persist_result=True)
def cached(seed: str) -> str:
    return seed


@task
def broken() -> None:
    raise ValueError("no such table")


@task
def skipped(value: object) -> None:
    """Never run: what it needs has failed."""


@task(timeout_seconds=0.3)
def slow() -> None:
    time.sleep(10)


@flow(name="outcomes")
def outcomes() -> None:
    cached(str(os.getpid()))
    cached(str(os.getpid()))
    failed = broken.submit()
    skipped.submit(failed).wait()
    slow(return_state=True)


@flow(name="handles")
def handles() -> None:
    try:
        raise OSError("not the tasks' own")
    except OSError:
        broken(return_state=True)
        skipped(broken.submit(), return_state=True)


@flow(name="crashes")
def crashes() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)


@flow(name="waits")
def waits() -> None:
    print("waiting", flush=True)  # noqa: T201 - what the tests wait for
    time.sleep(600)


@flow(name="suspends")
def suspends() -> None:
    extract(1)
    suspend_flow_run(timeout=60)
    extract(2)


@task
def connect(*secrets: object) -> None:
    raise ConnectionError(f"refused with {len(secrets)} secrets")


@flow(name="has-secrets")
def has_secrets(
    password: str = "plain-secret",  # noqa: S107 - what the tests look for
    key: SecretStr = SecretStr("wrapped-secret"),  # noqa: B008 - a default of Prefect's
    options: dict[str, Any] = {"token": "nested-secret"},  # noqa: B006 - and another
) -> None:
    connect(password, key, options, return_state=True)
    connect.submit(password, key, options).wait()
    connect(password, key, options)


@flow(name="starts-another")
def starts_another() -> None:
    run_deployment("inner/nightly", parameters={"day": 4}, timeout=0)


@task
def background(day: int) -> int:
    return extract(day)


@flow(name="delays")
def delays() -> None:
    background.delay(5)


if __name__ == "__main__":
    found = globals()[sys.argv[1]]
    asyncio.run(found()) if found.isasync else found()
