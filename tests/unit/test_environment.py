"""What a process reads about itself from its environment and command line."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_prefect import environment, semconv
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_all_five_variables_are_read() -> None:
    told = environment.read(
        {
            "PREFECT_FLOW_RUN_ID": RUN_ID,
            "LOG_CORRELATION_ID": "load-7",
            "SOURCE": "crm",
            "STAGE": "ingest",
            "TRACEPARENT": TRACEPARENT,
        },
        [],
    )
    assert told.flow_run_id == UUID(RUN_ID)
    assert (told.log_correlation_id, told.source, told.stage) == ("load-7", "crm", "ingest")
    assert told.parent is not None
    assert (told.parent.trace_id, told.parent.span_id) == (TRACE_ID, PARENT_SPAN_ID)
    assert told.parent.is_remote
    assert told.parent.trace_flags.sampled


def test_an_empty_environment_says_nothing() -> None:
    assert environment.read({}, []) == environment.Environment()
    assert environment.read({"PREFECT_FLOW_RUN_ID": " ", "SOURCE": ""}, []) == environment.Environment()


def test_the_correlation_id_is_the_runs_where_none_is_given() -> None:
    assert environment.read({"PREFECT_FLOW_RUN_ID": RUN_ID}, []).log_correlation_id == RUN_ID


@pytest.mark.parametrize(
    "environ",
    [
        {"PREFECT__FLOW_RUN_ID": RUN_ID},
        {"PREFECT_FLOW_RUN_ID": RUN_ID, "PREFECT__FLOW_RUN_ID": str(UUID(int=1))},
        {"PREFECT_FLOW_RUN_ID": "nonsense", "PREFECT__FLOW_RUN_ID": RUN_ID},
        {"PREFECT_FLOW_RUN_ID": RUN_ID.replace("-", "").upper()},
    ],
)
def test_prefects_own_variable_is_second_to_ours(environ: Mapping[str, str]) -> None:
    assert environment.read(environ, []).flow_run_id == UUID(RUN_ID)


@pytest.mark.parametrize(
    "argv",
    [
        ["job.py", "--PREFECT_FLOW_RUN_ID", RUN_ID, "--STAGE", "transform"],
        ["job.py", f"--PREFECT_FLOW_RUN_ID={RUN_ID}", "--STAGE=transform", "--other", "x"],
    ],
)
def test_a_glue_jobs_arguments_win_over_the_environment(argv: list[str]) -> None:
    told = environment.read({"PREFECT_FLOW_RUN_ID": str(UUID(int=1)), "STAGE": "machine"}, argv)
    assert told.flow_run_id == UUID(RUN_ID)
    assert told.stage == "transform"


def test_the_trace_is_the_parents_else_the_one_of_the_run() -> None:
    other = f"00-{1:032x}-{2:016x}-01"
    assert environment.read({"PREFECT_FLOW_RUN_ID": RUN_ID, "TRACEPARENT": other}, []).trace_id == 1
    assert environment.read({"PREFECT_FLOW_RUN_ID": RUN_ID}, []).trace_id == TRACE_ID
    assert environment.read({}, []).trace_id is None


@pytest.mark.parametrize("variable", ["PREFECT_FLOW_RUN_ID", "PREFECT__FLOW_RUN_ID", "TRACEPARENT"])
def test_what_is_malformed_is_ignored_with_one_warning_that_shows_it(
    variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        told = environment.read({variable: "not-an-id"}, [])
    assert told == environment.Environment()
    assert len(caplog.records) == 1
    assert variable in caplog.text
    assert "'not-an-id'" in caplog.text


@given(st.dictionaries(st.sampled_from(["PREFECT_FLOW_RUN_ID", "TRACEPARENT", "SOURCE"]), st.text()))
def test_no_value_of_a_variable_raises(environ: dict[str, str]) -> None:
    told = environment.read(environ, [])
    assert told.flow_run_id is None or isinstance(told.flow_run_id, UUID)
    assert told.parent is None or told.parent.is_valid


@given(st.lists(st.text() | st.sampled_from(["--PREFECT_FLOW_RUN_ID", "--SOURCE", "--SOURCE="])))
def test_no_command_line_raises(argv: list[str]) -> None:
    assert isinstance(environment.read({}, argv), environment.Environment)


@pytest.mark.parametrize(("text", "expected"), [("2.5", 2.5), ("0", 0.0), ("", 5.0)])
def test_a_duration_is_a_number_of_seconds(text: str, expected: float) -> None:
    value = environment.seconds(semconv.ENV_FLUSH_SECONDS, {"OTEL_PREFECT_FLUSH_SECONDS": text})
    assert value == expected
    assert isinstance(value, float)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_duration_that_is_none_falls_back_with_a_warning_that_shows_it(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert environment.seconds(semconv.ENV_FLUSH_SECONDS, {"OTEL_PREFECT_FLUSH_SECONDS": text}) == 5.0
    assert "OTEL_PREFECT_FLUSH_SECONDS" in caplog.text
    assert repr(text) in caplog.text


@pytest.mark.parametrize(
    ("text", "value", "warned"),
    [("", True, False), (" True ", True, False), ("FALSE", False, False), ("off", True, True)],
)
def test_a_truth_value_that_is_none_is_ignored_with_a_warning_that_shows_it(
    text: str, value: bool, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert environment.flag(semconv.ENV_START_SPANS, {"OTEL_PREFECT_START_SPANS": text}) is value
    assert ("OTEL_PREFECT_START_SPANS='off' is neither true nor false" in caplog.text) is warned
