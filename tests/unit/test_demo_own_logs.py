"""A line that a process logged and nobody got is found in its own output."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from demo.own_logs import log_lines, unheard

PREFECT = "21:37:19.513 | INFO    | Flow run 'likable-frog' - Running 1 deployment pull step(s)"
BASIC = "WARNING:transform:48 payments arrived after 2026-03-01"
DBT = json.dumps({"info": {"msg": "Done. PASS=16", "level": "info"}, "data": {}})
OUTPUT = "\n".join([PREFECT, BASIC, DBT, "Traceback (most recent call last):", "  File x", ""])


def test_log_lines_are_told_from_other_output() -> None:
    assert log_lines(OUTPUT) == [PREFECT, BASIC, "Done. PASS=16"]


def test_nothing_is_unheard_where_each_line_has_its_message() -> None:
    messages = ["Done. PASS=16", "Running 1 deployment pull step(s)", "48 payments arrived after 2026-03-01"]
    assert unheard(OUTPUT, messages) == {}


def test_a_line_without_a_message_is_unheard() -> None:
    assert unheard(OUTPUT, ["Running 1 deployment pull step(s)", "Done. PASS=16"]) == {BASIC: 1}


def test_two_equal_lines_need_two_messages() -> None:
    line = "INFO:a:Finished"
    assert unheard(f"{line}\n{line}", ["Finished"]) == {line: 1}
    assert unheard(f"{line}\n{line}", ["Finished", "Finished"]) == {}


def test_a_short_message_does_not_take_the_line_of_a_longer_one() -> None:
    assert unheard("INFO:a:done with all\nINFO:a:done", ["done", "done with all"]) == {}


def test_an_empty_message_stands_for_no_line() -> None:
    assert unheard("INFO:a:x", ["", "  "]) == {"INFO:a:x": 1}


def test_braces_that_are_no_event_of_dbt_are_passed_over() -> None:
    assert log_lines('{"other": 1}\n{not json\n{"info": 3}') == []


# Of letters that a line's own beginning does not have: "IN" would be heard in "INFO".
@given(st.lists(st.text("0123456789äéßжλ", min_size=1), max_size=6))
def test_every_message_that_was_logged_is_heard(messages: list[str]) -> None:
    output = "\n".join(f"INFO:logger:{message}" for message in messages)
    assert unheard(output, messages) == {}
