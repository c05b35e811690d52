"""The example service in ``deploy/examples``."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest
from cfnlint import api as cfnlint

from tests.support import deployed
from tests.support.cloudformation import load

FOLDER = deployed.FOLDER / "examples"
TEMPLATE = load(FOLDER / "daily-sales.yaml")
NAMES = ("flow", "ingest", "dbt")
# Actions for which neither EC2 nor ECS knows a resource.
WITHOUT_A_RESOURCE = {"ec2:DescribeSubnets on *", "ec2:DescribeVpcs on *"}


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_example", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def containers(name: str) -> list[dict[str, Any]]:
    task = TEMPLATE["Resources"][f"{name.capitalize()}Task"]["Properties"]
    return list(task["ContainerDefinitions"])


def test_its_task_definitions_are_what_add_sidecar_makes_of_the_pipelines() -> None:
    text = (FOLDER / "daily-sales.yaml").read_text()
    assert generator().filled(text) == text, "run `python deploy/examples/generate.py`"


def test_cfn_lint_has_nothing_to_say() -> None:
    assert [str(match) for match in cfnlint.lint_file(FOLDER / "daily-sales.yaml")] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_task_has_the_sidecar_that_the_others_wait_for(name: str) -> None:
    sender, own = containers(name)
    assert (own["Name"], own["Essential"]) == ("otel-prefect", False)
    assert sender["DependsOn"] == [{"ContainerName": "otel-prefect", "Condition": "HEALTHY"}]
    assert own["Secrets"] == [{"Name": "PREFECT_API_KEY", "ValueFrom": {"Ref": "PrefectApiKeyArn"}}]


@pytest.mark.parametrize("name", NAMES)
def test_every_task_has_the_base_stacks_execution_role_and_a_role_with_its_policy(name: str) -> None:
    task = TEMPLATE["Resources"][f"{name.capitalize()}Task"]["Properties"]
    assert task["ExecutionRoleArn"] == {"Fn::ImportValue": {"Fn::Sub": "${BaseStack}-ExecutionRoleArn"}}
    role = TEMPLATE["Resources"][task["TaskRoleArn"]["Fn::GetAtt"][0]]["Properties"]
    assert role["ManagedPolicyArns"] == [{"Fn::ImportValue": {"Fn::Sub": "${BaseStack}-TaskPolicyArn"}}]


def test_what_it_imports_is_exported_by_the_base_stack() -> None:
    base = load(deployed.FOLDER / "cloudformation.yaml")
    exported = {each["Export"]["Name"]["Fn::Sub"] for each in base["Outputs"].values() if "Export" in each}
    text = (FOLDER / "daily-sales.yaml").read_text()
    imported = set(re.findall(r"\$\{BaseStack\}-\w+", text))
    assert {each.replace("BaseStack", "AWS::StackName") for each in imported} <= exported


def test_nothing_of_somebody_elses_account_is_left() -> None:
    text = (FOLDER / "daily-sales.yaml").read_text()
    for own in ("123456789012", "acme", "data-platform", "0a1b2c3d"):
        assert own not in text


def test_roles_are_allowed_nothing_that_could_be_narrower() -> None:
    for name, resource in TEMPLATE["Resources"].items():
        for document in deployed.policies(resource):
            flat = {**document, "Statement": [_flat(each) for each in document["Statement"]]}
            assert set(deployed.too_much(flat)) <= WITHOUT_A_RESOURCE, name


def _flat(statement: dict[str, Any]) -> dict[str, Any]:
    """Return a statement with its resources as text; what is a function is no `*`."""
    resources = [str(each) for each in deployed.as_list(statement.get("Resource", "trust"))]
    return {**statement, "Resource": resources}
