"""What a run was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

from bench import ways
from otel_prefect.collector import build as collector_build
from otel_prefect.collector import start as collector


def describe() -> dict[str, str]:
    """Return name and value of all that the figures depend on."""
    total = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _output("git", "-C", str(ways.ROOT), "describe", "--always", "--dirty"),
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{int(total.split()[1]) / 1e6:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load average before the run": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "Python": f"{platform.python_version()}, grpcio {importlib.metadata.version('grpcio')}, "
        f"protobuf {importlib.metadata.version('protobuf')}",
        "Collector": _output(str(collector.find()), "--version").rpartition(" ")[2],
        "Go": _output(str(collector_build.find_go()), "env", "GOVERSION"),
        "rotel": _rotel_version(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _rotel_version() -> str:
    try:
        agent = ways.rotel_agent()
    except ways.Unavailable:
        return "none"
    return (
        next(agent.parent.parent.glob("rotel-*.dist-info")).name.removesuffix(".dist-info").partition("-")[2]
    )


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
