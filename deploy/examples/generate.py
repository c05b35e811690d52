"""Writes the task definitions in daily-sales.yaml: ``python deploy/examples/generate.py``.

They are those of ``examples/pipeline/ecs``, with the sidecar as ``otel-prefect ecs add-sidecar`` puts it
there. They stand between markers, and a test holds that they are current.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

from otel_prefect.deploy import task_definition

TEMPLATE: Final = Path(__file__).resolve().parent / "daily-sales.yaml"
DEFINITIONS: Final = TEMPLATE.parents[2] / "examples/pipeline/ecs"
_REGISTRY: Final = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/"
# What stands in the example's task definitions as somebody's own is a parameter or a resource here.
_OWN: Final = {
    f"{_REGISTRY}daily-sales-flow:1.4.0": {"Ref": "FlowImage"},
    f"{_REGISTRY}daily-sales-ingest:1.4.0": {"Ref": "IngestImage"},
    f"{_REGISTRY}daily-sales-dbt:1.4.0": {"Ref": "DbtImage"},
    "acme-sales": {"Ref": "Bucket"},
    "data-platform": {"Ref": "Cluster"},
    "subnet-0a1b2c3d": {"Fn::Join": [",", {"Ref": "SubnetIds"}]},
    "sg-0a1b2c3d": {"Ref": "Tasks"},
    "the sidecar's image": {"Ref": "SidecarImage"},
    "Prefect's API": {"Ref": "PrefectApiUrl"},
    "Prefect's key": {"Ref": "PrefectApiKeyArn"},
    "the output's log group": {"Fn::ImportValue": {"Fn::Sub": "${BaseStack}-OutputLogGroupName"}},
    "the region": {"Ref": "AWS::Region"},
}
_ROLES: Final = {"flow": "FlowRole", "ingest": "StepRole", "dbt": "StepRole"}
# Keys of these are the user's own.
_MAPS: Final = {"dockerLabels", "options"}


def with_sidecar(name: str) -> dict[str, Any]:
    """Return a task definition of the pipeline as ``add-sidecar`` gives it."""
    definition = json.loads((DEFINITIONS / f"{name}.json").read_text())
    for container in definition["containerDefinitions"]:
        container["logConfiguration"] = {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": "the output's log group",
                "awslogs-region": "the region",
                "awslogs-stream-prefix": definition["family"],
            },
        }
        if name == "flow":
            container["environment"].append({"name": "PREFECT_API_URL", "value": "Prefect's API"})
            container["secrets"] = [{"name": "PREFECT_API_KEY", "valueFrom": "Prefect's key"}]
    prefect: dict[str, Any] = {
        "environment": {"PREFECT_API_URL": "Prefect's API"},
        "secrets": {"PREFECT_API_KEY": "Prefect's key"},
    }
    return task_definition.add(definition, task_definition.Sidecar("the sidecar's image", **prefect))


def resource(name: str) -> dict[str, Any]:
    """Return a task definition as a resource of CloudFormation."""
    properties = _capitalised(with_sidecar(name))
    properties["ExecutionRoleArn"] = {"Fn::ImportValue": {"Fn::Sub": "${BaseStack}-ExecutionRoleArn"}}
    properties["TaskRoleArn"] = {"Fn::GetAtt": [_ROLES[name], "Arn"]}
    return {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}


def _capitalised(value: Any) -> Any:
    """Return what ECS's API takes as CloudFormation does: keys begin with a capital."""
    if isinstance(value, list):
        return [_capitalised(each) for each in value]
    if isinstance(value, dict):
        return {
            key[0].upper() + key[1:]: {k: _own(v) for k, v in each.items()}
            if key in _MAPS
            else _capitalised(each)
            for key, each in value.items()
        }
    return _own(value)


def _own(value: Any) -> Any:
    return copy.deepcopy(_OWN.get(value, value)) if isinstance(value, str) else value


def filled(text: str) -> str:
    """Return the template with its task definitions made anew."""
    for name in _ROLES:
        made = {f"{name.capitalize()}Task": resource(name)}
        lines = yaml.safe_dump(made, sort_keys=False, width=110).splitlines()
        block = "".join(f"  {line}\n" for line in lines)
        pattern = re.compile(rf"(  # <{name}>\n).*?(  # </{name}>)", re.DOTALL)
        text = pattern.sub(lambda match, block=block: f"{match[1]}{block}{match[2]}", text)  # type: ignore[misc]  # mypy does not see defaults of a lambda
    return text


if __name__ == "__main__":
    TEMPLATE.write_text(filled(TEMPLATE.read_text()))
