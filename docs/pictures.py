"""Makes the pictures in ``docs/images``: a run that failed, as the terminal and as the page show it.

``python docs/pictures.py`` needs Chromium. Look at what it has made before you commit it.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console

from otel_prefect import ids, links, semconv
from otel_prefect.view.execution import Caught, Execution, Span, Status
from otel_prefect.view.log_lines import Line
from otel_prefect.view.page import html
from otel_prefect.view.terminal.show import show
from tests.support.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

IMAGES: Final = Path(__file__).with_name("images")
RUN_ID: Final = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
BEGAN: Final = 1_795_616_667.0
SIZE: Final = {"width": 1280, "height": 860}
COLUMNS: Final = 118
BAD: Final = Status.FAULT
CAUGHT: Final = Caught(
    "EOFError",
    "Compressed file ended before the end-of-stream marker was reached",
    (
        "ingest.py:65 in <module>",
        "ingest.py:43 in main",
        "ingest.py:25 in read",
        "gzip.py:608 in decompress",
    ),
)
# Source, when its ingestion began, and how long it took.
LOADED: Final = (("shop", 4.2, 2.1), ("payments", 4.4, 1.8))


def main() -> None:
    """Write the pictures."""
    IMAGES.mkdir(exist_ok=True)
    execution, lines = Execution(ids.trace_id_of(RUN_ID), spans()), sorted(log(), key=lambda line: line.time)
    trace_id = int(execution.trace_id, 16)
    places = links.of_run("eu-west-1", "/otel-prefect", trace_id, execution.start, execution.end)
    places["Prefect"] = links.prefect_flow_run("https://prefect.example.com", RUN_ID)
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(show(execution, lines))
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "it.html"
        file.write_text(console.export_html(inline_styles=True), encoding="utf-8")
        picture(browser, file, "trace-terminal", "light")
        file.write_text(html.page(execution, lines, None, places), encoding="utf-8")
        for scheme in ("light", "dark"):
            picture(browser, file, f"trace-page-{scheme}", scheme)


def picture(browser: Browser, file: Path, name: str, scheme: str) -> None:
    """Take a picture of a page as it opens."""
    page = browser.new_page(
        viewport=SIZE if "page" in name else {"width": 990, "height": 100},  # type: ignore[arg-type]
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(file.as_uri())
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / f"{name}.png", full_page="page" not in name)
    page.close()


def spans() -> Iterator[Span]:
    """Yield the spans of a flow whose ingestion of one source fails three times."""
    yield span("f", None, "flow daily-sales", 0, 31.4, BAD, service="daily-sales-flow", **FLOW)
    yield span("e", "f", "task extract", 0.6, 1.1)
    for number, (source, start, took) in enumerate(LOADED):
        yield span(f"t{number}", "f", "task ingest", 1.2, start + took + 0.9)
        yield program(f"p{number}", f"t{number}", source, start, took, Status.OK)
    yield span("t9", "f", "task ingest", 1.2, 30.9, BAD)
    for number, start in enumerate((1.3, 13.2, 25.1)):
        end = start + 5.7
        attempt = {semconv.PREFECT_RUN_TYPE: semconv.RUN_TYPE_ATTEMPT}
        yield span(f"a{number}", "t9", f"attempt {number + 1}", start, end, BAD, **attempt)
        yield program(f"c{number}", f"a{number}", "crm", start + 2.9, 2.1, BAD)


FLOW: Final = {
    semconv.RECORD_FLOW_RUN_ID: RUN_ID,
    semconv.FLOW_NAME: "daily-sales",
    semconv.PREFECT_RUN_NAME: "hungry-flounder",
    semconv.PREFECT_STATE_NAME: "Failed",
    semconv.DEPLOYMENT_NAME: "production",
}


def program(  # noqa: PLR0913, PLR0917 - as below
    id_: str, parent: str, source: str, start: float, took: float, status: Status
) -> Span:
    """Return an ingestion's container."""
    attributes = {"source": source, "stage": "ingest", semconv.PROCESS_EXIT_CODE: int(status is BAD)}
    caught = (CAUGHT,) if status is BAD else ()
    name = "daily-sales-ingest"
    end = start + took
    return span(id_, parent, "ingest", start, end, status, service=name, caught=caught, **attributes)


def span(  # noqa: PLR0913, PLR0917 - the facts of a span
    id_: str,
    parent: str | None,
    name: str,
    start: float,
    end: float,
    status: Status = Status.OK,
    *,
    service: str | None = None,
    caught: tuple[Caught, ...] = (),
    **attributes: object,
) -> Span:
    """Return a span by seconds from the start of the run."""
    parent_id = None if parent is None else f"{parent:0>16}"
    return Span(
        f"{id_:0>16}", parent_id, name, BEGAN + start, BEGAN + end, status, service, attributes, caught
    )


def log() -> Iterator[Line]:
    """Yield what the processes say."""
    for source, start, took in LOADED:
        yield said(start + took - 0.3, "INFO", f"{source}: 5263 rows loaded, 0 rejected", source)
    for start in (4.2, 16.1, 28.0):
        yield said(start + 0.6, "INFO", "crm: reading landing/crm/2026-03-01.jsonl.gz", "crm")
        yield said(start + 1.5, "WARN", "crm: the file has 2567 bytes, yesterday's had 5135", "crm")
        yield said(start + 2.1, "FATAL", f"EOFError: {CAUGHT.message}", "crm")


def said(second: float, level: str, message: str, source: str) -> Line:
    """Return a line of an ingestion's log."""
    return Line(BEGAN + second, level, "daily-sales-ingest", message, fields={"source": source})


if __name__ == "__main__":
    main()
