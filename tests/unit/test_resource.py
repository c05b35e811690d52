"""What a process says about itself in its Resource."""

from __future__ import annotations

import pytest

from otel_prefect import environment, resource
from tests.support.process_state import RUN_ID


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "STAGE", "ECS_CONTAINER_METADATA_URI_V4"):
        monkeypatch.delenv(name, raising=False)


def test_the_resource_has_the_run_its_source_and_stage() -> None:
    told = environment.read({"PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm", "STAGE": "ingest"}, [])
    attributes = resource.resource(told).attributes
    assert attributes["prefect.flow-run.id"] == RUN_ID
    assert (attributes["source"], attributes["stage"]) == ("crm", "ingest")
    assert "prefect.flow-run.root-id" not in attributes


def test_a_run_in_the_trace_of_another_names_its_root() -> None:
    root = "0195f4d2-7c3e-7d11-8a55-1f2e3d4c5b6a"
    traceparent = f"00-{root.replace('-', '')}-b7ad6b7169203331-01"
    told = environment.read({"PREFECT_FLOW_RUN_ID": RUN_ID, "TRACEPARENT": traceparent}, [])
    assert resource.resource(told).attributes["prefect.flow-run.root-id"] == root


@pytest.mark.parametrize(
    ("last", "id_"),
    [
        ("7026b406b5a34623a4c705220a36970c-3779599274", "7026b406b5a34623a4c705220a36970c-3779599274"),
        ("46de0786-9920-42aa-bff4-c17fd4d273c5", None),  # on EC2: no container's id
        ("", None),
    ],
)
def test_on_fargate_the_resource_has_the_containers_id(
    monkeypatch: pytest.MonkeyPatch, last: str, id_: str | None
) -> None:
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", f"http://169.254.170.2/v4/{last}")
    assert resource.resource(environment.Environment()).attributes.get("container.id") == id_


def test_what_the_standard_variables_say_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "loader")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "source=billing,team=data")
    attributes = resource.resource(environment.read({"SOURCE": "crm"}, []), "dbt").attributes
    assert attributes["service.name"] == "loader"
    assert (attributes["source"], attributes["team"]) == ("billing", "data")


def test_a_process_without_a_name_gets_the_one_that_the_caller_gives() -> None:
    assert resource.resource(environment.Environment(), "dbt").attributes["service.name"] == "dbt"


@pytest.mark.parametrize(
    ("command_line", "name"),
    [
        (["python", "ingest/load_orders.py", "--day", "1"], "load_orders"),
        (["python", "-X", "dev", "-u", "load.py"], "load"),
        (["python", "-m", "pipeline.ingest"], "pipeline.ingest"),
        (["python", "-m", "prefect.engine"], "prefect"),
        (["python", "/usr/local/bin/prefect", "flow-run", "execute"], "prefect"),
        (["python", "-c", "print()"], "python"),
        (["python"], "python"),
    ],
)
def test_a_process_that_nobody_has_named_is_named_by_its_program(command_line: list[str], name: str) -> None:
    assert resource.default_service_name({}, command_line) == name


def test_the_stage_comes_before_the_program() -> None:
    assert resource.default_service_name({"STAGE": "ingest"}, ["python", "x.py"]) == "ingest"
