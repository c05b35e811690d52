"""Sets of options that the templates in ``deploy/`` are tested with, and what each of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.deploy import permissions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy"
ACCOUNT: Final = "123456789012"
REGION: Final = "eu-west-1"
FILE_SYSTEM: Final = "fs-0123456789abcdef0"
VARIABLES: Final = {
    "partition": "aws",
    "region": REGION,
    "account": ACCOUNT,
    "log_group": "/otel-prefect",
    "metric_log_group": "/otel-prefect/metrics",
    "opensearch_domain": "search",
    "ingestion_pipeline": "otel-prefect",
    "prometheus_workspace": "ws-0123",
    "file_system": FILE_SYSTEM,
}
DOMAIN: Final = {"OpenSearchDomain": "search", "OpenSearchDomainEndpoint": "https://search.example.com"}
NETWORK: Final = {
    "VpcId": "vpc-0a1b2c3d",
    "SubnetIds": "subnet-0a1b2c3d,subnet-0b1b2c3d",
    "TaskSecurityGroupId": "sg-0a1b2c3d",
}

SCHEDULED: Final = {
    "SidecarImage": "otel-prefect:0.1.0",
    "ClusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/data",
}


@dataclass(frozen=True)
class Case:
    """Some options.

    Attributes:
        name: of the case.
        given: parameters of the CloudFormation template.
        needs: the layers and options of the table of permissions that tasks then need.
        operators: the options of that table that the operators' policy then is for.
    """

    name: str
    given: Mapping[str, str]
    needs: frozenset[str]
    operators: frozenset[str] = frozenset()


_DEFAULT: Final = frozenset({"traces/xray", "logs/cloudwatch", "metrics/emf"})
_INGESTION: Final = {"traces/opensearch-ingestion", "logs/opensearch-ingestion"}
_OPERATORS: Final = frozenset({permissions.DOCTOR, permissions.OPENSEARCH_SETUP, permissions.TRACE})
_NONE: Final = {"Traces": "none", "Logs": "none", "Metrics": "none"}

CASES: Final = (
    Case("default", {}, _DEFAULT),
    Case("xray-otlp", {**_NONE, "Traces": "xray-otlp"}, frozenset({"traces/xray-otlp"})),
    Case("auto", {**_NONE, "Traces": "auto"}, frozenset({"traces/auto"})),
    Case("cloudwatch-otlp", {**_NONE, "Logs": "cloudwatch-otlp"}, frozenset({"logs/cloudwatch-otlp"})),
    Case(
        "metrics over OTLP",
        {**_NONE, "Metrics": "cloudwatch-otlp"},
        frozenset({"metrics/cloudwatch-otlp"}),
    ),
    Case(
        "managed Prometheus",
        {**_NONE, "PrometheusWorkspaceId": "ws-0123"},
        frozenset({permissions.MANAGED_PROMETHEUS}),
    ),
    Case("X-Ray SDK", {**_NONE, "XraySdk": "true"}, frozenset({permissions.XRAY_SDK})),
    Case("run task", {**_NONE, "RunTask": "true"}, frozenset({permissions.RUN_TASK})),
    Case("ingestion", {**_NONE, **DOMAIN, "OpenSearchIngestion": "true"}, frozenset(_INGESTION)),
    Case(
        "queues on EFS",
        {**_NONE, **NETWORK, "QueueFileSystem": "true"},
        frozenset({permissions.SHARED_QUEUES}),
    ),
    Case(
        "queues that are sent",
        {
            **_NONE,
            **NETWORK,
            **SCHEDULED,
            "QueueFileSystem": "true",
            "Traces": "xray",
            "CpuArchitecture": "ARM64",
        },
        frozenset({permissions.SHARED_QUEUES, "traces/xray"}),
    ),
    Case("operators", {**DOMAIN, "OperatorPolicy": "true"}, _DEFAULT, _OPERATORS),
    Case(
        "Transaction Search",
        {"Traces": "auto", "TransactionSearch": "true"},
        _DEFAULT - {"traces/xray"} | {"traces/auto"},
    ),
    Case("nothing", {**_NONE, "CreateRoles": "false", "XrayGroup": "false"}, frozenset()),
    Case(
        "everything",
        {
            **DOMAIN,
            **NETWORK,
            **SCHEDULED,
            "XraySdk": "true",
            "RunTask": "true",
            "PrometheusWorkspaceId": "ws-0123",
            "OpenSearchIngestion": "true",
            "QueueFileSystem": "true",
            "OperatorPolicy": "true",
            "TransactionSearch": "true",
            "XrayInsights": "true",
            "LogKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/logs",
            "SecretsKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/secrets",
            "SecretArns": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prefect-a1b2c3",
            "ParameterArns": "arn:aws:ssm:eu-west-1:123456789012:parameter/prefect/api-key",
            "ImageRepositoryArns": (
                "arn:aws:ecr:eu-west-1:123456789012:repository/otel-prefect,"
                "arn:aws:ecr:eu-west-1:123456789012:repository/daily-sales-flow"
            ),
        },
        _DEFAULT
        | _INGESTION
        | {
            permissions.XRAY_SDK,
            permissions.RUN_TASK,
            permissions.MANAGED_PROMETHEUS,
            permissions.SHARED_QUEUES,
        },
        _OPERATORS,
    ),
)
"""Each option alone, and all of them together."""


def needed(by: frozenset[str]) -> set[tuple[str, str]]:
    """Return the actions that the table says are needed, each with its resource."""
    return {(row.action, row.on(VARIABLES)) for row in permissions.needed(by)}


def allowed(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return what a policy allows: actions, each with its resource. None may be there twice."""
    pairs = [
        (action, resource)
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement.get("Resource", "trust"))
    ]
    assert len(set(pairs)) == len(pairs), f"allowed twice: {pairs}"
    return set(pairs)


def as_list(value: Any) -> list[Any]:
    """Return what a policy has as one or as a list of some, as a list."""
    return value if isinstance(value, list) else [value]


def policies(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all policy documents in something, however deep."""
    if isinstance(value, dict):
        if "Statement" in value:
            yield value
        for each in value.values():
            yield from policies(each)
    elif isinstance(value, list):
        for each in value:
            yield from policies(each)


# Actions for which AWS knows no resource, by service.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
WITHOUT_A_RESOURCE: Final = frozenset(
    {
        *(f"xray:{action}" for action in ("PutTraceSegments", "PutSpans", "PutSpansForIndexing")),
        *(f"xray:{action}" for action in ("GetSamplingRules", "GetSamplingTargets", "BatchGetTraces")),
        *(f"xray:{action}" for action in ("StartTraceRetrieval", "ListRetrievedTraces")),
        "xray:GetTraceSegmentDestination",
        # Of a query's own id, which nobody knows but who has started it on a log group that he may query.
        *(f"logs:{action}" for action in ("GetQueryResults", "StopQuery")),
        "logs:DescribeIndexPolicies",
        "cloudwatch:PutMetricData",
        "ecs:DescribeTaskDefinition",
        "ecr:GetAuthorizationToken",
    }
)


def too_much(document: Mapping[str, Any]) -> list[str]:
    """Return what a policy allows that could be narrower."""
    return [
        f"{action} on {resource}"
        for action, resource in sorted(allowed(document))
        if "*" in action or (resource == "*" and action not in WITHOUT_A_RESOURCE)
    ]
