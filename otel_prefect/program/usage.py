"""What a program has used, and whether the kernel killed something for want of memory meanwhile."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from resource import struct_rusage

_CGROUPS = Path("/sys/fs/cgroup")
_OOM_KILL = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def attributes(usage: struct_rusage) -> dict[str, int | float]:
    """Return what a program and the children that it has waited for used, as attributes of its span.

    Args:
        usage: as ``os.wait4`` gives it. Its peak is of the largest single process, and never less than what
            ``otel-prefect`` itself has, since Linux counts the moment between fork and exec.
    """
    # getrusage(2): KiB on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        semconv.PROCESS_MEMORY_PEAK: usage.ru_maxrss * unit,
        semconv.PROCESS_CPU_USER: usage.ru_utime,
        semconv.PROCESS_CPU_SYSTEM: usage.ru_stime,
    }


def out_of_memory_kills() -> int:
    """Return how many processes of this container the kernel has killed for want of memory; 0 if unknown."""
    for path in _counters():
        try:
            found = _OOM_KILL.search(path.read_text())
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


def _counters() -> Iterator[Path]:
    """Yield where the counter may be: of our own cgroup, or in a container at the root, version 2 or 1.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files, cgroup-v1/memory.html.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        inside = group.lstrip("/")
        if "memory" in controllers.split(","):
            yield _CGROUPS / "memory" / inside / "memory.oom_control"
            yield _CGROUPS / "memory" / "memory.oom_control"
        elif not controllers:
            yield _CGROUPS / inside / "memory.events"
            yield _CGROUPS / "memory.events"
