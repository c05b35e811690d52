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
from tests.support.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS: Final = Path(__file__).with_name("VIEW.md")
TRACE_ID: Final = "3c32c20299554b90b9365fbd34f1a6d5"
SIZES: Final = (100, 20_000, 100_000)
_TIMES: Final = 5
_SCROLLS: Final = 200
_SCROLL: Final = """async (count) => {
  const rows = document.getElementById('rows');
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  let before = await frame();
  for (let n = 1; n <= count; n++) {
    rows.scrollTop = (rows.scrollHeight * n) / count;
    const now = await frame();
    times.push(now - before);
    before = now;
  }
  return times;
}"""
# Without the time that it waits for another key.
_SEARCH: Final = """async (word) => {
  const box = document.getElementById('search');
  box.value = word;
  const began = performance.now();
  document.querySelector('#states input').dispatchEvent(new Event('change'));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - began;
}"""
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


@dataclass(frozen=True)
class Browsed:
    """What a page was like in a browser; times in milliseconds.

    Attributes:
        size: how many spans.
        mebibytes: of the file.
        opening: until its rows are there.
        frames: of scrolling, each.
        searches: each.
    """

    size: int
    mebibytes: float
    opening: float
    frames: Sequence[float]
    searches: Sequence[float]

    def row(self) -> str:
        """Return it as a row of the table."""
        times = (
            self.opening,
            statistics.median(self.frames),
            max(self.frames),
            self.searches[0],
            statistics.median(self.searches[1:]),
        )
        cells = [f"{self.size:,}", f"{self.mebibytes:.1f} MiB", *(f"{each:.0f} ms" for each in times)]
        return "| " + " | ".join(cells) + " |"


def browsed(size: int, page: Path) -> Browsed:
    """Open a page, scroll through it and search in it."""
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        tab.goto(page.as_uri())
        opening = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        frames = tab.evaluate(_SCROLL, _SCROLLS)
        searches = [
            tab.evaluate(_SEARCH, word) for word in ("task-1", "task-19", "program-3", "crm", "task 4")
        ]
    return Browsed(size, page.stat().st_size / 2**20, opening, frames, searches)


def main() -> int:
    """Measure and write the page."""
    found = [measured("`otel-prefect --version`", ["--version"])]
    in_browser: list[Browsed] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            file = Path(folder) / f"{size}.json"
            file.write_text(otlp_json.written(execution(size)))
            run = f"1-{TRACE_ID[:8]}-{TRACE_ID[8:]}"
            arguments = ["trace", run, "--file", str(file)]
            found.append(measured(f"trace, {size:,} spans", arguments))
            page = Path(folder) / f"{size}.html"
            found.append(measured(f"trace --html, {size:,} spans", [*arguments, "--html", str(page)]))
            in_browser.append(browsed(size, page))
    rows = [f"| {each.what} | {each.seconds:.2f} s | {each.mebibytes:.0f} MiB |" for each in found]
    text = (
        "# How long somebody waits for `otel-prefect trace`\n\n"
        f"Made by `python -m bench.view`: whole processes, the median of {_TIMES}, read from a file.\n\n"
        "| | time | memory |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
        "The page, in a headless Chromium without a graphics card: from its opening until its rows are "
        f"there; the frames while {_SCROLLS} screenfuls are scrolled through, the median and the longest; "
        "from a search until the rows that are found are there, two frames at least, the first time and the "
        "median of the next.\n\n"
        "| spans | file | opening | a frame | longest | first search | search |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n" + "\n".join(each.row() for each in in_browser) + "\n"
    )
    RESULTS.write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
