"""What the sidecar tells of a Collector that failed, and what it gives one to start with."""

from __future__ import annotations

import pytest

from otel_prefect import semconv
from sidecar import collector
from sidecar.settings import Address


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "it said nothing"),
        (["something"], "something"),
        (
            [
                "Error: failed to get config:",
                "",
                "  'exporters' unknown type",
                "2026/01/02 03:04:05 run finished",
            ],
            "Error: failed to get config:  'exporters' unknown type",
        ),
        (
            [
                '{"level":"error","msg":"cannot start","error":"address in use"}',
                '{"level":"info","msg":"bye"}',
            ],
            "cannot start address in use",
        ),
        (['{"level":"warn","msg":"slow"}'], '{"level":"warn","msg":"slow"}'),
        (["panic: nil", "goroutine 1"], "panic: nil goroutine 1"),
        (["[1]", '"text"', "\x00"], "\x00"),
    ],
)
def test_the_last_error_is_told_in_one_line(lines: list[str], words: str) -> None:
    assert collector.last_words(lines) == words


def test_the_task_names_the_log_stream_unless_the_user_did() -> None:
    name = semconv.ENV_LOG_STREAM.name
    telemetry = Address("127.0.0.1", 1)
    assert collector.environment({}, "158d1c80", telemetry)[name] == "158d1c80"
    assert collector.environment({name: "mine"}, "158d1c80", telemetry)[name] == "mine"


def test_two_collectors_on_one_machine_never_share_a_socket() -> None:
    name = semconv.ENV_COLLECTOR_SOCKET.name
    telemetry = Address("127.0.0.1", 1)
    assert (
        collector.environment({}, None, telemetry)[name] != collector.environment({}, None, telemetry)[name]
    )


def test_prefects_credentials_are_not_handed_on() -> None:
    environ = {"PREFECT_API_KEY": "k", "PREFECT_API_AUTH_STRING": "a:b", "AWS_SECRET_ACCESS_KEY": "needed"}
    given = collector.environment(environ, None, Address("127.0.0.1", 1))
    assert "PREFECT_API_KEY" not in given
    assert "PREFECT_API_AUTH_STRING" not in given
    assert given["AWS_SECRET_ACCESS_KEY"] == "needed"
