"""Prefect's own log handler never sees a field of ours that is no id."""

from __future__ import annotations

import logging
import sys
from types import ModuleType

import pytest

from otel_prefect.log import fields as log_fields
from otel_prefect.prefect import logs as prefect_logs
from tests.support.process_state import RUN_ID, told

NAME = "prefect.logging.handlers"


class APILogHandler:
    """The part of Prefect's handler that reads records."""

    @staticmethod
    def prepare(record: logging.LogRecord) -> dict[str, object]:
        return {name: getattr(record, name, None) for name in ("flow_run_id", "task_run_id")}


def record(**fields: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": "x", **fields})


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType(NAME)
    made.APILogHandler = type("APILogHandler", (), {"prepare": lambda _, r: APILogHandler.prepare(r)})  # type: ignore[attr-defined]  # a module made by hand
    monkeypatch.setitem(sys.modules, NAME, made)
    monkeypatch.setattr(prefect_logs, "_wrapped", False)
    return made


def test_unknown_is_hidden_from_it_and_ids_are_not(module: ModuleType) -> None:
    prefect_logs._wrap(module)
    shown = record(flow_run_id=RUN_ID, task_run_id="unknown")
    assert module.APILogHandler().prepare(shown) == {"flow_run_id": RUN_ID, "task_run_id": None}
    assert shown.__dict__["task_run_id"] == "unknown"


def test_where_it_has_changed_records_do_not_say_unknown(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    del module.APILogHandler
    prefect_logs._wrap(module)
    assert not prefect_logs.may_say_unknown()
    told(monkeypatch, {"PREFECT_FLOW_RUN_ID": RUN_ID})
    seen = record()
    log_fields._stamp(seen)
    assert seen.__dict__["flow_run_id"] == RUN_ID
    assert "task_run_id" not in seen.__dict__


def test_the_class_in_the_prefect_at_hand_is_as_expected() -> None:
    from prefect.logging.handlers import APILogHandler as Real  # noqa: PLC0415 - slow to import

    assert callable(Real.prepare)
