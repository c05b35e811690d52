"""What becomes of the bytes that a program writes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber

from otel_prefect.program.output import MAX_LINE_BYTES, Line, LineSplitter, parse


def lines(chunks: list[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    found = [line for chunk in chunks for line in splitter.feed(chunk)]
    return [*found, *splitter.end()]


@given(st.lists(st.binary(max_size=50)))
def test_however_a_stream_is_cut_the_lines_are_the_same(chunks: list[bytes]) -> None:
    assert lines(chunks) == lines([b"".join(chunks)])


@given(st.binary(max_size=300))
def test_nothing_is_lost_but_line_ends(data: bytes) -> None:
    assert b"".join(lines([data])).replace(b"\r", b"") == data.replace(b"\n", b"").replace(b"\r", b"")


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_very_long_line_becomes_several(end: bytes) -> None:
    found = lines([b"x" * (MAX_LINE_BYTES * 2 + 5) + end])
    assert [len(line) for line in found] == [MAX_LINE_BYTES, MAX_LINE_BYTES, 5]


@given(st.binary(max_size=300))
def test_every_line_can_be_parsed(line: bytes) -> None:
    said = parse(line)
    assert said is None or said.body.strip()


def test_a_line_of_nothing_but_space_is_no_record() -> None:
    assert parse(b"  \t") is None


def test_bytes_that_are_not_utf8_are_replaced_and_the_rest_is_kept() -> None:
    assert parse(b"caf\xe9 ok") == Line("caf� ok")


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("2026-03-01 03:00:00 ERROR load: no table", SeverityNumber.ERROR),
        ("[warn] disk", SeverityNumber.WARN),
        ("level=debug msg=x", SeverityNumber.DEBUG),
        ("error: no such file", SeverityNumber.ERROR),
        ("\x1b[31mCRITICAL\x1b[0m out of memory", SeverityNumber.FATAL),
        ("there was no error at all", None),
        ("3 rows", None),
        ("x" * 200 + " ERROR", None),
    ],
)
def test_the_level_of_a_text_line_is_recognised_where_it_stands_as_one(
    line: str, severity: SeverityNumber | None
) -> None:
    said = parse(line.encode())
    assert said is not None
    assert said.severity is severity
    assert "\x1b" not in said.body


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"level": "WARNING", "message": "m", "rows": 3}, Line("m", SeverityNumber.WARN, {"rows": 3})),
        ({"severity": "error", "msg": "m"}, Line("m", SeverityNumber.ERROR)),
        ({"level": 30, "msg": "pino", "pid": 1}, Line("pino", SeverityNumber.INFO, {"pid": 1})),
        ({"event": "structlog", "ok": True, "deep": {}}, Line("structlog", None, {"ok": True})),
        ({"message": "m", "flow_run_id": "theirs"}, Line("m")),
    ],
)
def test_a_json_line_gives_message_level_and_plain_values(event: dict[str, Any], expected: Line) -> None:
    assert parse(json.dumps(event).encode()) == expected


def test_a_dbt_event_gives_its_message_and_level() -> None:
    event = {
        "info": {"name": "LogTestResult", "level": "warn", "msg": "3 of 9 WARN 2 rows", "invocation_id": "i"},
        "data": {"node_info": {}},
    }
    assert parse(json.dumps(event).encode()) == Line(
        "3 of 9 WARN 2 rows", SeverityNumber.WARN, {"dbt.event": "LogTestResult", "dbt.invocation_id": "i"}
    )


def test_json_without_a_message_is_its_own_message() -> None:
    said = parse(b'{"n": 1}')
    assert said == Line('{"n": 1}', None, {"n": 1})


def test_a_brace_that_opens_no_json_is_text() -> None:
    assert parse(b"{not json} ERROR") == Line("{not json} ERROR", SeverityNumber.ERROR)


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists))
def test_every_json_value_under_every_known_key_can_be_parsed(value: object) -> None:
    for key in ("message", "level", "info", "severity"):
        said = parse(json.dumps({key: value}).encode())
        assert said is not None


def test_the_values_of_a_json_line_are_bounded() -> None:
    said = parse(json.dumps({f"k{number}": number for number in range(100)}).encode())
    assert said is not None
    assert len(said.attributes) == 32
