from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_prefect.view import insights
from tests.support.insights import Event, Insights, Refused

WANTED = ("xray_trace_id", "1-a-b")
KINDS: tuple[dict[str, str], ...] = (
    {"xray_trace_id": "1-a-b"},
    {"xray_trace_id": "1-a-c"},
    {"x": "1-a-b"},
    {},
)
OWN = json.dumps(KINDS[0])


class Logs(Insights):
    """Is asked as a client of boto3 is."""

    exceptions = SimpleNamespace(LimitExceededException=Refused)


def logs(events: list[Event], **options: Any) -> Logs:
    return Logs(lambda _: events, **options)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


@given(
    said=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, len(KINDS) - 1)), max_size=60),
    start=st.integers(0, 10_000),
    seconds=st.integers(0, 12_000),
    most=st.integers(1, 20),
    page=st.integers(1, 7),
)
def test_each_event_of_the_run_in_that_time_comes_once_or_is_counted(
    said: list[tuple[int, int]], start: int, seconds: int, most: int, page: int
) -> None:
    events = [(str(n), ms, json.dumps({"n": n, **KINDS[kind]})) for n, (ms, kind) in enumerate(said)]
    client = logs(events, page=page)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(insights, "MOST", most)
        texts, left_out = insights.events(client, "/ours", WANTED, start / 1000, (start + seconds) / 1000)
    found = [json.loads(text) for text in texts]
    assert len({each["n"] for each in found}) == len(found)
    assert all(each["xray_trace_id"] == "1-a-b" for each in found)
    wanted = {n for n, (ms, kind) in enumerate(said) if start <= ms <= start + seconds and kind == 0}
    missing = wanted - {each["n"] for each in found}
    assert len(missing) <= left_out
    in_a_second = max((sum(ms // 1000 == second for ms, _ in said) for second in range(21)), default=0)
    if in_a_second * 2 < most:
        assert (missing, left_out) == (set(), 0)


def test_a_query_waits_until_the_account_may_have_another_one() -> None:
    client = logs([("1", 500, OWN)], busy=3)
    assert insights.events(client, "/ours", WANTED, 0, 1) == ([OWN], 0)
    assert (client.busy, len(client.queries)) == (0, 1)


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout"])
def test_a_query_that_ends_without_an_answer_says_how(status: str) -> None:
    with pytest.raises(insights.Unanswered, match=f"the query ended as {status}"):
        insights.events(logs([], ends_as=status), "/ours", WANTED, 0, 1)


def test_a_query_that_does_not_end_is_given_up_and_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "_SECONDS", 0.01)
    client = logs([], ends_as="Running")
    with pytest.raises(insights.Unanswered, match="no answer in"):
        insights.events(client, "/ours", WANTED, 0, 1)
    assert client.stopped == ["0"]


def test_a_query_that_nobody_waits_for_any_more_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    client = logs([])
    with pytest.raises(KeyboardInterrupt):
        insights.events(client, "/ours", WANTED, 0, 1)
    assert client.stopped == ["0"]
