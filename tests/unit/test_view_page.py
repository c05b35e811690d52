"""What the page's scripts are given; what they make of it, ``tests/integration/test_trace_page.py`` tells."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_prefect.view.execution import Execution
from otel_prefect.view.log_lines import Line
from otel_prefect.view.page import html
from otel_prefect.view.page.data import data, kept
from tests.support.view import TRACE_ID, execution, span


def line(time: float, level: str = "INFO", service: str = "ingest", span_id: str | None = None) -> Line:
    return Line(time, level, service, f"at {time}", span_id)


def test_of_a_long_log_warnings_errors_and_the_last_others_stay_by_time() -> None:
    lines = [line(n, "ERROR" if n == 3 else "WARNING" if n == 50 else "INFO") for n in range(100)]
    assert [each.time for each in kept(lines, 5)] == [3, 50, 97, 98, 99]


def test_of_a_long_log_of_errors_the_last_stay() -> None:
    assert [each.time for each in kept([line(n, "ERROR") for n in range(9)], 3)] == [6, 7, 8]


def test_a_short_log_stays_whole() -> None:
    lines = [line(n) for n in range(5)]
    assert kept(lines, 5) == lines


def test_a_line_is_its_span_s_or_else_its_process_s() -> None:
    run = execution(
        span("flow", 0, 20, service="flow"),
        span("a", 1, 4, "flow", service="ingest"),
        span("below", 2, 3, "a"),
    )
    lines = [line(0.5), line(2, span_id="below"), line(2, span_id="lost"), line(2, service="nobody")]
    assert [each[3] for each in data(run, [], lines, 20)["lines"]] == [1, 2, 1, -1]


def test_attributes_of_the_process_are_told_once() -> None:
    process = replace(span("flow", 0, 2, service="flow"), attributes={"region": "eu-west-1", "n": 1})
    below = replace(span("task", 0, 1, "flow"), attributes={"region": "eu-west-1", "n": 2})
    made = data(execution(process, below), [], [], 2)
    assert [[made["pairs"][pair] for pair in pairs] for pairs in made["spans"]["attributes"]] == [
        [("n", "1"), ("region", "eu-west-1")],
        [("n", "2")],
    ]


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()))
@pytest.mark.filterwarnings("error")
def test_whatever_spans_say_the_page_has_two_scripts_and_its_data_can_be_read(
    name: str, message: str, attributes: dict[str, object]
) -> None:
    only = replace(span("a", 0, 1, service="s"), name=name, attributes=attributes)
    page = html.page(Execution(TRACE_ID, [only]), [Line(0.5, "INFO", "s", message)])
    assert len(re.findall(r"<script", page)) == len(re.findall(r"</script", page)) == 2
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    read = json.loads(found[1])
    assert read["names"] == [name]
    assert read["lines"][0][2] == message
    assert sorted(read["pairs"]) == sorted([key, str(value)] for key, value in attributes.items())
