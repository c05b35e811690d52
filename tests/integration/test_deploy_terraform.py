"""The Terraform module in ``deploy/``, as Terraform reads it: it makes what CloudFormation does."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import deployed
from tests.support.cloudformation import Decided, load
from tests.support.deployed import CASES, Case
from tests.support.terraform import plan

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = load(deployed.FOLDER / "cloudformation.yaml")
# As the stand-in for AWS's provider calls them.
NAMES = {
    "AWS::Partition": "aws",
    "AWS::Region": deployed.REGION,
    "AWS::AccountId": deployed.ACCOUNT,
    "QueueFiles": "aws_efs_file_system.id",
    "QueueAccessPoint": "aws_efs_access_point.id",
    "QueueSecurityGroup": "aws_security_group.id",
    "IngestionRole.Arn": "aws_iam_role.arn",
    "TaskRole.Arn": "aws_iam_role.arn",
    "ExecutionRole.Arn": "aws_iam_role.arn",
    "SendLeftRole.Arn": "aws_iam_role.arn",
    "SendLeftTask": "aws_ecs_task_definition.arn",
    "OutputLogGroup": "/otel-prefect/output",
    "IngestionPipeline.IngestEndpointUrls": ["aws_osis_pipeline.ingest_endpoint_urls"],
}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def statements(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return a policy's statements, whether it has one thing or a list of one, in an order of their own."""
    return sorted(
        (
            each["Effect"],
            sorted(deployed.as_list(each["Action"])),
            sorted(deployed.as_list(each.get("Resource", ""))),
            json.dumps(each.get("Principal"), sort_keys=True),
            json.dumps(each.get("Condition"), sort_keys=True),
        )
        for each in document["Statement"]
    )


def lowered(value: Any) -> Any:
    """Return what CloudFormation takes as ECS's API does: keys begin with a small letter."""
    if isinstance(value, list):
        return [lowered(each) for each in value]
    if isinstance(value, dict):
        return {
            key[0].lower() + key[1:]: each if key == "Options" else lowered(each)
            for key, each in value.items()
        }
    return value


def containers(definitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return container definitions, their variables in an order of their own."""
    return [
        {**each, "environment": sorted(each["environment"], key=lambda pair: pair["name"])}
        for each in definitions
    ]


def option_set(line: str) -> set[str]:
    """Return the options of a command, in no order."""
    return set(f" {line}".split(" --"))


class FromCloudFormation:
    """What the template makes."""

    def __init__(self, case: Case) -> None:
        self.decided = Decided(TEMPLATE, case.given)
        self.result = self.decided.result()

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the properties of the resources of a type, but for the names of other resources in them."""
        return [
            each["Properties"] for each in self.result["Resources"].values() if each["Type"] == f"AWS::{kind}"
        ]

    def filled(self, expression: Any) -> Any:
        return self.decided.text(expression, NAMES)

    def log_groups(self) -> list[Any]:
        names = {"IngestionLogGroup": ""}
        return sorted(
            (
                self.decided.text(each["LogGroupName"], {**NAMES, **names}),
                int(self.filled(each["RetentionInDays"])),
                self.filled(each.get("KmsKeyId")),
            )
            for each in self.all("Logs::LogGroup")
        )

    def log_streams(self) -> list[Any]:
        return [
            (
                self.decided.text(each["LogGroupName"], {**NAMES, "LogGroup": "/otel-prefect"}),
                each["LogStreamName"],
            )
            for each in self.all("Logs::LogStream")
        ]

    def log_indexes(self) -> list[Any]:
        names = {**NAMES, "IngestionLogGroup": ""}
        return [
            (self.decided.text(each["LogGroupName"], names), policy)
            for each in self.all("Logs::LogGroup")
            for policy in each.get("FieldIndexPolicies", ())
        ]

    def policies(self) -> list[Any]:
        own = [each["PolicyDocument"] for each in self.all("IAM::ManagedPolicy")]
        inline = [
            policy["PolicyDocument"] for role in self.all("IAM::Role") for policy in role.get("Policies", ())
        ]
        return sorted(statements(self.filled(each)) for each in own + inline)

    def trusts(self) -> list[Any]:
        return sorted(
            statements(self.filled(each["AssumeRolePolicyDocument"])) for each in self.all("IAM::Role")
        )

    def xray(self) -> list[Any]:
        return [
            (
                each["GroupName"],
                each["FilterExpression"],
                str(self.filled(each["InsightsConfiguration"]["InsightsEnabled"])) == "true",
                each["InsightsConfiguration"]["NotificationsEnabled"],
            )
            for each in self.all("XRay::Group")
        ]

    def spans(self) -> list[Any]:
        policies = [
            json.loads(self.filled(each["PolicyDocument"])) for each in self.all("Logs::ResourcePolicy")
        ]
        percent = [
            float(self.filled(each["IndexingPercentage"]))
            for each in self.all("XRay::TransactionSearchConfig")
        ]
        return [*map(statements, policies), *percent]

    def pipelines(self) -> list[Any]:
        return [
            (
                self.filled(each["PipelineName"]),
                int(self.filled(each["MinUnits"])),
                int(self.filled(each["MaxUnits"])),
                each["LogPublishingOptions"]["IsLoggingEnabled"],
                yaml.safe_load(self.filled(each["PipelineConfigurationBody"])),
            )
            for each in self.all("OSIS::Pipeline")
        ]

    def files(self) -> list[Any]:
        return [
            (
                each["Encrypted"],
                each["ThroughputMode"],
                each["BackupPolicy"]["Status"],
                statements(each["FileSystemPolicy"]),
            )
            for each in self.all("EFS::FileSystem")
        ]

    def access_points(self) -> list[Any]:
        found = []
        for each in self.all("EFS::AccessPoint"):
            root, user = each["RootDirectory"], each["PosixUser"]
            owner = root["CreationInfo"]
            ids = (user["Uid"], user["Gid"], owner["OwnerUid"], owner["OwnerGid"])
            found.append((*map(int, ids), owner["Permissions"], root["Path"]))
        return found

    def network(self) -> list[Any]:
        rules = [
            (
                self.filled(each["VpcId"]),
                rule["IpProtocol"],
                rule["FromPort"],
                rule["ToPort"],
                self.filled(rule["SourceSecurityGroupId"]),
            )
            for each in self.all("EC2::SecurityGroup")
            for rule in each["SecurityGroupIngress"]
        ]
        return rules + sorted(self.filled(each["SubnetId"]) for each in self.all("EFS::MountTarget"))

    def tasks(self) -> list[Any]:
        found = []
        for each in map(self.filled, self.all("ECS::TaskDefinition")):
            (volume,) = each["Volumes"]
            files = volume["EFSVolumeConfiguration"]
            found.append(
                (
                    *(
                        each[key]
                        for key in ("Family", "NetworkMode", "RequiresCompatibilities", "Cpu", "Memory")
                    ),
                    *(each[key] for key in ("ExecutionRoleArn", "TaskRoleArn")),
                    *(each["RuntimePlatform"][key] for key in ("CpuArchitecture", "OperatingSystemFamily")),
                    (volume["Name"], files["FilesystemId"], files["TransitEncryption"]),
                    tuple(files["AuthorizationConfig"][key] for key in ("AccessPointId", "IAM")),
                    containers(lowered(each["ContainerDefinitions"])),
                )
            )
        return found

    def schedules(self) -> list[Any]:
        found = []
        for each in map(self.filled, self.all("Scheduler::Schedule")):
            target = each["Target"]
            ecs = target["EcsParameters"]
            network = ecs["NetworkConfiguration"]["AwsvpcConfiguration"]
            found.append(
                (
                    *(each["ScheduleExpression"], each["FlexibleTimeWindow"]["Mode"], target["Arn"]),
                    *(target["RoleArn"], target["RetryPolicy"]["MaximumRetryAttempts"]),
                    *(ecs[key] for key in ("TaskDefinitionArn", "TaskCount", "LaunchType")),
                    *(network["Subnets"], network["SecurityGroups"], network["AssignPublicIp"] == "ENABLED"),
                )
            )
        return found

    def options(self) -> set[str]:
        return option_set(self.filled(self.result["Outputs"]["SidecarOptions"]["Value"]))


class FromTerraform:
    """What the module makes."""

    def __init__(self, shown: dict[str, Any]) -> None:
        self.values = shown["planned_values"]
        self.resources = self.values["root_module"]["resources"]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [each["values"] for each in self.resources if each["type"] == f"aws_{kind}"]

    def log_groups(self) -> list[Any]:
        groups = self.all("cloudwatch_log_group")
        return sorted((each["name"], each["retention_in_days"], each["kms_key_id"]) for each in groups)

    def log_streams(self) -> list[Any]:
        return [(each["log_group_name"], each["name"]) for each in self.all("cloudwatch_log_stream")]

    def log_indexes(self) -> list[Any]:
        found = self.all("cloudwatch_log_index_policy")
        return [(each["log_group_name"], json.loads(each["policy_document"])) for each in found]

    def policies(self) -> list[Any]:
        found = self.all("iam_policy") + self.all("iam_role_policy")
        return sorted(statements(json.loads(each["policy"])) for each in found)

    def trusts(self) -> list[Any]:
        return sorted(statements(json.loads(each["assume_role_policy"])) for each in self.all("iam_role"))

    def xray(self) -> list[Any]:
        found = []
        for each in self.all("xray_group"):
            (insights,) = each["insights_configuration"]
            found.append(
                (
                    each["group_name"],
                    each["filter_expression"],
                    *(insights[key] for key in ("insights_enabled", "notifications_enabled")),
                )
            )
        return found

    def spans(self) -> list[Any]:
        policies = [
            json.loads(each["policy_document"]) for each in self.all("cloudwatch_log_resource_policy")
        ]
        percent = [
            float(each["rule"][0]["probabilistic"][0]["desired_sampling_percentage"])
            for each in self.all("xray_indexing_rule")
        ]
        destinations = [each["destination"] for each in self.all("xray_trace_segment_destination")]
        assert destinations == ["CloudWatchLogs"] * len(percent)
        return [*map(statements, policies), *percent]

    def pipelines(self) -> list[Any]:
        return [
            (
                each["pipeline_name"],
                each["min_units"],
                each["max_units"],
                each["log_publishing_options"][0]["is_logging_enabled"],
                yaml.safe_load(each["pipeline_configuration_body"]),
            )
            for each in self.all("osis_pipeline")
        ]

    def files(self) -> list[Any]:
        backups = self.all("efs_backup_policy")
        policies = self.all("efs_file_system_policy")
        return [
            (
                each["encrypted"],
                each["throughput_mode"],
                backup["backup_policy"][0]["status"],
                statements(json.loads(policy["policy"])),
            )
            for each, backup, policy in zip(self.all("efs_file_system"), backups, policies, strict=True)
        ]

    def access_points(self) -> list[Any]:
        found = []
        for each in self.all("efs_access_point"):
            (user,), (root,) = each["posix_user"], each["root_directory"]
            (owner,) = root["creation_info"]
            found.append(
                (
                    user["uid"],
                    user["gid"],
                    owner["owner_uid"],
                    owner["owner_gid"],
                    owner["permissions"],
                    root["path"],
                )
            )
        return found

    def network(self) -> list[Any]:
        rules = [
            (each["vpc_id"], rule["protocol"], rule["from_port"], rule["to_port"], *rule["security_groups"])
            for each in self.all("security_group")
            for rule in each["ingress"]
        ]
        return rules + sorted(each["subnet_id"] for each in self.all("efs_mount_target"))

    def tasks(self) -> list[Any]:
        found = []
        for each in self.all("ecs_task_definition"):
            (volume,), (platform,) = each["volume"], each["runtime_platform"]
            (files,) = volume["efs_volume_configuration"]
            (access,) = files["authorization_config"]
            keys = ("family", "network_mode", "requires_compatibilities", "cpu", "memory")
            found.append(
                (
                    *(each[key] for key in (*keys, "execution_role_arn", "task_role_arn")),
                    *(platform[key] for key in ("cpu_architecture", "operating_system_family")),
                    (volume["name"], files["file_system_id"], files["transit_encryption"]),
                    (access["access_point_id"], access["iam"]),
                    containers(json.loads(each["container_definitions"])),
                )
            )
        return found

    def schedules(self) -> list[Any]:
        found = []
        for each in self.all("scheduler_schedule"):
            (target,), (window,) = each["target"], each["flexible_time_window"]
            (retry,), (ecs,) = target["retry_policy"], target["ecs_parameters"]
            (network,) = ecs["network_configuration"]
            found.append(
                (
                    *(each["schedule_expression"], window["mode"], target["arn"]),
                    *(target["role_arn"], retry["maximum_retry_attempts"]),
                    *(ecs[key] for key in ("task_definition_arn", "task_count", "launch_type")),
                    *(network[key] for key in ("subnets", "security_groups", "assign_public_ip")),
                )
            )
        return found

    def options(self) -> set[str]:
        return option_set(self.values["outputs"]["sidecar_options"]["value"])


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that gives the plan of a case, made once."""

    @cache
    def make(name: str) -> dict[str, Any]:
        (case,) = [each for each in CASES if each.name == name]
        return plan.plan(tmp_path_factory.mktemp("terraform"), case.given)

    return make


@pytest.mark.parametrize(
    "part",
    [
        "log_groups",
        "log_streams",
        "log_indexes",
        "policies",
        "trusts",
        "xray",
        "spans",
        "pipelines",
        "files",
        "access_points",
        "network",
        "tasks",
        "schedules",
        "options",
    ],
)
@every_case
def test_it_makes_what_the_cloudformation_template_makes(planned: Any, case: Case, part: str) -> None:
    terraform, cloudformation = FromTerraform(planned(case.name)), FromCloudFormation(case)
    assert getattr(terraform, part)() == getattr(cloudformation, part)()


@every_case
def test_every_policy_goes_to_its_role(planned: Any, case: Case) -> None:
    resources = planned(case.name)["planned_values"]["root_module"]["resources"]
    names = {each["name"] for each in resources if each["type"] == "aws_iam_role_policy_attachment"}
    roles = case.given.get("CreateRoles") != "false"
    assert names == ({"execution"} if roles else set()) | ({"task"} if roles and case.needs else set())


@every_case
def test_log_groups_of_runs_outlive_the_module(planned: Any, case: Case) -> None:
    for each in FromTerraform(planned(case.name)).all("cloudwatch_log_group"):
        assert each["skip_destroy"] is (None if each["name"].startswith("/aws/vendedlogs/") else True)


def test_variables_are_the_parameters(planned: Any) -> None:
    variables = planned("default")["configuration"]["root_module"]["variables"]
    parameters = TEMPLATE["Parameters"]
    defaults = {name: str(each["Default"]) for name, each in parameters.items()}
    expected = {
        **plan.values(defaults),
        **{
            plan.variable(name): []
            for name, each in parameters.items()
            if each["Type"] == "CommaDelimitedList"
        },
    }
    as_they_are = {name: each.get("default") for name, each in variables.items()}
    assert {name: str(value) for name, value in as_they_are.items()} == {
        name: str(value) for name, value in expected.items()
    }
    for name, each in parameters.items():
        assert variables[plan.variable(name)].get("description") == each.get("Description")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"Traces": "zipkin"}, "traces is one of xray, xray-otlp, auto, none."),
        ({"LogRetentionDays": "31"}, "log_retention_days is one of"),
        ({"IndexingPercentage": "101"}, "indexing_percentage is 0 or more, up to 100."),
        ({"OpenSearchIngestion": "true"}, "open_search_ingestion needs open_search_domain"),
        ({"QueueFileSystem": "true"}, "queue_file_system needs vpc_id"),
        ({"QueueFileSystem": "true", **deployed.NETWORK, "VpcId": ""}, "queue_file_system needs vpc_id"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_words(
    tmp_path: Path, given: dict[str, str], said: str
) -> None:
    with pytest.raises(plan.RefusedError) as refused:
        plan.plan(tmp_path, given)
    assert said in " ".join(str(refused.value).replace("│", " ").split())


def test_it_is_valid_and_formatted(tmp_path: Path) -> None:
    plan.run(tmp_path, "validate")
    plan.run(tmp_path, "fmt", "-check", "-diff")


def test_the_stand_in_refuses_what_awss_provider_has_not(tmp_path: Path) -> None:
    """Else a misspelt argument would pass."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.tf").write_text('resource "aws_cloudwatch_log_group" "logs" {\n  retention = 30\n}\n')
    with pytest.raises(plan.RefusedError, match='An argument named "retention" is not expected here'):
        plan.run(tmp_path, "validate", module=module)
