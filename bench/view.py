"""How long somebody waits for ``otel-prefect trace``: the start alone, and with large executions.

``python -m bench.view`` writes ``bench/VIEW.md``. Each figure is of whole processes, the median of several,
with the most that a process had in memory. Executions are read from a file, so no network is in them.
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_prefect.view import otlp_json
from otel_prefect.view.execution import Execution, Span, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS: Final = Path(__file__).with_name("VIEW.md")
TRACE_ID: Final = "3c32c20299554b90b9365fbd34f1a6d5"
SIZES: Final = (100, 20_000, 100_000)
_TIMES: Final = 5
_BEGAN: Final = 1_795_616_667.0


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        what: the case.
        seconds: the median.
        mebibytes: the most that a process had in memory.
    """

    what: str
    seconds: float
    mebibytes: float


def execution(size: int, seed: int = 1) -> Execution:
    """Return a flow with many tasks and programs, some of them failed.

    Args:
        size: how many spans.
        seed: of what is random in it.
    """
    source = random.Random(seed)  # noqa: S311 - a simulation
    spans = [Span(f"{1:016x}", None, "flow big", _BEGAN, _BEGAN + 3600, service="flow")]
    for number in range(1, size):
        near = spans[source.randrange(max(0, number - 200), number)] if number % 3 else spans[0]
        start = source.uniform(near.start, near.until(near.start))
        end = source.uniform(start, near.until(start))
        spans.append(
            Span(
                f"{number + 1:016x}",
                near.id,
                f"task {number % 7}",
                start,
                end,
                Status.FAULT if number % 500 == 0 else Status.OK,
                f"program-{number % 11}" if number % 50 == 0 else None,
                {"prefect.run.name": f"task-{number}", "source": "crm"},
            )
        )
    return Execution(TRACE_ID, spans)


def measured(what: str, arguments: Sequence[str]) -> Measured:
    """Run the command several times, one after another."""
    command = [str(Path(sys.executable).with_name("otel-prefect")), *arguments]
    seconds = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    # Of the largest child so far: cases go from small to large.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return Measured(what, statistics.median(seconds), peak)


def main() -> int:
    """Measure and write the page."""
    found = [measured("`otel-prefect --version`", ["--version"])]
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            file = Path(folder) / f"{size}.json"
            file.write_text(otlp_json.written(execution(size)))
            run = f"1-{TRACE_ID[:8]}-{TRACE_ID[8:]}"
            found.append(measured(f"trace, {size:,} spans", ["trace", run, "--file", str(file)]))
    rows = [f"| {each.what} | {each.seconds:.2f} s | {each.mebibytes:.0f} MiB |" for each in found]
    text = (
        "# How long somebody waits for `otel-prefect trace`\n\n"
        f"Made by `python -m bench.view`: whole processes, the median of {_TIMES}, read from a file.\n\n"
        "| | time | memory |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )
    RESULTS.write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
