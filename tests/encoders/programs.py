"""Builds the programs beside this file, once: each is kept in .cache by the content that it is made from."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from otel_prefect.collector import build as collector_build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "encoders"
_COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies"


class BuildError(Exception):
    """Raised when a program cannot be built; the text says what is missing or what went wrong."""


def command(language: str) -> list[str]:
    """Return the command that runs the program of a language; it is built where it is not in the cache.

    Raises:
        BuildError: a tool is missing, or failed.
    """
    if language == "python":
        return [sys.executable, str(HERE / "python" / "emit.py")]
    build, run = _LANGUAGES[language]
    source = HERE / language
    made_from = hashlib.sha256()
    for file in sorted(source.iterdir()):
        made_from.update(file.name.encode() + b"\0" + file.read_bytes())
    folder = CACHE / f"{language}-{made_from.hexdigest()[:16]}"
    with collector_build.only_one(folder.with_suffix(".lock")):
        if not folder.is_dir():
            # Moved into place when it is whole: a build that was cut off leaves nothing to be taken for it.
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="building-") as staging:
                made = Path(staging) / language
                shutil.copytree(source, made)
                build(made)
                made.rename(folder)
    return run(folder)


def _build_go(folder: Path) -> None:
    try:
        go = collector_build.find_go()
    except collector_build.BuildError as error:
        raise BuildError(f"the Go encoder needs Go: {error}") from None
    _run(
        [str(go), "build", "-trimpath", "-o", "emit", "."],
        folder,
        collector_build.go_environment(os.environ, go),
    )


def _build_java(folder: Path) -> None:
    maven = _tool("mvn", "Java", "apt-get install maven")
    javac = _tool("javac", "Java", "apt-get install openjdk-17-jdk-headless")
    # --strict-checksums: a jar that is not what the repository says it is fails the build.
    _run([maven, "--batch-mode", "--strict-checksums", _COPY_JARS, "-DoutputDirectory=jars"], folder)
    _run(
        [javac, "--release", "17", "-encoding", "UTF-8", "-cp", "jars/*", "-d", "classes", "Emit.java"],
        folder,
    )


def _build_js(folder: Path) -> None:
    npm = _tool("npm", "JavaScript", "apt-get install nodejs npm, version 20 or later")
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)


_LANGUAGES: dict[str, tuple[Callable[[Path], None], Callable[[Path], list[str]]]] = {
    "go": (_build_go, lambda folder: [str(folder / "emit")]),
    "java": (_build_java, lambda folder: ["java", "-cp", f"{folder}/classes:{folder}/jars/*", "Emit"]),
    "js": (_build_js, lambda folder: ["node", str(folder / "emit.mjs")]),
}
LANGUAGES = ("go", "java", "js", "python")


def _tool(name: str, language: str, advice: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BuildError(f"the {language} encoder needs `{name}`, which is not on PATH: {advice}")
    return found


def _run(command: list[str], folder: Path, environ: Mapping[str, str] = os.environ) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
