"""What of Prefect's private classes is looked at before their spans are changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow_engine, task_engine
from prefect.telemetry.run_telemetry import RunTelemetry

from otel_prefect.prefect import runs as prefect_runs

if TYPE_CHECKING:
    import pytest


def test_the_prefect_that_is_installed_is_as_expected() -> None:
    assert list(prefect_runs.surprises()) == []


def test_a_method_that_takes_something_else_is_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunTelemetry, "update_state", RunTelemetry.update_run_name)
    assert list(prefect_runs.surprises()) == ["RunTelemetry.update_state does not take (self, new_state)"]


def test_a_method_that_is_gone_is_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(task_engine.BaseTaskRunEngine, "log_finished_message")
    assert list(prefect_runs.surprises()) == ["BaseTaskRunEngine.log_finished_message does not take (self)"]


def test_an_engine_that_ends_in_another_way_is_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    other = flow_engine.AsyncFlowRunEngine.begin_run
    monkeypatch.setattr(flow_engine.AsyncFlowRunEngine, "initialize_run", other)
    assert list(prefect_runs.surprises()) == [
        "AsyncFlowRunEngine.initialize_run does not call _report_attempt_conclusion"
    ]


def test_a_field_that_is_gone_is_a_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {
        name: field
        for name, field in task_engine.SyncTaskRunEngine.__dataclass_fields__.items()
        if name != "_telemetry"
    }
    monkeypatch.setattr(task_engine.SyncTaskRunEngine, "__dataclass_fields__", fields)
    assert list(prefect_runs.surprises()) == ["SyncTaskRunEngine has no _telemetry"]
