"""Where data goes, and whether the Collector takes the configuration that says so."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from otel_prefect import semconv
from otel_prefect.collector import start
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.collector import validate
from otel_prefect.doctor.findings import Finding, Status, Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANAGED: Final = semconv.ENV_COLLECTOR.default
_SECONDS: Final = 5.0


def destinations(surroundings: Surroundings) -> Iterator[Finding]:
    """Say which layers the environment names: all later checks go by them."""
    what = "destinations"
    try:
        start.layers(surroundings.environ)
    except start.UnknownLayer as error:
        variable = str(error).partition(":")[0]
        yield Finding(what, Status.WRONG, str(error), f"{variable}: name layers that there are")
        return
    by_signal: dict[str, list[str]] = {}
    for layer in surroundings.layers:
        signal, _, name = layer.partition("/")
        by_signal.setdefault(signal, []).append(name)
    said = "; ".join(f"{signal} to {', '.join(names)}" for signal, names in by_signal.items())
    picked = surroundings.picked
    if picked is not None:
        status = Status.RIGHT if picked.sure else Status.NOTE
        yield Finding(what, status, f"{said} (auto is {picked.layer}: {picked.why})")
        return
    variables = (semconv.ENV_TRACES, semconv.ENV_LOGS, semconv.ENV_METRICS)
    if any(surroundings.environ.get(variable.name) for variable in variables):
        yield Finding(what, Status.RIGHT, said)
        return
    names = ", ".join(variable.name for variable in variables)
    yield Finding(what, Status.RIGHT, f"{said} (the defaults: no variable of {names} is set here)")


def check(surroundings: Surroundings) -> Iterator[Finding]:
    """Look for the Collector, and let it check what it would be started with."""
    elsewhere = surroundings.value(semconv.ENV_COLLECTOR)
    if elsewhere != _MANAGED:
        yield _reachable(elsewhere)
        return
    try:
        program = start.find(surroundings.environ)
    except start.CollectorNotFound as error:
        yield _not_found(surroundings, str(error))
        return
    yield Finding("collector", Status.RIGHT, f"found: {program}")
    yield _configuration()


def _not_found(surroundings: Surroundings, why: str) -> Finding:
    what = "collector"
    if surroundings.sidecar_healthy:
        return Finding(what, Status.SKIPPED, "there is none in this container; the sidecar's takes data")
    named = surroundings.environ.get(semconv.ENV_OTELCOL_BIN.name)
    if not named and surroundings.environ.get(semconv.ENV_ECS_METADATA.name):
        return Finding(what, Status.SKIPPED, "there is none in this container; run this in the sidecar's")
    return Finding(what, Status.WRONG, why, "otel-prefect collector build")


def _configuration() -> Finding:
    what = "collector: configuration"
    try:
        validate()
    except (CommandError, start.UnknownLayer, start.InvalidSetting, OSError) as error:
        # Without a region its exporters ask the machine for one, which ECS does not let a task do.
        mend = "AWS_REGION=eu-west-1, or where you are" if "GetRegion" in str(error) else ""
        return Finding(what, Status.WRONG, str(error), mend)
    return Finding(what, Status.RIGHT, "the Collector takes it")


def _reachable(address: str) -> Finding:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS):
            return Finding("collector", Status.RIGHT, f"{address} takes connections")
    except (OSError, ValueError) as error:
        variable = semconv.ENV_COLLECTOR.name
        return Finding(
            "collector",
            Status.WRONG,
            f"{variable}={address}: {error}",
            f"{variable}=managed, or host:port of a Collector that takes OTLP/gRPC",
        )
