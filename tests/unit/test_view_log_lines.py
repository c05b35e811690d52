"""Log records as lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_prefect.view.log_lines import lines
from tests.unit.test_view_segments import JSON


def record(**more: Any) -> str:
    return json.dumps({"timestamp": "2026-11-25T14:24:27.132Z", "level": "INFO", "service": "s", **more})


def test_a_record_is_a_line_with_its_time_and_fields() -> None:
    (line,) = lines([record(message="9 rows", span_id="e433482ade27aa23", rows=9)])
    assert (line.time, line.level, line.service, line.message) == (1795616667.132, "INFO", "s", "9 rows")
    assert (line.span_id, line.fields["rows"]) == ("e433482ade27aa23", 9)


def test_times_with_more_or_fewer_digits_are_read() -> None:
    texts = [
        record(timestamp=f"2026-11-25T14:24:27{fraction}Z")
        for fraction in ("", ".5", ".123456", ".123456789")
    ]
    assert [line.time - 1795616667 for line in lines(texts)] == pytest.approx(
        [0, 0.5, 0.123456, 0.123456789], abs=1e-6
    )


def test_what_is_no_record_is_left_out() -> None:
    times = [record(timestamp="noon"), record(timestamp="2026-13-25T14:24:27Z")]
    assert list(lines(["", "plain text", "[1]", '{"message": "no time"}', *times])) == []


@given(st.lists(st.text() | st.dictionaries(st.sampled_from(["timestamp", "message"]), JSON).map(json.dumps)))
def test_nothing_that_comes_breaks_it(texts: list[str]) -> None:
    assert len(list(lines(texts))) <= len(texts)
