"""Runs Python code as a container of a run does: under ``opentelemetry-instrument``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from demo.processes import environment

INSTRUMENT = str(Path(sys.executable).parent / "opentelemetry-instrument")


def run_code(code: str, variables: dict[str, str]) -> str:
    """Run code to its end with these variables; return its stderr. Fails where its exit code is not 0."""
    done = subprocess.run(
        [INSTRUMENT, sys.executable, "-c", code],
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
