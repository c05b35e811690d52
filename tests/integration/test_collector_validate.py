"""The real Collector accepts what it is given, and says in one line what it does not accept."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, product
from typing import TYPE_CHECKING

import pytest

from demo.processes import environment
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from otel_prefect.commands import cli

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SIGNALS = ("traces", "logs", "metrics")
# The first Collector has no such exporter; the second validates these two layers.
NOT_IN_THE_FIRST = "opensearch"


def known(signal: str) -> list[str]:
    return [name for name in collector.known_layers(signal) if name != NOT_IN_THE_FIRST]


def subsets(names: list[str]) -> list[tuple[str, ...]]:
    return [each for size in range(1, len(names) + 1) for each in combinations(names, size)]


def settings(**chosen: tuple[str, ...]) -> dict[str, str]:
    """Return a complete environment in which the signals go to the layers chosen, else nowhere."""
    layers = {f"OTEL_PREFECT_{signal.upper()}": ",".join(chosen.get(signal, ("none",))) for signal in SIGNALS}
    return environment(
        {
            **layers,
            # sigv4auth asks for credentials when it is validated.
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_EC2_METADATA_DISABLED": "true",
            # To validate, the Collector makes its receivers, and this one takes its port at once.
            semconv.ENV_XRAY_UDP_ENDPOINT.name: "127.0.0.1:0",
            semconv.ENV_OTLP_ENDPOINT.name: "127.0.0.1:4317",
            semconv.ENV_OPENSEARCH_ENDPOINT.name: "http://127.0.0.1:9200",
            semconv.ENV_PROMETHEUS_ENDPOINT.name: "http://127.0.0.1:9090/api/v1/write",
            semconv.ENV_OPENSEARCH_INGESTION_ENDPOINT.name: "https://pipeline.example.com/path",
        }
    )


def validate(
    chosen: Mapping[str, tuple[str, ...]], distribution: collector.Distribution = collector.MAIN
) -> str | None:
    """Return what the Collector rejects a choice with; None where it accepts it."""
    environ = settings(**chosen)
    command = [str(collector.find(distribution=distribution)), "validate"]
    done = subprocess.run(
        [*command, *collector.arguments(environ, distribution)],
        env=collector.environment(environ, distribution),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return None if done.returncode == 0 else f"{chosen}: {done.stderr}"


def rejected(choices: Sequence[Mapping[str, tuple[str, ...]]]) -> list[str]:
    with ThreadPoolExecutor(2) as pool:
        return [words for words in pool.map(validate, choices) if words is not None]


@pytest.mark.parametrize("signal", SIGNALS)
def test_every_set_of_layers_of_a_signal_is_valid(signal: str) -> None:
    """With the pairs across signals, and no two files defining one key, that is every combination.

    That no two files define the same key is asserted in tests/unit/test_collector.py: merging cannot
    change what stands in a file, so a combination can only fail where a pair in it fails.
    """
    choices = [{signal: subset} for subset in subsets(known(signal))]
    assert len(choices) == 2 ** len(known(signal)) - 1
    assert rejected(choices) == []


@pytest.mark.parametrize(("one", "other"), list(combinations(SIGNALS, 2)))
def test_every_pair_of_layers_across_signals_is_valid(one: str, other: str) -> None:
    choices = [{one: (first,), other: (second,)} for first, second in product(known(one), known(other))]
    assert rejected(choices) == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:9090/api/v1/otlp/v1/metrics",
        "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write",
    ],
)
def test_prometheus_is_written_to_by_either_protocol_and_signed(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings(metrics=("prometheus",)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(semconv.ENV_PROMETHEUS_ENDPOINT.name, endpoint)
    assert cli.main(["collector", "validate"]) == 0
    assert capsys.readouterr().out == "the configuration is valid\n"


def test_the_opensearch_layers_are_valid_in_the_collector_that_has_the_exporter() -> None:
    assert validate({}, collector.OPENSEARCH) is None


def test_a_gateway_takes_every_layer_that_a_sidecar_takes() -> None:
    everything = {signal: tuple(known(signal)) for signal in SIGNALS}
    assert validate(everything, collector.GATEWAY) is None


@pytest.mark.parametrize("resolver", ["static", "dns", "cloud-map"])
def test_a_balancer_is_valid_with_each_way_to_find_its_gateways(
    resolver: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(semconv.ENV_GATEWAY_RESOLVER.name, resolver)
    monkeypatch.setenv(semconv.ENV_GATEWAYS.name, "gateways")
    monkeypatch.setenv(semconv.ENV_GATEWAYS_NAMESPACE.name, "telemetry")
    assert cli.main(["collector", "validate", "--distribution", "balancer"]) == 0
    assert capsys.readouterr().out == "the configuration is valid\n"


def test_the_collectors_own_message_is_shown_in_one_line_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("exporters: {otlp_grpc/mine: {endpoint: here}}")
    for name, value in settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(semconv.ENV_COLLECTOR_CONFIG.name, str(own))
    assert cli.main(["collector", "validate"]) == 1
    message = capsys.readouterr().err
    assert message.startswith(
        "otel-prefect: the Collector rejects the configuration: exporters::otlp_grpc/mine"
    )
    assert message.count("\n") == 1


def test_a_valid_configuration_is_said_to_be_valid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings().items():
        monkeypatch.setenv(name, value)
    assert cli.main(["collector", "validate"]) == 0
    assert capsys.readouterr().out == "the configuration is valid\n"


def test_a_configuration_can_be_validated_while_a_collector_with_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as running:
        running.bind(("127.0.0.1", 0))
        for name, value in settings().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(semconv.ENV_XRAY_UDP_ENDPOINT.name, f"127.0.0.1:{running.getsockname()[1]}")
        assert cli.main(["collector", "validate"]) == 0


def test_components_shows_the_exporters_of_the_binary(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["collector", "components"]) == 0
    assert "awscloudwatchlogs" in capsys.readouterr().out
    assert cli.main(["collector", "components", "--distribution", "opensearch"]) == 0
    assert "opensearch" in capsys.readouterr().out
