"""The rules that segment documents are held to find what breaks them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.segment_documents import problems

GOOD: dict[str, Any] = {
    "id": "00000000000000a1",
    "name": "daily-sales-flow",
    "trace_id": "1-3c32c202-99554b90b9365fbd34f1a6d5",
    "start_time": 1.5,
    "end_time": 2.5,
    "annotations": {"flow_run_id": "x"},
    "subsegments": [
        {"id": "00000000000000a2", "name": "S3", "start_time": 1.6, "end_time": 1.7, "namespace": "aws"}
    ],
}
OWN: dict[str, Any] = {
    **{key: GOOD[key] for key in ("trace_id", "start_time", "end_time")},
    "id": "00000000000000a3",
    "name": "task",
    "type": "subsegment",
    "parent_id": GOOD["id"],
}


def test_what_is_as_it_should_be_has_no_problem() -> None:
    assert problems([GOOD, OWN, {**OWN, "id": "00000000000000a4", "parent_id": "00000000000000a2"}]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": "A1"},
        {"name": ""},
        {"name": "a" * 201},
        {"name": "what?"},
        {"trace_id": "3c32c20299554b90b9365fbd34f1a6d5"},
        {"start_time": "now"},
        {"in_progress": True},
        {"end_time": 1.0},
        {"annotations": {"flow-run": "x"}},
        {"annotations": {"tags": ["a"]}},
        {"metadata": {"default": 1}},
        {"namespace": "remote"},
        {"cause": {"exceptions": [{"message": "no id"}]}},
        {"http": {"response": {"status": "500"}}},
        {"annotations": {f"a{n}": n for n in range(51)}},
        {"metadata": {"default": {"text": "x" * 70_000}}},
        {"invented": 1},
        {"subsegments": [{"id": "00000000000000a2", "name": "S3", "start_time": 1.6}]},
    ],
)
def test_what_is_not_is_told(change: dict[str, Any]) -> None:
    assert problems([{**GOOD, **change}]) != []


@pytest.mark.parametrize("change", [{"parent_id": "00000000000000ff"}, {"parent_id": None}])
def test_an_orphan_is_told(change: dict[str, Any]) -> None:
    assert problems([GOOD, {key: value for key, value in {**OWN, **change}.items() if value}]) != []
