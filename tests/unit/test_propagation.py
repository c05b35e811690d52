"""What a container that is started from here is told."""

from __future__ import annotations

import pytest
from opentelemetry import trace

import otel_prefect
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT, told

CURRENT = f"00-{TRACE_ID:032x}-{0xCD:016x}-01"


@pytest.fixture
def in_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a run."""
    told(monkeypatch, {"PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm", "STAGE": "ingest"})


def current_span() -> trace.NonRecordingSpan:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return trace.NonRecordingSpan(trace.SpanContext(TRACE_ID, 0xCD, is_remote=False, trace_flags=flags))


@pytest.mark.usefixtures("in_run")
def test_a_child_is_told_the_run_its_source_and_the_current_span() -> None:
    with trace.use_span(current_span()):
        variables = otel_prefect.propagation_env()
    assert variables == {
        "PREFECT_FLOW_RUN_ID": RUN_ID,
        "LOG_CORRELATION_ID": RUN_ID,
        "SOURCE": "crm",
        "TRACEPARENT": CURRENT,
    }


@pytest.mark.usefixtures("in_run")
def test_source_and_stage_can_be_the_childs_own() -> None:
    variables = otel_prefect.propagation_env(source="billing", stage="transform")
    assert (variables["SOURCE"], variables["STAGE"]) == ("billing", "transform")
    assert "TRACEPARENT" not in variables


def test_without_a_current_span_the_processs_parent_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, {"TRACEPARENT": TRACEPARENT})
    assert otel_prefect.propagation_env() == {"TRACEPARENT": TRACEPARENT}
    assert f"{PARENT_SPAN_ID:016x}" in TRACEPARENT


def test_outside_of_a_run_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch)
    assert otel_prefect.propagation_env() == {}


@pytest.mark.usefixtures("in_run")
def test_container_overrides_are_what_ecs_takes() -> None:
    overrides = otel_prefect.container_overrides("ingest", stage="ingest")
    assert overrides == [
        {
            "name": "ingest",
            "environment": [
                {"name": "PREFECT_FLOW_RUN_ID", "value": RUN_ID},
                {"name": "LOG_CORRELATION_ID", "value": RUN_ID},
                {"name": "SOURCE", "value": "crm"},
                {"name": "STAGE", "value": "ingest"},
            ],
        }
    ]


@pytest.mark.usefixtures("in_run")
def test_what_the_caller_set_stays_and_is_not_changed_in_place() -> None:
    given = [{"name": "ingest", "cpu": 256, "environment": [{"name": "SOURCE", "value": "mine"}]}]
    overrides = otel_prefect.container_overrides("ingest", "other", overrides=given)
    assert [override["name"] for override in overrides] == ["ingest", "other"]
    assert overrides[0]["cpu"] == 256
    variables = {entry["name"]: entry["value"] for entry in overrides[0]["environment"]}
    assert variables["SOURCE"] == "mine"
    assert variables["PREFECT_FLOW_RUN_ID"] == RUN_ID
    assert given == [{"name": "ingest", "cpu": 256, "environment": [{"name": "SOURCE", "value": "mine"}]}]


def test_container_overrides_need_a_containers_name() -> None:
    with pytest.raises(ValueError, match="at least one container"):
        otel_prefect.container_overrides()
    with pytest.raises(ValueError, match="needs the container's name"):
        otel_prefect.container_overrides(overrides=[{"cpu": 1}])
