"""What is acknowledged reaches Prometheus, and is counted once, whatever Prometheus does in between."""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from demo import prometheus
from demo.processes import Processes, free_port
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.integration.test_collector_prometheus import LABELS, request_of
from tests.support import aws_otlp
from tests.support.collector import running, variables, wait_for
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.prometheus import Prometheus
    from tests.support.collector import RunningCollector

PATHS = ("/api/v1/otlp/v1/metrics", "/api/v1/write")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as owner:
        yield owner


def settings(folder: Path, url: str, **more: str) -> dict[str, str]:
    return {
        **variables(folder, metrics="prometheus"),
        semconv.ENV_PROMETHEUS_ENDPOINT.name: url,
        **more,
    }


def add(started: RunningCollector, table: str, times: int) -> None:
    """Send 3 rows so many times, each from a process of its own."""
    for _ in range(times):
        resource = LABELS | {"service.instance.id": str(uuid.uuid4())}
        started.send(request_of(semconv.METRIC_TABLE_ROWS, resource, table=table))
        time.sleep(0.002)  # another millisecond


def rows(server: Prometheus, table: str) -> float:
    return sum(
        value for _, value in server.query(f'sum_over_time(pipeline_table_rows_total{{table="{table}"}}[1h])')
    )


@pytest.mark.parametrize("path", PATHS)
def test_what_was_sent_while_prometheus_was_down_is_there_once_when_it_is_up(
    processes: Processes, tmp_path: Path, path: str
) -> None:
    table, port = secrets.token_hex(4), free_port()
    with running(
        processes, collector.find(), settings(tmp_path / "queue", f"http://127.0.0.1:{port}{path}")
    ) as started:
        add(started, table, 200)
        server = prometheus.start(processes, tmp_path / "prometheus", port=port)
        wait_for(lambda: rows(server, table), lambda found: found >= 600)
        add(started, table, 1)
        assert wait_for(lambda: rows(server, table), lambda found: found >= 603) == 603


@pytest.mark.parametrize("path", PATHS)
def test_a_collector_that_was_killed_goes_on_with_what_it_had_taken(
    processes: Processes, tmp_path: Path, path: str
) -> None:
    table, port = secrets.token_hex(4), free_port()
    environ = settings(tmp_path / "queue", f"http://127.0.0.1:{port}{path}")
    with running(processes, collector.find(), environ) as started:
        add(started, table, 100)
        os.kill(started.process.pid, signal.SIGKILL)
        started.process.wait(5)
    server = prometheus.start(processes, tmp_path / "prometheus", port=port)
    with running(processes, collector.find(), environ, name="second collector"):
        assert wait_for(lambda: rows(server, table), lambda found: found >= 300) == 300


@contextmanager
def gate(server: Prometheus, answers: list[int], aws: aws_otlp.Endpoints | None = None) -> Iterator[str]:
    """Stand before Prometheus while the block runs; give the URL without its path.

    Args:
        server: what requests are passed on to.
        answers: codes that requests are refused with, one after the other, before any is passed on.
        aws: where not None, only what it takes the signature of is passed on.
    """
    port = urlsplit(server.url).port

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = answers.pop(0) if answers else 0
            if aws is not None:
                try:
                    aws.check_signature("POST", self.path, self.headers, body, "aps")
                except aws_otlp.Refusal as refusal:
                    aws.refused[refusal.code] += 1
                    status = refusal.status
            self.send_response(status or self.passed_on(body))
            self.send_header("content-length", "0")
            self.end_headers()

        def passed_on(self, body: bytes) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            path = self.path.replace("/workspaces/ws-1/api/v1/remote_write", PATHS[1])
            connection.request("POST", path, body, headers)
            return connection.getresponse().status

    with serving(Handler) as own:
        yield f"http://127.0.0.1:{own}"


@pytest.mark.parametrize(
    ("path", "refusals"), [(PATHS[0], [429, 502, 503, 504, 429]), (PATHS[1], [429, 500, 502, 503, 504])]
)
def test_what_was_throttled_or_met_an_error_of_the_servers_is_there_once(
    processes: Processes, tmp_path: Path, path: str, refusals: list[int]
) -> None:
    """By OTLP a server that says 500 is not asked again: so its specification has it."""
    table = secrets.token_hex(4)
    server = prometheus.start(processes, tmp_path / "prometheus")
    refusals = list(refusals)
    with (
        gate(server, refusals) as url,
        running(processes, collector.find(), settings(tmp_path / "queue", f"{url}{path}")) as started,
    ):
        add(started, table, 50)
        assert wait_for(lambda: rows(server, table), lambda found: found >= 150) == 150
    assert refusals == []


def test_requests_to_the_managed_prometheus_are_signed_for_it(processes: Processes, tmp_path: Path) -> None:
    """Checked by AWS's own algorithm for signatures, over what was received."""
    table, aws = secrets.token_hex(4), aws_otlp.Endpoints(0)
    server = prometheus.start(processes, tmp_path / "prometheus")
    with gate(server, [], aws) as url:
        keys = {name: value for name, value in aws.variables().items() if name.startswith("AWS_")}
        environ = settings(
            tmp_path / "queue",
            f"{url}/workspaces/ws-1/api/v1/remote_write",
            **keys,
            **{semconv.ENV_PROMETHEUS_SIGV4.name: "true"},
        )
        with running(processes, collector.find(), environ) as started:
            add(started, table, 10)
            assert wait_for(lambda: rows(server, table), lambda found: found >= 30) == 30
    assert aws.refused == {}
