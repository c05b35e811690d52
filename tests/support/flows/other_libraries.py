"""A flow that talks to a web server and a database by libraries that have instrumentations."""

import os
import sqlite3

import httpx
import requests
from prefect import flow, task

URL = os.environ["SOURCE_URL"]


@task
def fetch() -> int:
    return requests.get(f"{URL}/by-requests", timeout=10).status_code


@flow(name="other-libraries")
def other_libraries() -> None:
    fetch()
    httpx.get(f"{URL}/by-httpx")
    connection = sqlite3.connect(":memory:")
    connection.cursor().execute("SELECT 1")
    connection.close()


if __name__ == "__main__":
    other_libraries()
