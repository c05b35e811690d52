"""The witness's files, as the Collector's file exporter writes them, become lists of records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from demo import witness
from demo.witness import LogKey

if TYPE_CHECKING:
    from pathlib import Path


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def write_spans(folder: Path, *spans: dict[str, Any], resource: list[dict[str, Any]]) -> None:
    line = {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": list(spans)}]}]}
    with (folder / "traces.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def test_each_span_is_counted_once_and_news_of_it_apart(tmp_path: Path) -> None:
    flow = [attribute("service.name", stringValue="flow")]
    running = attribute("aws.xray.inprogress", boolValue=True)
    write_spans(tmp_path, {"spanId": "aa", "attributes": [running]}, resource=flow)
    write_spans(tmp_path, {"spanId": "aa"}, {"spanId": "bb"}, resource=flow)
    write_spans(tmp_path, {"spanId": "bb"}, resource=flow)
    seen = witness.read(tmp_path)
    assert seen.spans == {"aa": "flow", "bb": "flow"}
    assert (seen.in_progress, seen.repeated) == (1, 1)
    assert seen.spans_through_sidecar == 4


def test_equal_log_lines_are_counted_as_often_as_they_came(tmp_path: Path) -> None:
    records = [
        {"body": {"stringValue": "hello"}, "spanId": "aa"},
        {"body": {"stringValue": "hello"}, "spanId": "aa"},
        {"body": {"stringValue": "hello"}, "spanId": ""},
    ]
    resource = {"attributes": [attribute("service.name", stringValue="flow")]}
    line = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    (tmp_path / "logs.jsonl").write_text(json.dumps(line) + "\n")
    assert witness.read(tmp_path).logs == {LogKey("flow", "hello", "aa"): 2, LogKey("flow", "hello", ""): 1}


def test_a_collector_that_took_nothing_has_no_files(tmp_path: Path) -> None:
    seen = witness.read(tmp_path)
    assert (seen.spans, seen.logs, seen.spans_through_sidecar) == ({}, {}, 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "x"}, "x"),
        ({"intValue": "42"}, 42),
        ({"doubleValue": 0.5}, 0.5),
        ({"boolValue": False}, False),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}, [1, "b"]),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}}, {"a": True}),
        ({}, None),
    ],
)
def test_values_keep_their_types(value: dict[str, Any], expected: object) -> None:
    found = witness.value_of(value)
    assert found == expected
    assert type(found) is type(expected)
