"""What a client was told OK for is found at its destination, whatever happens on the way.

Every scenario runs the real sidecar with the real Collector and ends in counting ids: those of which a client
was told OK against those found at the destination. Lost must be 0; duplicates are shown by ``pytest -rP``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import aws_faults, load, otlp_sink, sidecar
from tests.support.aws_faults import Fault
from tests.support.collector import wait_for
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.aws_faults import Aws
    from tests.support.load import Load
    from tests.support.otlp_sink import OtlpSink
    from tests.support.sidecar import RunningSidecar


Record = Callable[[str, object], None]

# The shipped time-outs and pauses, shortened: a test of seconds sees what minutes see with the shipped ones.
IMPATIENT = """
exporters:
  otlp_grpc/loop-xray:
    timeout: 5s
    retry_on_failure: {initial_interval: 100ms, max_interval: 500ms}
  awsxray: {request_timeout_seconds: 1}
  awscloudwatchlogs:
    request_timeout_seconds: 1
    retry_on_failure: {initial_interval: 100ms, max_interval: 500ms}
"""


def environment(folder: Path, aws: Aws, **more: str) -> dict[str, str]:
    """Return what a sidecar is started with: to the fake region, with short pauses."""
    impatient = folder / "impatient.yaml"
    impatient.write_text(IMPATIENT)
    layers = {"OTEL_PREFECT_TRACES": "xray", "OTEL_PREFECT_LOGS": "cloudwatch"}
    return sidecar.environment(
        folder / "data",
        **{
            **layers,
            **aws.variables(),
            "OTEL_PREFECT_COLLECTOR_CONFIG": str(impatient),
            "OTEL_PREFECT_LOG_STREAM": "test",
            **more,
        },
    )


def started(folder: Path, environ: dict[str, str]) -> AbstractContextManager[RunningSidecar]:
    """Run a sidecar; a second time with the same environment it takes the first one's place."""
    return sidecar.healthy(sidecar.launch(folder, environ))


def clients(running: RunningSidecar, name: str, **settings: Any) -> Load:
    return load.Load(running.grpc_port, running.http_port, name, **settings)


def in_aws(aws: Aws) -> Callable[[str], Counter[str]]:
    """Return what reads the ids that arrived in X-Ray and CloudWatch Logs, by signal."""
    return lambda name: (aws.segments if name == "traces" else aws.events).copy()


def in_sink(sink: OtlpSink) -> Callable[[str], Counter[str]]:
    """Return what reads the ids that arrived over OTLP, by signal."""

    def found(name: str) -> Counter[str]:
        if name == "traces":
            return Counter(span.record.span_id.hex() for span in sink.spans())
        return Counter(record.record.body.string_value.split(" ")[0] for record in sink.logs())

    return found


def settle(found: Callable[[str], Counter[str]], sent: Load, record: Record, seconds: float = 30) -> None:
    """Wait until all that was acknowledged is found; fail with the accounts if it does not come to that."""
    deadline = time.monotonic() + seconds
    while True:
        accounts = [load.account(name, set(sent.acknowledged[name]), found(name)) for name in sent.signals]
        lost = sum(account.lost for account in accounts)
        if not lost or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    told = f"{sent.name}: {'; '.join(map(str, accounts))}; told to come again: {sent.answers}"
    record("accounts", told)
    print(told)  # noqa: T201 - what `pytest -rP` shows
    assert lost == 0, told
    assert sent.refused == [], told
    assert all(account.acknowledged for account in accounts), told


@pytest.fixture
def record(record_property: Record) -> Record:
    return record_property


@pytest.fixture
def aws() -> Iterator[Aws]:
    region = aws_faults.region()
    with aws_faults.serving(region):
        yield region


def test_a_collector_killed_under_load_loses_nothing(aws: Aws, tmp_path: Path, record: Record) -> None:
    with started(tmp_path, environment(tmp_path, aws)) as running:
        with load.running(clients(running, "kill -9 of the Collector")) as sent:
            for _ in range(2):
                sent.wait_acknowledged(200)
                os.kill(running.collector_pid(), signal.SIGKILL)
                sent.wait_acknowledged(200)
        settle(in_aws(aws), sent, record)
        assert running.stop()["left_on_disk"] == {}


def test_a_sidecar_killed_under_load_loses_nothing_that_the_next_one_does_not_deliver(
    aws: Aws, tmp_path: Path, record: Record
) -> None:
    aws.faults = (Fault.UNAVAILABLE,)  # so that all of it waits on disk
    environ = environment(tmp_path, aws)
    with started(tmp_path, environ) as running:
        sent = clients(running, "kill -9 of the sidecar")
        with load.running(sent):
            sent.wait_acknowledged(200)
            running.process.kill()
            running.process.wait()
            with started(tmp_path, environ) as after:
                sent.wait_acknowledged(200)
                assert not aws.segments, "nothing was delivered yet"
                aws.faults = (None,)
                sent.stop()
                settle(in_aws(aws), sent, record)
                assert after.stop()["left_on_disk"] == {}


# --- destinations misbehave ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Aws, RunningSidecar]]:
    """One sidecar and one region for the tests that heal the region again."""
    folder = tmp_path_factory.mktemp("sidecar")
    region = aws_faults.region()
    with aws_faults.serving(region), started(folder, environment(folder, region)) as running:
        yield region, running


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((Fault.THROTTLE,), id="429"),
        pytest.param((Fault.INTERNAL, Fault.UNAVAILABLE), id="5xx"),
        pytest.param((Fault.HANG,), id="hangs"),
        pytest.param((Fault.RESET,), id="resets"),
        pytest.param((Fault.DENIED,), id="no permission"),
        pytest.param(
            (None, Fault.THROTTLE, Fault.LOSE_ANSWER, None, Fault.HANG, Fault.INTERNAL, Fault.RESET),
            id="a mixture",
        ),
    ],
)
def test_a_destination_that_misbehaves_gets_everything_once_it_is_well(
    shared: tuple[Aws, RunningSidecar],
    faults: tuple[Fault | None, ...],
    record: Record,
    request: pytest.FixtureRequest,
) -> None:
    aws, running = shared
    aws.requests.clear()
    aws.faults = faults
    with load.running(clients(running, request.node.callspec.id)) as sent:
        sent.wait_acknowledged(200)
        wait_for(
            lambda: sum(aws.requests[fault.name] for fault in faults if fault),
            lambda seen: seen >= 2 * len(faults),
        )
    aws.faults = (None,)
    settle(in_aws(aws), sent, record)
    assert sent.answers == {}, "clients notice nothing of it"


# Three at once use up the AWS SDK's hundred retries in a minute, the shipped two in six.
THREE_CONSUMERS = """
exporters:
  otlp_grpc/loop-xray:
    sending_queue: {num_consumers: 3, batch: {flush_timeout: 10ms, min_size: 1, max_size: 20}}
"""


def test_xray_throttling_every_call_for_longer_than_the_aws_sdk_has_retries_loses_nothing(
    tmp_path: Path, record: Record
) -> None:
    aws = aws_faults.region()
    environ = environment(tmp_path, aws, OTEL_PREFECT_RETRY_QUOTA_SECONDS="15")
    (tmp_path / "consumers.yaml").write_text(THREE_CONSUMERS)
    environ["OTEL_PREFECT_COLLECTOR_CONFIG"] += f",{tmp_path / 'consumers.yaml'}"
    with aws_faults.serving(aws), started(tmp_path, environ) as running:
        aws.faults = (Fault.THROTTLE,)
        sent = clients(running, "throttled for long", signals=("traces",), pause=0.2)
        with load.running(sent):
            sent.wait_acknowledged(200)
            # Each time with a full quota: two lives are longer than one quota lasts.
            wait_for(lambda: collector_starts(running), lambda starts: starts >= 3, 150)
        aws.faults = (None,)
        settle(in_aws(aws), sent, record, seconds=60)
        assert "retry quota exceeded" not in running.stderr.read_text()
        assert running.stop()["given_up"] == {}


def collector_starts(running: RunningSidecar) -> int:
    (line,) = [
        line for line in running.metrics().splitlines() if line.startswith("prefect_sidecar_collector_starts")
    ]
    return int(line.split()[-1])


def test_destinations_that_are_down_for_long_get_everything_once_they_are_back(
    tmp_path: Path, record: Record
) -> None:
    """Twenty seconds here; ``make soak`` makes it ten minutes, with the shipped time-outs and pauses."""
    soak = os.environ.get("OTEL_PREFECT_TEST_OUTAGE_SECONDS")
    seconds = float(soak or 20)
    aws = aws_faults.region()
    (otlp_port,) = free_ports(1)
    away = {
        "OTEL_PREFECT_TRACES": "xray,otlp",
        "OTEL_PREFECT_LOGS": "cloudwatch,otlp",
        "OTEL_PREFECT_OTLP_ENDPOINT": f"127.0.0.1:{otlp_port}",
    }
    if soak:
        away["OTEL_PREFECT_COLLECTOR_CONFIG"] = ""
    with started(tmp_path, environment(tmp_path, aws, **away)) as running:
        with load.running(clients(running, f"down for {seconds:g} s", pause=0.2)) as sent:
            sent.wait_acknowledged(100)
            time.sleep(seconds)  # the outage itself
            sent.wait_acknowledged(100)
            assert sent.answers == {}, "clients notice nothing of it"
        with aws_faults.serving(aws), otlp_sink.serving(grpc_port=otlp_port) as sink:
            settle(in_aws(aws), sent, record, seconds=60 + seconds / 10)
            settle(in_sink(sink), sent, record, seconds=60 + seconds / 10)
            assert running.stop()["left_on_disk"] == {}


# --- the end ------------------------------------------------------------------------------------


def test_sigterm_in_mid_load_delivers_what_it_can_and_leaves_the_rest_to_the_next_start(
    aws: Aws, tmp_path: Path, record: Record
) -> None:
    aws.faults = (None, *[Fault.UNAVAILABLE] * 7)  # slow, so that not all of it gets out
    environ = environment(tmp_path, aws, OTEL_PREFECT_DRAIN_SECONDS="2")
    with started(tmp_path, environ) as running:
        sent = clients(running, "SIGTERM in mid load")
        with load.running(sent):
            sent.wait_acknowledged(500)
            accounts = running.stop()
            sent.stop(0)
    told = {name: len(sent.acknowledged[name]) for name in sent.signals}
    assert accounts["accepted"]["traces"] >= told["traces"], "what was acknowledged stands in the accounts"
    assert accounts["accepted"]["logs"] >= told["logs"]
    assert accounts["left_on_disk"], "some of it is still there"
    assert sum(accounts["delivered"].get("traces", {}).values()) < told["traces"]
    assert accounts["given_up"] == {}
    aws.faults = (None,)
    with started(tmp_path, environ) as running:
        settle(in_aws(aws), sent, record)
        assert running.stop()["left_on_disk"] == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of a few MB has to be mounted, which needs root")
def test_a_disk_that_gets_full_has_clients_come_again_and_loses_nothing(
    tmp_path: Path, record: Record
) -> None:
    """The queues refuse before the disk does, and go on when there is room again."""
    aws = aws_faults.region()
    (tmp_path / "data").mkdir()
    with contextlib.ExitStack() as stack:
        stack.enter_context(small_disk(tmp_path / "data", mib=24))
        running = stack.enter_context(started(tmp_path, environment(tmp_path, aws)))
        sent = stack.enter_context(load.running(clients(running, "a full disk", text="x" * 2000)))
        wait_for(sent.answers.copy, lambda told: min(told.get("UNAVAILABLE", 0), told.get("503", 0)) > 4)
        stack.enter_context(aws_faults.serving(aws))
        sent.wait_acknowledged(1000)
        sent.stop()
        settle(in_aws(aws), sent, record)
        assert running.stop()["left_on_disk"] == {}
    assert "no space left on device" not in running.stderr.read_text()


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", folder], check=True)  # noqa: S607
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S607
