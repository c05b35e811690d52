"""The CloudFormation template in ``deploy/``, deployed to moto and worked with.

moto knows none of ``UNKNOWN_TO_MOTO``: cfn-lint has checked their properties
(``tests/unit/test_deploy_cloudformation.py``), and no more is known of them. It keeps no key of a log group,
gives mount targets no id and fills in no access point's. It stores policies and decides nothing by them, so
here a gate before it does.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import shlex
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from demo import aws, readback
from demo.processes import Processes
from otel_prefect import semconv
from tests.support import aws_gate, deployed, otlp, sidecar
from tests.support.cloudformation import Decided, load
from tests.support.collector import wait_for
from tests.support.deployed import CASES, Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TEMPLATE = load(deployed.FOLDER / "cloudformation.yaml")
UNKNOWN_TO_MOTO = {
    "AWS::Logs::LogStream",
    "AWS::OSIS::Pipeline",
    "AWS::Scheduler::Schedule",
    "AWS::XRay::Group",
    "AWS::XRay::TransactionSearchConfig",
}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


class Stack:
    """A stack of the template in an AWS of its own."""

    def __init__(self, moto: aws.Aws, case: Case) -> None:
        self.moto = moto
        self.given = {**case.given, **self._network(case)}
        decided = Decided(TEMPLATE, self.given).result()
        made = decided["Resources"]
        decided["Resources"] = {
            name: each for name, each in made.items() if each["Type"] not in UNKNOWN_TO_MOTO
        }
        if "IngestionPipeline" in made:  # which these refer to
            del decided["Outputs"]["SidecarOptions"]
            decided["Resources"].pop("SendLeftTask", None)
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in self.given.items()]
        formation = moto.client("cloudformation")
        formation.create_stack(
            StackName="otel-prefect",
            TemplateBody=json.dumps(decided),
            Parameters=parameters,
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = formation.describe_stacks(StackName="otel-prefect")["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        found = formation.describe_stack_resources(StackName="otel-prefect")["StackResources"]
        self.ids = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in found}
        assert set(self.ids) == set(decided["Resources"])

    def _network(self, case: Case) -> dict[str, str]:
        """Return the network that moto has, where the case asks for one."""
        if "VpcId" not in case.given:
            return {}
        ec2 = self.moto.client("ec2")
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
        group = ec2.describe_security_groups()["SecurityGroups"][0]
        return {
            "VpcId": group["VpcId"],
            "SubnetIds": ",".join(subnets[:2]),
            "TaskSecurityGroupId": group["GroupId"],
        }

    def policy(self, arn: str) -> dict[str, Any]:
        """Return the document of a policy by its ARN."""
        iam = self.moto.client("iam")
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        assert isinstance(document, dict)
        return document

    def policies_of(self, role_arn: str) -> list[dict[str, Any]]:
        """Return the documents of the policies that a role has."""
        attached = self.moto.client("iam").list_attached_role_policies(RoleName=role_arn.rpartition("/")[2])
        return [self.policy(each["PolicyArn"]) for each in attached["AttachedPolicies"]]


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:
    with Processes(tmp_path_factory.mktemp("moto")) as processes:
        yield aws.start(processes)


@pytest.fixture
def deploy(moto: aws.Aws) -> Callable[[Case], Stack]:
    """Return a function that makes a stack in an AWS that has nothing else."""
    post(f"{moto.url}/moto-api/reset")
    return lambda case: Stack(moto, case)


@every_case
def test_the_stack_comes_up_and_its_roles_may_what_the_table_says(
    deploy: Callable[[Case], Stack], case: Case
) -> None:
    stack = deploy(case)
    files = stack.ids.get("QueueFiles", "")
    needed = {(action, on.replace(deployed.FILE_SYSTEM, files)) for action, on in deployed.needed(case.needs)}
    if case.given.get("CreateRoles") == "false":
        assert not {"TaskRoleArn", "ExecutionRoleArn"} & set(stack.outputs)
        return
    documents = stack.policies_of(stack.outputs["TaskRoleArn"])
    assert {pair for document in documents for pair in deployed.allowed(document)} == needed
    if needed:
        assert documents == [stack.policy(stack.outputs["TaskPolicyArn"])]
    assert stack.policies_of(stack.outputs["ExecutionRoleArn"]) == [
        stack.policy(stack.outputs["ExecutionPolicyArn"])
    ]
    assert ("OperatorPolicyArn" in stack.outputs) == bool(case.operators)


@every_case
def test_every_log_group_is_there_with_its_retention(deploy: Callable[[Case], Stack], case: Case) -> None:
    stack = deploy(case)
    groups = stack.moto.client("logs").describe_log_groups()["logGroups"]
    names = {"/otel-prefect/output"}
    names |= {"/otel-prefect"} if case.given.get("Logs") != "none" else set()
    names |= {"/otel-prefect/metrics"} if case.given.get("Metrics", "emf") == "emf" else set()
    pipeline = "/aws/vendedlogs/OpenSearchIngestion/otel-prefect"
    names |= {pipeline} if "OpenSearchIngestion" in case.given else set()
    assert {each["logGroupName"] for each in groups} == names
    for group in groups:
        assert group["retentionInDays"] == 30


def test_queues_are_on_an_encrypted_file_system_that_tasks_reach_by_nfs(
    deploy: Callable[[Case], Stack],
) -> None:
    (case,) = [each for each in CASES if each.name == "queues on EFS"]
    stack = deploy(case)
    efs, ec2 = stack.moto.client("efs"), stack.moto.client("ec2")
    (files,) = efs.describe_file_systems()["FileSystems"]
    assert (files["Encrypted"], files["ThroughputMode"]) == (True, "elastic")
    (point,) = efs.describe_access_points()["AccessPoints"]
    assert point["PosixUser"] == {"Uid": 10001, "Gid": 10001}
    targets = efs.describe_mount_targets(FileSystemId=files["FileSystemId"])["MountTargets"]
    assert {each["SubnetId"] for each in targets} == set(stack.given["SubnetIds"].split(","))
    (group,) = ec2.describe_security_groups(GroupIds=[stack.ids["QueueSecurityGroup"]])["SecurityGroups"]
    (rule,) = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (2049, 2049)
    assert [each["GroupId"] for each in rule["UserIdGroupPairs"]] == [stack.given["TaskSecurityGroupId"]]
    options = shlex.split(stack.outputs["SidecarOptions"])
    assert options[options.index("--efs") + 1].startswith(f"{files['FileSystemId']}:")


def test_what_a_lost_task_left_is_sent_by_the_stacks_scheduled_task(
    deploy: Callable[[Case], Stack], tmp_path: Path
) -> None:
    """A folder stands for the file system."""
    (case,) = [each for each in CASES if each.name == "queues that are sent"]
    stack = deploy(case)
    ecs = stack.moto.client("ecs")
    found = ecs.describe_task_definition(taskDefinition="otel-prefect-send-left")["taskDefinition"]
    (container,) = found["containerDefinitions"]
    settings = {each["name"]: each["value"] for each in container["environment"]}
    assert container["mountPoints"][0]["containerPath"] == semconv.ENV_DATA_DIR.default
    run_id = str(uuid.uuid4())
    span = otlp.span("load", run_id.replace("-", ""), "00f067aa0ba902b7")
    with aws_gate.opened(stack.moto.url) as gate:
        gate.allowed = lambda _action, _resource: False
        variables = {**stack.moto.variables(), "AWS_ENDPOINT_URL": gate.url, **settings}
        with sidecar.running(tmp_path, **variables) as lost:
            request = otlp.traces({"service.name": "daily-sales"}, span)
            send(lost.http_port, "traces", request.SerializeToString())
            collector = lost.collector_pid()
            lost.process.kill()
            wait_for(lambda: Path(f"/proc/{collector}").exists(), lambda there: not there, 10)
        gate.allowed = None
        environ = sidecar.environment(tmp_path / "data", **variables)
        _, *command = container["command"]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=sidecar.ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["left_on_disk"] == {}
    trace = readback.xray(stack.moto.client("xray"), run_id)
    assert [each.operation for each in trace.segments.values()] == ["load"]


def allows(documents: list[dict[str, Any]]) -> Callable[[str, str], bool]:
    """Return what IAM would say by some policies that have no conditions."""
    pairs = {pair for document in documents for pair in deployed.allowed(document)}
    return lambda action, resource: any(
        action == allowed and fnmatch.fnmatchcase(resource, pattern) for allowed, pattern in pairs
    )


def test_a_sidecar_with_the_stacks_options_and_role_delivers_and_asks_for_all_that_it_may(
    deploy: Callable[[Case], Stack], tmp_path: Path
) -> None:
    """The real Collector; each of its calls is refused where the task role's policies do not allow it."""
    stack = deploy(CASES[0])
    documents = stack.policies_of(stack.outputs["TaskRoleArn"])
    options = shlex.split(stack.outputs["SidecarOptions"])
    settings = dict(value.split("=", 1) for name, value in itertools.pairwise(options) if name == "--env")
    run_id, stream = str(uuid.uuid4()), "task-1"
    resource = {"service.name": "daily-sales", semconv.FLOW_RUN_ID: run_id}
    requests = {
        "traces": otlp.traces(resource, otlp.span("load", run_id.replace("-", ""), "00f067aa0ba902b7")),
        "logs": otlp.logs(resource, otlp.record("orders are in")),
        "metrics": otlp.counter(resource, "rows_loaded", 7, "{row}", {"table": "orders"}),
    }
    with aws_gate.opened(stack.moto.url) as gate:
        gate.allowed = allows(documents)
        variables = {**stack.moto.variables(), "AWS_ENDPOINT_URL": gate.url, **settings}
        with sidecar.running(tmp_path, **variables, **{semconv.ENV_LOG_STREAM.name: stream}) as running:
            for signal, request in requests.items():
                send(running.http_port, signal, request.SerializeToString())
            accounts = running.stop()
    assert gate.refused == []
    assert set(gate.asked) == {action for document in documents for action, _ in deployed.allowed(document)}
    assert (accounts["given_up"], accounts["left_on_disk"]) == ({}, {})
    logs = stack.moto.client("logs")
    trace = readback.xray(stack.moto.client("xray"), run_id)
    assert [each.operation for each in trace.segments.values()] == ["load"]
    assert [each["message"] for each in readback.cloudwatch(logs, "/otel-prefect", run_id)] == [
        "orders are in"
    ]
    events = logs.get_log_events(logGroupName="/otel-prefect/metrics", logStreamName=stream)["events"]
    assert 7 in [json.loads(each["message"]).get("rows_loaded") for each in events]
    assert {each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]} == {
        "/otel-prefect",
        "/otel-prefect/metrics",
        "/otel-prefect/output",
    }


def send(port: int, signal: str, body: bytes) -> None:
    """Send a request to the sidecar's OTLP/HTTP door."""
    post(f"http://127.0.0.1:{port}/v1/{signal}", body, {"content-type": "application/x-protobuf"})


def post(url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
    request = Request(url, body, dict(headers or {}), method="POST")  # noqa: S310 - it is loopback
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
