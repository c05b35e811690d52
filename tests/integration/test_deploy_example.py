"""The example service in ``deploy/examples``, deployed to moto on top of the base stack.

moto knows none of ``UNKNOWN_TO_MOTO``. Of a task definition it leaves the roles out, and of a service the
launch type.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from prefect.utilities.templating import apply_values
from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSWorker

from demo import aws
from demo.processes import Processes
from tests.support import deployed
from tests.support.cloudformation import Decided, load
from tests.unit.test_deploy_example import NAMES, generator

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prefect-a1b2c3"
UNKNOWN_TO_MOTO = {"AWS::XRay::Group", "AWS::Glue::Job"}


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:
    with Processes(tmp_path_factory.mktemp("moto")) as processes:
        yield aws.start(processes)


def create(moto: aws.Aws, name: str, template: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """Create a stack; return its outputs."""
    made = template["Resources"]
    template = {**template, "Resources": {k: v for k, v in made.items() if v["Type"] not in UNKNOWN_TO_MOTO}}
    parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
    formation = moto.client("cloudformation")
    formation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=parameters,
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


@pytest.fixture(scope="module")
def outputs(moto: aws.Aws) -> dict[str, str]:
    """Return the outputs of the two stacks, as a newcomer would create them."""
    base = load(deployed.FOLDER / "cloudformation.yaml")
    given = {"SecretArns": KEY}
    first = create(moto, "otel-prefect", Decided(base, given).result(), given)
    ec2 = moto.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"]
    example = {
        "VpcId": subnets[0]["VpcId"],
        "SubnetIds": ",".join(each["SubnetId"] for each in subnets[:2]),
        "PrefectApiUrl": "https://prefect.example.com/api",
        "PrefectApiKeyArn": KEY,
        **{f"{image}Image": f"{image.lower()}:1" for image in ("Sidecar", "Flow", "Ingest", "Dbt")},
    }
    template = load(deployed.FOLDER / "examples/daily-sales.yaml")
    return {**first, **create(moto, "daily-sales", template, example)}


@pytest.mark.parametrize("name", NAMES)
def test_ecs_has_the_task_definition_that_add_sidecar_makes(
    moto: aws.Aws, outputs: dict[str, str], name: str
) -> None:
    ecs = moto.client("ecs")
    found = ecs.describe_task_definition(taskDefinition=f"daily-sales-{name}")["taskDefinition"]
    expected = generator().with_sidecar(name)
    sender, own = found["containerDefinitions"]
    assert (sender["image"], own["image"]) == (f"{name}:1", "sidecar:1")
    logs = {each["logConfiguration"]["options"]["awslogs-group"] for each in (sender, own)}
    assert logs == {outputs["OutputLogGroupName"]}
    for has, wanted in zip((sender, own), expected["containerDefinitions"], strict=True):
        same = set(wanted) - {"image", "logConfiguration", "environment", "secrets"}
        assert {key: has.get(key) for key in same} == {key: wanted[key] for key in same}
        assert [each["name"] for each in has["environment"]] == [
            each["name"] for each in wanted["environment"]
        ]
    assert found["volumes"] == expected["volumes"]
    secrets = [{"name": "PREFECT_API_KEY", "valueFrom": KEY}]
    assert own["secrets"] == secrets
    assert sender.get("secrets", []) == (secrets if name == "flow" else [])


def test_prefects_worker_takes_the_job_variables(moto: aws.Aws, outputs: dict[str, str]) -> None:
    """As it fills in its template, but for blocks and variables of Prefect, of which there are none."""
    template = ECSWorker.get_default_base_job_template()
    properties = template["variables"]["properties"]
    defaults = ECSJobConfiguration._get_base_config_defaults(properties)
    variables = json.loads(outputs["JobVariables"])
    assert set(variables) <= set(properties)
    filled = apply_values(template["job_configuration"], {**defaults, **variables})
    configuration = ECSJobConfiguration(**filled)
    ecs = moto.client("ecs")
    arn = configuration.task_run_request["taskDefinition"]
    assert ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["family"] == "daily-sales-flow"
    assert configuration.cluster == ecs.list_clusters()["clusterArns"][0]
    (group,) = configuration.network_configuration["securityGroups"]
    (found,) = moto.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert found["VpcId"] == configuration.vpc_id
    assert len(configuration.network_configuration["subnets"]) == 2


def test_the_worker_is_a_service_that_runs(moto: aws.Aws, outputs: dict[str, str]) -> None:
    ecs = moto.client("ecs")
    cluster = json.loads(outputs["JobVariables"])["cluster"]
    (service,) = ecs.list_services(cluster=cluster)["serviceArns"]
    (found,) = ecs.describe_services(cluster=cluster, services=[service])["services"]
    assert found["desiredCount"] == 1
    assert ":task-definition/daily-sales-worker:" in found["taskDefinition"]
