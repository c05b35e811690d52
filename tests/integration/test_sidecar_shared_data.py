"""Tasks that share a data folder: what a lost one leaves is sent by ``python -m sidecar send-left``."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support import load, otlp_sink, sidecar
from tests.support.collector import wait_for
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.otlp_sink import OtlpSink


def environment(root: Path, destination: int, **more: str) -> dict[str, str]:
    return sidecar.environment(
        root,
        OTEL_PREFECT_DATA_SHARED="true",
        OTEL_PREFECT_QUEUE_FSYNC="true",
        OTEL_PREFECT_TRACES="otlp",
        OTEL_PREFECT_LOGS="otlp",
        OTEL_PREFECT_OTLP_ENDPOINT=f"http://127.0.0.1:{destination}",
        **more,
    )


@contextlib.contextmanager
def send_left(environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run the command for the block; it is killed at the end if it still runs."""
    with subprocess.Popen(
        (*sidecar.COMMAND, "send-left"),
        cwd=sidecar.ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(environ: dict[str, str]) -> tuple[int, str, str]:
    """Run the command to its end; return its exit code, its output and its log."""
    with send_left(environ) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def lose_a_task(folder: Path, root: Path, destination: int) -> set[str]:
    """Run a sidecar whose destination is away, and lose it with all of it; return the spans it took."""
    with sidecar.healthy(sidecar.launch(folder, environment(root, destination))) as lost:
        sent = load.Load(lost.grpc_port, lost.http_port, "lost", signals=("traces",))
        with load.running(sent):
            sent.wait_acknowledged(500)
        collector = lost.collector_pid()
        lost.process.kill()
        wait_for(lambda: alive(collector), lambda there: not there, 10)
    return set(sent.acknowledged["traces"])


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def found(sink: OtlpSink) -> Counter[str]:
    return Counter(span.record.span_id.hex() for span in sink.spans())


@pytest.fixture
def destination() -> int:
    """A port at which nothing listens yet."""
    (port,) = free_ports(1)
    return port


def test_what_a_lost_task_left_is_sent_once_and_its_folder_removed(tmp_path: Path, destination: int) -> None:
    root = tmp_path / "efs"
    (tmp_path / "lost").mkdir()
    (tmp_path / "lives").mkdir()
    taken = lose_a_task(tmp_path / "lost", root, destination)
    (left,) = folders(root)
    with (
        sidecar.healthy(sidecar.launch(tmp_path / "lives", environment(root, destination))) as lives,
        otlp_sink.serving(grpc_port=destination) as sink,
    ):
        (of_living,) = set(folders(root)) - {left}
        code, out, err = ended(environment(root, destination))
        assert code == 0, err
        told = json.loads(out)
        assert told["task"] == left
        assert told["delivered"]["traces"] == {"otlp_grpc/traces": len(taken)}
        assert told["left_on_disk"] == {}
        assert set(found(sink)) == taken
        assert set(found(sink).values()) == {1}
        assert folders(root) == [of_living]
        # A task that ends with nothing left takes its folder along.
        assert lives.stop()["left_on_disk"] == {}
        assert folders(root) == []
        assert ended(environment(root, destination))[:2] == (0, "")


def test_what_cannot_be_sent_stays_and_the_exit_code_says_so(tmp_path: Path, destination: int) -> None:
    root = tmp_path / "efs"
    (tmp_path / "lost").mkdir()
    taken = lose_a_task(tmp_path / "lost", root, destination)
    before = folders(root)
    with send_left(environment(root, destination)) as sender:
        with pytest.raises(subprocess.TimeoutExpired):
            sender.wait(5)  # it goes on trying
        sender.send_signal(signal.SIGTERM)
        out, err = sender.communicate(timeout=30)
        assert sender.returncode == 1, err
    assert json.loads(out)["left_on_disk"]["traces"]["otlp_grpc/traces"] > 0
    assert folders(root) == before
    with otlp_sink.serving(grpc_port=destination) as sink:
        assert ended(environment(root, destination))[0] == 0
        assert set(found(sink)) == taken


def test_a_task_that_ends_while_its_destination_is_away_leaves_its_queues(
    tmp_path: Path, destination: int
) -> None:
    root = tmp_path / "efs"
    environ = environment(root, destination, OTEL_PREFECT_DRAIN_SECONDS="1")
    with sidecar.healthy(sidecar.launch(tmp_path, environ)) as running:
        sent = load.Load(running.grpc_port, running.http_port, "left", signals=("traces",))
        with load.running(sent):
            sent.wait_acknowledged(50)
        assert running.stop()["left_on_disk"]["traces"]["otlp_grpc/traces"] > 0
    assert len(folders(root)) == 1


def test_where_nothing_is_shared_the_command_says_so(tmp_path: Path, destination: int) -> None:
    environ = {**environment(tmp_path, destination), "OTEL_PREFECT_DATA_SHARED": "false"}
    code, _, err = ended(environ)
    assert code == 1
    assert "OTEL_PREFECT_DATA_SHARED is not true" in err
