"""A flow that has done one task and never gets to the end of the next."""

import time

from prefect import flow, task


@task
def extract() -> None:
    time.sleep(0.5)


@task
def load() -> None:
    print("loading", flush=True)  # noqa: T201 - what the tests wait for
    time.sleep(600)


@flow(name="daily-sales")
def daily_sales() -> None:
    extract()
    load()


if __name__ == "__main__":
    daily_sales()
