"""The CloudFormation template in ``deploy/``."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cfnlint import api as cfnlint

from otel_prefect import semconv
from tests.support import deployed
from tests.support.cloudformation import Decided, load
from tests.support.deployed import CASES, Case

PATH = deployed.FOLDER / "cloudformation.yaml"
TEMPLATE = load(PATH)
NAMES = {
    "AWS::Partition": "aws",
    "AWS::Region": deployed.REGION,
    "AWS::AccountId": deployed.ACCOUNT,
    "AWS::StackName": "otel-prefect",
    "QueueFiles": deployed.FILE_SYSTEM,
    "QueueAccessPoint": "fsap-0a1b2c3d",
    "TaskRole.Arn": "arn:aws:iam::123456789012:role/task",
    "ExecutionRole.Arn": "arn:aws:iam::123456789012:role/execution",
}
ARN = f"arn:aws:elasticfilesystem:{deployed.REGION}:{deployed.ACCOUNT}"
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def resources(case: Case) -> dict[str, Any]:
    found = Decided(TEMPLATE, case.given).result()["Resources"]
    assert isinstance(found, dict)
    return found


def policy(case: Case, name: str) -> dict[str, Any] | None:
    """Return a managed policy, filled in; nothing where the options have none."""
    found = resources(case).get(name)
    if found is None:
        return None
    document = Decided(TEMPLATE, case.given).text(found["Properties"]["PolicyDocument"], NAMES)
    assert isinstance(document, dict)
    return document


def test_cfn_lint_has_nothing_to_say() -> None:
    assert [str(match) for match in cfnlint.lint_file(PATH)] == []


@every_case
def test_tasks_may_do_what_the_table_says_and_no_more(case: Case) -> None:
    document = policy(case, "TaskPolicy")
    assert (set() if document is None else deployed.allowed(document)) == deployed.needed(case.needs)


@every_case
def test_operators_may_do_what_the_table_says_and_no_more(case: Case) -> None:
    document = policy(case, "OperatorsPolicy")
    assert (set() if document is None else deployed.allowed(document)) == deployed.needed(case.operators)


def test_operators_without_a_domain_may_not_speak_to_one() -> None:
    document = policy(Case("", {"OperatorPolicy": "true"}, frozenset()), "OperatorsPolicy")
    assert document is not None
    assert not [action for action, _ in deployed.allowed(document) if action.startswith("es:")]


def every_policy(case: Case) -> list[tuple[str, dict[str, Any]]]:
    """Return all policies that the options lead to, each with the resource that it stands in."""
    decided = Decided(TEMPLATE, case.given)
    found = []
    for name, resource in resources(case).items():
        documents = list(deployed.policies(resource))
        if resource["Type"] == "AWS::Logs::ResourcePolicy":
            documents = [json.loads(decided.text(resource["Properties"]["PolicyDocument"], NAMES))]
        found += [(name, decided.text(document, NAMES)) for document in documents]
    return found


@every_case
def test_nothing_is_allowed_that_could_be_narrower(case: Case) -> None:
    for name, document in every_policy(case):
        assert deployed.too_much(document) == [], name


@every_case
def test_who_may_take_a_role_is_a_service_for_this_account(case: Case) -> None:
    trusts = [
        statement
        for name, document in every_policy(case)
        if name.endswith("Role")
        for statement in document["Statement"]
        if statement["Action"] == "sts:AssumeRole"
    ]
    assert len(trusts) == len([name for name in resources(case) if name.endswith("Role")])
    for trust in trusts:
        assert re.fullmatch(
            r"(ecs-tasks|osis-pipelines|scheduler)\.amazonaws\.com", trust["Principal"]["Service"]
        )
        assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": deployed.ACCOUNT}
        assert f":{deployed.REGION}:{deployed.ACCOUNT}:" in trust["Condition"]["ArnLike"]["aws:SourceArn"]


@every_case
def test_every_log_group_has_the_retention_and_the_key(case: Case) -> None:
    groups = [each for each in resources(case).values() if each["Type"] == "AWS::Logs::LogGroup"]
    assert groups
    for group in groups:
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        key = group["Properties"].get("KmsKeyId")
        assert key == ({"Ref": "LogKmsKeyArn"} if "LogKmsKeyArn" in case.given else None)


@every_case
def test_queues_are_encrypted_and_reached_by_tasks_alone(case: Case) -> None:
    found = resources(case)
    assert ("QueueFiles" in found) == ("QueueFileSystem" in case.given)
    if "QueueFiles" not in found:
        return
    properties = found["QueueFiles"]["Properties"]
    assert properties["Encrypted"] is True
    (deny,) = properties["FileSystemPolicy"]["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    (rule,) = found["QueueSecurityGroup"]["Properties"]["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"]) == (2049, 2049)
    assert rule["SourceSecurityGroupId"] == {"Ref": "TaskSecurityGroupId"}
    document = policy(case, "TaskPolicy")
    assert document is not None
    (mount,) = [each for each in document["Statement"] if "elasticfilesystem:ClientMount" in each["Action"]]
    point = {"elasticfilesystem:AccessPointArn": f"{ARN}:access-point/fsap-0a1b2c3d"}
    assert mount["Condition"] == {"StringEquals": point}


@pytest.mark.parametrize("subnets", [1, 2, 3])
def test_there_is_a_mount_target_for_each_subnet(subnets: int) -> None:
    given = {**deployed.NETWORK, "SubnetIds": ",".join(f"subnet-{n}0a1b2c3" for n in range(subnets))}
    case = Case("", {**given, "QueueFileSystem": "true"}, frozenset())
    found = resources(case)
    decided = Decided(TEMPLATE, case.given)
    targets = [each for each in found.values() if each["Type"] == "AWS::EFS::MountTarget"]
    assert [each["Properties"]["SubnetId"]["Fn::Select"][0] for each in targets] == list(range(subnets))
    assert decided.parameters["SubnetIds"] == given["SubnetIds"].split(",")


def test_no_parameter_has_a_secret_or_somebodys_account_for_a_default() -> None:
    for name, parameter in TEMPLATE["Parameters"].items():
        default = str(parameter["Default"])
        assert not re.search(r"arn:|\d{12}|AKIA|password", default), name
        assert not re.search(r"(?i)password|token|secretvalue", name), name


def test_defaults_are_those_of_the_variables() -> None:
    defaults = {
        "Traces": semconv.ENV_TRACES,
        "Logs": semconv.ENV_LOGS,
        "Metrics": semconv.ENV_METRICS,
        "LogGroupName": semconv.ENV_LOG_GROUP,
        "MetricLogGroupName": semconv.ENV_METRIC_LOG_GROUP,
        "LogRetentionDays": semconv.ENV_LOG_RETENTION_DAYS,
    }
    for name, variable in defaults.items():
        parameter = TEMPLATE["Parameters"][name]
        assert str(parameter["Default"]) == variable.default
        assert variable.name in parameter["Description"]


@every_case
def test_rules_let_pass_what_is_complete(case: Case) -> None:
    assert Decided(TEMPLATE, case.given).broken_rules() == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"OpenSearchIngestion": "true"}, "OpenSearchDomainEndpoint"),
        ({"OpenSearchIngestion": "true", "OpenSearchDomain": "search"}, "OpenSearchDomainEndpoint"),
        ({"QueueFileSystem": "true"}, "TaskSecurityGroupId"),
    ],
)
def test_an_option_without_what_it_needs_is_refused_before_anything_is_made(
    given: dict[str, str], said: str
) -> None:
    (message,) = Decided(TEMPLATE, given).broken_rules()
    assert said in message
