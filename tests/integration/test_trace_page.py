"""The page of a run, used in a real browser as people use it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from bench.view import execution as large_execution
from otel_prefect import semconv
from otel_prefect.commands import cli
from otel_prefect.view import otlp_json, words
from otel_prefect.view.execution import Caught, Execution, Status
from otel_prefect.view.log_lines import Line
from otel_prefect.view.page import html
from tests.support.browser import chromium
from tests.support.view import TRACE_ID, XRAY_TRACE_ID, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Browser, Page

BEGAN = 1_795_616_667.0
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Opened:
    """A page, with what the browser complained of and what it asked for."""

    def __init__(self, browser: Browser, path: Path, *, javascript: bool = True, width: int = 1400) -> None:
        self.context = browser.new_context(
            java_script_enabled=javascript,
            viewport={"width": width, "height": 900},
            timezone_id="Europe/Berlin",
        )
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def drawn(self) -> None:
        """Wait until what was changed is drawn: that is done with the next frame."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def names(self) -> list[str]:
        """Return what the rows say that are in sight, by their place."""
        self.drawn()
        rows = self.page.locator(".row:visible").all()
        placed = [
            (int(row.get_attribute("aria-rowindex") or 0), row.locator(".name").inner_text()) for row in rows
        ]
        return [re.sub(r"[▾▸]\s*", "", name).replace("\n", " ").strip() for _, name in sorted(placed)]

    @property
    def chosen(self) -> str:
        return str(self.page.locator("#details h3").text_content())


def run() -> tuple[Execution, list[Line]]:
    """Return a run of three processes, in which an ingestion is tried twice."""
    caught = Caught("builtins.EOFError", "the file ended early", ("load.py:40 in main", "load.py:12 in read"))
    attempts = [
        replace(
            span(f"a{n}", BEGAN + 2 + 4 * n, BEGAN + 5 + 4 * n, "t1", service="daily-sales-ingest"),
            status=Status.FAULT,
            name="ingest",
            exceptions=(caught,),
            attributes={"source": "crm", "rows": 731 + n},
        )
        for n in range(2)
    ]
    flow = replace(
        span("f", BEGAN, BEGAN + 20, service="daily-sales-flow", status=Status.FAULT),
        name="flow daily-sales",
        attributes={
            semconv.RECORD_FLOW_RUN_ID: "3c32c202-9955-4b90-b936-5fbd34f1a6d5",
            semconv.PREFECT_RUN_NAME: "hungry-flounder",
            semconv.PREFECT_STATE_NAME: "Failed",
        },
    )
    task = replace(span("t1", BEGAN + 0.5, BEGAN + 19, "f", status=Status.FAULT), name="task ingest")
    check = replace(
        span("t2", BEGAN + 0.4, BEGAN + 1.9, "f"), name="task check", attributes={"db.statement": "select 1"}
    )
    hostile = replace(span("t3", BEGAN + 19, BEGAN + 19.5, "f"), name=HOSTILE, attributes={HOSTILE: HOSTILE})
    lines = [
        Line(BEGAN + 2.5, "INFO", "daily-sales-ingest", "opening landing/crm.jsonl.gz", "a0"),
        Line(BEGAN + 8.9, "ERROR", "daily-sales-ingest", f"cannot read on {HOSTILE}", "a1"),
        Line(BEGAN + 19.9, "INFO", "daily-sales-flow", "all is said", None),
    ]
    return Execution(TRACE_ID, [flow, task, check, hostile, *attempts]), lines


def written(folder: Path, execution: Execution, lines: Sequence[Line] = (), now: float | None = None) -> Path:
    path = folder / "run.html"
    places = {"X-Ray": "https://eu-west-1.console.aws.amazon.com/x?a=1&b=2"}
    path.write_text(html.page(execution, lines, now, places), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    made = Opened(browser, written(tmp_path, *run()))
    yield made
    made.context.close()
    assert made.complaints == []


def test_it_asks_for_nothing_but_itself(opened: Opened) -> None:
    assert [url.rpartition("/")[2] for url in opened.requests] == ["run.html"]


def test_it_begins_with_what_failed_and_its_log_and_chooses_that_span(opened: Opened) -> None:
    failure = opened.page.locator(".failure").first
    expect(opened.page.locator("h1")).to_have_text("Failed flow daily-sales hungry-flounder")
    expect(failure).to_contain_text("daily-sales-ingest [crm] ▸ ingest")
    expect(failure.locator(".said")).to_have_text("EOFError: the file ended early 2 times")
    expect(failure).to_contain_text("load.py:12 in read")
    expect(failure.locator("tr.error")).to_contain_text("cannot read on")
    assert opened.chosen == "daily-sales-ingest [crm] ▸ ingest"


def test_every_span_has_a_row_under_what_it_was_done_for_with_its_attempt(opened: Opened) -> None:
    assert opened.names() == [
        "daily-sales-flow flow daily-sales",
        "task check",
        "task ingest",
        "daily-sales-ingest [crm] ingest attempt 1 of 2",
        "daily-sales-ingest [crm] ingest attempt 2 of 2",
        HOSTILE,
    ]


def test_bars_are_to_scale(opened: Opened) -> None:
    opened.drawn()
    bars = [each.bounding_box() for each in opened.page.locator(".row:visible .bar").all()]
    widths = sorted(bar["width"] for bar in bars if bar)
    cell = opened.page.locator(".row:visible .bars").first.bounding_box()
    assert cell is not None
    shares = [width / cell["width"] * 20 for width in widths]
    assert shares == pytest.approx([0.5, 1.5, 3, 3, 18.5, 20], abs=0.05)


def test_what_others_wrote_is_shown_as_text(opened: Opened) -> None:
    opened.page.locator(".row", has_text="onerror").click()
    expect(opened.page.locator("#details dl").nth(1)).to_have_text(HOSTILE * 2)
    assert opened.page.title() == "Failed: flow daily-sales hungry-flounder"
    assert opened.page.locator("img").count() == 0


@pytest.mark.parametrize(
    ("typed", "rows", "found"),
    [
        ("CHECK", ["daily-sales-flow flow daily-sales", "task check"], "1 of 6 spans"),
        ("select", ["daily-sales-flow flow daily-sales", "task check"], "1 of 6 spans"),
        ("all said", ["daily-sales-flow flow daily-sales"], "1 of 6 spans"),
        ("nowhere", [], "0 of 6 spans"),
    ],
)
def test_search_finds_names_attributes_and_log_lines(
    opened: Opened, typed: str, rows: list[str], found: str
) -> None:
    opened.page.keyboard.press("/")
    opened.page.keyboard.type(typed)
    expect(opened.page.locator("#found")).to_have_text(found)
    assert opened.names() == rows
    expect(opened.page.locator("#nothing")).to_be_visible(visible=not rows)
    opened.page.keyboard.press("Escape")
    expect(opened.page.locator("#found")).to_have_text("6 spans")
    assert len(opened.names()) == 6


def test_enter_goes_from_one_that_was_found_to_the_next(opened: Opened) -> None:
    opened.page.locator("#search").fill("eoferror")
    expect(opened.page.locator("#found")).to_have_text("2 of 6 spans")
    chosen = set()
    for _ in range(2):
        opened.page.keyboard.press("Enter")
        chosen.add(opened.page.evaluate("location.hash"))
    assert chosen == {"#a0", "#a1"}


def test_processes_and_states_can_be_chosen(opened: Opened) -> None:
    opened.page.get_by_label("daily-sales-ingest [crm] (2)").check()
    expect(opened.page.locator("#found")).to_have_text("2 of 6 spans")
    opened.page.get_by_label("ok (2)").check()
    expect(opened.page.locator("#found")).to_have_text("0 of 6 spans")
    opened.page.get_by_label("daily-sales-ingest [crm] (2)").uncheck()
    assert opened.names() == ["daily-sales-flow flow daily-sales", "task check", HOSTILE]


def test_keys_move_fold_and_zoom(opened: Opened) -> None:
    page = opened.page
    page.locator("#rows").focus()
    page.keyboard.press("Home")
    assert opened.chosen == "daily-sales-flow ▸ flow daily-sales"
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#rows")).to_have_attribute("aria-rowcount", "1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert opened.chosen == "daily-sales-flow ▸ task check"
    page.keyboard.press("z")
    # A tenth of its 1.5 s on either side of it.
    expect(page.locator("#axis")).to_contain_text("1 s")
    opened.drawn()
    width = page.locator(".row.chosen .bar").bounding_box(), page.locator(".row.chosen .bars").bounding_box()
    assert width[0] is not None
    assert width[1] is not None
    assert width[0]["width"] / width[1]["width"] == pytest.approx(1 / 1.2, abs=0.01)
    page.keyboard.press("0")
    expect(page.locator("#window")).to_be_hidden()
    page.keyboard.press("e")
    page.keyboard.press("e")
    assert opened.page.evaluate("location.hash") == "#a1"


def test_what_is_chosen_is_told_to_a_screen_reader(opened: Opened) -> None:
    page = opened.page
    page.locator("#rows").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    opened.drawn()
    active = page.locator("#rows").get_attribute("aria-activedescendant")
    row = page.locator(f"#{active}")
    expect(row).to_have_attribute("aria-selected", "true")
    expect(row).to_have_attribute("aria-level", "2")
    expect(row).to_have_attribute("aria-rowindex", "2")
    expect(row).to_contain_text("task check")


def test_lines_are_those_of_the_span_of_what_is_below_it_or_of_its_process(opened: Opened) -> None:
    page = opened.page
    # Of an ingestion, and not of the other one, which is the same service.
    expect(page.get_by_label("of its process (1)")).to_be_visible()
    page.locator("#rows").focus()
    page.keyboard.press("Home")
    lines = page.locator("#details .log tr")
    expect(lines).to_have_count(3)
    page.get_by_label("of this span (1)").check()
    expect(lines).to_have_text(["14:24:46.900INFOall is said"])
    page.get_by_label("of its process (1)").check()
    expect(lines).to_have_count(1)


def test_times_are_in_utc_and_in_the_zone_of_who_reads(opened: Opened) -> None:
    opened.page.locator("#rows").focus()
    opened.page.keyboard.press("Home")
    began = opened.page.locator("#details dd").nth(2)
    expect(began).to_contain_text("2026-11-25 14:24:27.000 UTC")
    here = re.compile(r"(15:24:27|3:24:27\sPM) here")
    expect(began).to_contain_text(here)
    expect(opened.page.locator(".facts .began")).to_contain_text("2026-11-25 14:24:27 UTC")
    expect(opened.page.locator(".facts .began")).to_contain_text(here)


def test_durations_are_in_the_words_of_the_terminal(browser: Browser, tmp_path: Path) -> None:
    seconds = [0.0, 0.0214, 0.9996, 1.4, 99.94, 99.96, 100, 3599.6, 7260]
    spans = [span(f"s{n:02}", BEGAN, BEGAN + each) for n, each in enumerate(seconds)]
    made = Opened(browser, written(tmp_path, Execution(TRACE_ID, spans)))
    shown = made.page.locator(".row:visible .took").all_inner_texts()
    made.context.close()
    assert sorted(shown) == sorted(words.duration(each) for each in seconds)


@pytest.mark.parametrize("width", [1400, 700])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_keeps_to_the_rules_of_accessibility(
    browser: Browser, tmp_path: Path, scheme: str, width: int
) -> None:
    made = Opened(browser, written(tmp_path, *run()), width=width)
    made.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    result = Axe().run(made.page)
    back = made.page.evaluate("getComputedStyle(document.body).backgroundColor")
    made.context.close()
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]
    assert len(result.response["passes"]) > 20
    assert result.violations_count == 0, result.generate_report()


def test_light_and_dark_can_be_changed(opened: Opened) -> None:
    opened.page.get_by_role("button", name="light or dark").click()
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"


def test_without_scripts_what_failed_and_where_the_time_went_can_be_read(
    browser: Browser, tmp_path: Path
) -> None:
    made = Opened(browser, written(tmp_path, *run()), javascript=False)
    expect(made.page.locator(".failure .said")).to_contain_text("the file ended early")
    expect(made.page.locator(".shares")).to_contain_text("until daily-sales-ingest was tried again")
    expect(made.page.get_by_text("which does not run here")).to_be_visible()
    expect(made.page.locator("#split")).to_be_hidden()
    made.context.close()


def test_the_address_names_the_span_that_is_chosen(browser: Browser, tmp_path: Path) -> None:
    made = Opened(browser, written(tmp_path, *run()))
    made.page.goto(f"{made.page.url.partition('#')[0]}#t2")
    made.page.reload()
    assert made.chosen == "daily-sales-flow ▸ task check"
    made.context.close()


def test_what_goes_on_is_shown_until_now(browser: Browser, tmp_path: Path) -> None:
    going = span("f", BEGAN, None, service="daily-sales-flow", status=Status.IN_PROGRESS)
    made = Opened(browser, written(tmp_path, Execution(TRACE_ID, [going]), now=BEGAN + 12))
    expect(made.page.locator(".row.going .took")).to_have_text("12 s")
    expect(made.page.locator(".row.going .status")).to_have_text("in progress")
    made.context.close()


def test_of_20_000_spans_only_those_in_sight_are_drawn_and_all_can_be_reached(
    browser: Browser, tmp_path: Path
) -> None:
    execution = large_execution(20_000)
    last = list(execution.walk())[-1][1]
    made = Opened(browser, written(tmp_path, execution))
    page = made.page
    expect(page.locator("#found")).to_have_text("20,000 spans")
    assert page.locator(".row").count() < 100
    page.locator("#rows").focus()
    page.keyboard.press("End")
    expect(page.locator(".row.chosen")).to_be_in_viewport()
    assert page.evaluate("location.hash") == f"#{last.id}"
    page.locator("#search").fill("task-19999")
    expect(page.locator("#found")).to_have_text("1 of 20,000 spans")
    page.keyboard.press("Escape")
    assert page.locator(".row").count() < 100
    assert made.complaints == []
    made.context.close()


def test_the_command_writes_the_page(tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "run.json").write_text(otlp_json.written(large_execution(100)))
    page = tmp_path / "page.html"
    status = cli.main(["trace", XRAY_TRACE_ID, "--file", str(tmp_path / "run.json"), "--html", str(page)])
    made = Opened(browser, page)
    expect(made.page.locator("#found")).to_have_text("100 spans")
    made.context.close()
    assert status == 0
