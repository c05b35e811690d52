"""A child of the demo is led to stand-ins only; free ports are free."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from demo.processes import StartError, environment, free_port


def test_the_users_own_accounts_and_telemetry_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {
        "AWS_PROFILE": "production",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "PREFECT_API_KEY": "secret",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://vendor",
        "TRACEPARENT": "00-1-2-01",
    }
    for name, value in {**foreign, "KEPT": "yes"}.items():
        monkeypatch.setenv(name, value)
    made = environment({"AWS_REGION": "eu-west-1"})
    assert not set(foreign) & set(made)
    assert made["KEPT"] == "yes"
    assert made["AWS_REGION"] == "eu-west-1"


def test_loopback_is_never_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.org")
    made = environment()
    assert "127.0.0.1" in made["NO_PROXY"].split(",")
    assert "127.0.0.1" in made["no_proxy"].split(",")


def test_programs_of_this_python_come_first() -> None:
    assert environment()["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_is_not_given(kind: socket.SocketKind) -> None:
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert free_port(kind=kind) != port
        with pytest.raises(StartError, match=f"between {port} and {port}"):
            free_port(port, port, kind)
    assert free_port(port, port, kind) == port
