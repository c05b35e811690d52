"""What the sidecar tells of a Collector that failed, and what it gives one to start with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from otel_prefect import semconv
from sidecar import collector, queue_size
from sidecar.settings import Address

DATA = Path("/var/lib/otel-prefect")
DOOR = Address("127.0.0.1", 4317)


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
    assert collector.environment({}, "158d1c80", telemetry, DOOR, DATA)[name] == "158d1c80"
    assert collector.environment({name: "mine"}, "158d1c80", telemetry, DOOR, DATA)[name] == "mine"


def test_two_collectors_on_one_machine_never_share_a_socket() -> None:
    name = semconv.ENV_COLLECTOR_SOCKET.name
    telemetry = Address("127.0.0.1", 1)
    assert (
        collector.environment({}, None, telemetry, DOOR, DATA)[name]
        != collector.environment({}, None, telemetry, DOOR, DATA)[name]
    )


def test_prefects_credentials_are_not_handed_on() -> None:
    environ = {"PREFECT_API_KEY": "k", "PREFECT_API_AUTH_STRING": "a:b", "AWS_SECRET_ACCESS_KEY": "needed"}
    given = collector.environment(environ, None, Address("127.0.0.1", 1), DOOR, DATA)
    assert "PREFECT_API_KEY" not in given
    assert "PREFECT_API_AUTH_STRING" not in given
    assert given["AWS_SECRET_ACCESS_KEY"] == "needed"


@pytest.mark.parametrize(
    ("host", "reached"),
    [("127.0.0.1", "127.0.0.1:4317"), ("0.0.0.0", "127.0.0.1:4317"), ("::", "[::1]:4317")],
)
def test_segments_of_xray_sdks_go_to_the_sidecars_door(host: str, reached: str) -> None:
    given = collector.environment({}, None, Address("127.0.0.1", 1), Address(host, 4317), DATA)
    assert given[semconv.ENV_XRAY_SDK_TARGET.name] == reached


def test_the_queues_share_what_the_disk_has_free(tmp_path: Path) -> None:
    name, telemetry = semconv.ENV_QUEUE_BYTES.name, Address("127.0.0.1", 1)
    given = int(collector.environment({}, None, telemetry, DOOR, tmp_path / "not there yet")[name])
    assert 0 < given <= queue_size.LARGEST
    disk = shutil.disk_usage(tmp_path)
    assert queue_size.of_each(tmp_path, 1000) == pytest.approx(disk.free / 4000, rel=0.1)
    assert collector.environment({name: "5000"}, None, telemetry, DOOR, tmp_path)[name] == "5000"


def test_what_the_queues_hold_already_counts_as_theirs(tmp_path: Path) -> None:
    before = queue_size.of_each(tmp_path, 10_000)
    (tmp_path / "queue").write_bytes(bytes(64 * 1024 * 1024))
    assert queue_size.of_each(tmp_path, 10_000) == pytest.approx(before, rel=0.01)
