"""What AWS has to allow: one row for each action, with its resource and who needs it.

The one table that the policies in ``deploy/`` are made from and that ``otel-prefect doctor`` checks. A row is
needed by layers, written as ``signal/name``, or by options: something that is done only where it is wanted.

Which resource an action can be narrowed to is stated by AWS's Service Authorization Reference
(https://docs.aws.amazon.com/service-authorization/latest/reference/): X-Ray's that stand here know none. The
ARN of a log group ends in ``:*`` in policies
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CREATE_LOG_GROUPS: Final = "option/create-log-groups"
"""The Collector makes the log groups that are not there; needless where ``deploy/`` has made them."""
XRAY_SDK: Final = "option/xray-sdk"
"""Code with an X-Ray SDK asks the Collector for sampling rules, and the Collector asks X-Ray."""
OPENSEARCH_SETUP: Final = "option/opensearch-setup"
"""``otel-prefect opensearch setup`` with signed requests."""
SHARED_QUEUES: Final = "option/shared-queues"
"""The queues are on EFS, behind an access point: `ecs add-sidecar --efs fs-…:fsap-…`."""
RUN_TASK: Final = "option/run-task"
"""A flow calls ``ecs.run_task`` without ``containerOverrides``, and the run is to be handed on."""
MANAGED_PROMETHEUS: Final = "option/managed-prometheus"
"""The layer ``prometheus`` signs its requests for Amazon Managed Service for Prometheus."""
DOCTOR: Final = "option/doctor"
"""``otel-prefect doctor`` reads back what it has sent; nothing else needs it."""
TRACE: Final = "option/trace"
"""``otel-prefect trace`` and ``logs``, by who looks at a run."""

_LOGS = "arn:${partition}:logs:${region}:${account}:log-group:"
_EFS = "arn:${partition}:elasticfilesystem:${region}:${account}:file-system/${file_system}"
_CLOUDWATCH = ("logs/cloudwatch",)
_EMF = ("metrics/emf",)


@dataclass(frozen=True)
class Permission:
    """One action that has to be allowed.

    Attributes:
        action: as a policy writes it, ``service:Action``.
        resource: an ARN with ``${variables}``, or ``*`` where AWS knows no resource for the action.
        needed_by: layers (``signal/name``) and options.
        why: what it is for, as half a sentence.
    """

    action: str
    resource: str
    needed_by: tuple[str, ...]
    why: str

    @property
    def service(self) -> str:
        """The service, as IAM names it."""
        return self.action.partition(":")[0]

    def on(self, variables: Mapping[str, str]) -> str:
        """Return the resource with its variables filled in.

        Args:
            variables: ``partition``, ``region``, ``account``, ``log_group``, ``metric_log_group``,
                ``opensearch_domain``, ``ingestion_pipeline``, ``prometheus_workspace`` and ``file_system``:
                names, not ARNs.

        Raises:
            KeyError: one that the resource has is missing.
        """
        return Template(self.resource).substitute(variables)


TABLE: Final = (
    Permission("xray:PutTraceSegments", "*", ("traces/xray", "traces/auto"), "sends spans as segments"),
    # What X-Ray's OTLP endpoint asks for: AWSXrayWriteOnlyAccess and CloudWatchAgentServerPolicy have both.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPSimplesetup.html
    Permission("xray:PutSpans", "*", ("traces/xray-otlp", "traces/auto"), "sends spans over OTLP"),
    Permission(
        "xray:PutSpansForIndexing", "*", ("traces/xray-otlp", "traces/auto"), "has spans indexed by X-Ray"
    ),
    Permission(
        "xray:GetTraceSegmentDestination", "*", ("traces/auto",), "tells whether Transaction Search is on"
    ),
    Permission("xray:GetSamplingRules", "*", (XRAY_SDK,), "gives X-Ray SDKs their rules"),
    Permission("xray:GetSamplingTargets", "*", (XRAY_SDK,), "gives X-Ray SDKs their rates"),
    Permission("logs:CreateLogStream", _LOGS + "${log_group}:*", _CLOUDWATCH, "makes the task's stream"),
    Permission(
        "logs:PutLogEvents",
        _LOGS + "${log_group}:log-stream:*",
        (*_CLOUDWATCH, "logs/cloudwatch-otlp"),
        "sends logs",
    ),
    Permission(
        "logs:CreateLogStream", _LOGS + "${metric_log_group}:*", _EMF, "makes the task's stream of metrics"
    ),
    Permission(
        "logs:PutLogEvents", _LOGS + "${metric_log_group}:log-stream:*", _EMF, "sends metrics as log events"
    ),
    Permission("logs:CreateLogGroup", _LOGS + "${log_group}:*", (CREATE_LOG_GROUPS,), "makes the log group"),
    Permission(
        "logs:PutRetentionPolicy", _LOGS + "${log_group}:*", (CREATE_LOG_GROUPS,), "sets how long it keeps"
    ),
    Permission(
        "logs:CreateLogGroup",
        _LOGS + "${metric_log_group}:*",
        (CREATE_LOG_GROUPS,),
        "makes the log group of metrics",
    ),
    Permission(
        "logs:PutRetentionPolicy",
        _LOGS + "${metric_log_group}:*",
        (CREATE_LOG_GROUPS,),
        "sets how long it keeps",
    ),
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/metrics-otel-send.html
    Permission("cloudwatch:PutMetricData", "*", ("metrics/cloudwatch-otlp",), "sends metrics over OTLP"),
    # Where the layer writes to Amazon Managed Service for Prometheus; any other server needs none.
    # https://docs.aws.amazon.com/prometheus/latest/userguide/AMP-onboard-ingest-metrics.html
    Permission(
        "aps:RemoteWrite",
        "arn:${partition}:aps:${region}:${account}:workspace/${prometheus_workspace}",
        (MANAGED_PROMETHEUS,),
        "writes metrics to Amazon Managed Service for Prometheus",
    ),
    # https://docs.aws.amazon.com/opensearch-service/latest/developerguide/configure-client.html
    Permission(
        "osis:Ingest",
        "arn:${partition}:osis:${region}:${account}:pipeline/${ingestion_pipeline}",
        ("traces/opensearch-ingestion", "logs/opensearch-ingestion"),
        "sends to the ingestion pipeline",
    ),
    Permission(
        "es:ESHttpGet",
        "arn:${partition}:es:${region}:${account}:domain/${opensearch_domain}/*",
        (OPENSEARCH_SETUP, DOCTOR),
        "looks at templates and policies",
    ),
    Permission(
        "es:ESHttpPut",
        "arn:${partition}:es:${region}:${account}:domain/${opensearch_domain}/*",
        (OPENSEARCH_SETUP,),
        "installs templates and policies",
    ),
    Permission(
        "es:ESHttpPost",
        "arn:${partition}:es:${region}:${account}:domain/${opensearch_domain}/*",
        (DOCTOR, TRACE),
        "searches for a run, or for the test span and log line",
    ),
    # https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
    Permission("elasticfilesystem:ClientMount", _EFS, (SHARED_QUEUES,), "mounts the queues"),
    Permission("elasticfilesystem:ClientWrite", _EFS, (SHARED_QUEUES,), "writes the queues"),
    Permission("xray:BatchGetTraces", "*", (DOCTOR, TRACE), "reads a trace, or the test span back"),
    Permission(
        "xray:GetTraceSegmentDestination",
        "*",
        (DOCTOR, TRACE),
        "tells where a trace is found",
    ),
    Permission("xray:StartTraceRetrieval", "*", (TRACE,), "looks a trace up where Transaction Search is on"),
    Permission("xray:ListRetrievedTraces", "*", (TRACE,), "reads what was looked up"),
    Permission("logs:DescribeLogGroups", _LOGS + "*", (DOCTOR,), "looks for the log groups"),
    Permission("logs:DescribeLogStreams", _LOGS + "${log_group}:*", (DOCTOR,), "looks for the log stream"),
    Permission("logs:DescribeIndexPolicies", "*", (DOCTOR,), "looks for its index"),
    Permission(
        "logs:FilterLogEvents",
        _LOGS + "${log_group}:*",
        (DOCTOR, TRACE),
        "reads the log of a short time, or the test log line back",
    ),
    Permission(
        "logs:FilterLogEvents",
        _LOGS + "aws/spans:*",
        (DOCTOR, TRACE),
        "reads a trace, or the test span back, where Transaction Search is on",
    ),
    Permission("logs:StartQuery", _LOGS + "${log_group}:*", (TRACE,), "looks a run's log up"),
    Permission(
        "logs:StartQuery", _LOGS + "aws/spans:*", (TRACE,), "looks a trace up where Transaction Search is on"
    ),
    Permission("logs:GetQueryResults", "*", (TRACE,), "reads what was looked up"),
    Permission("logs:StopQuery", "*", (TRACE,), "stops looking when it is interrupted"),
    Permission("ecs:DescribeTaskDefinition", "*", (RUN_TASK,), "tells which containers there are"),
)
"""All of them. An action may stand here for more than one resource."""


def needed(by: Iterable[str]) -> tuple[Permission, ...]:
    """Return the rows that layers and options need, in the table's order.

    Args:
        by: layers as ``signal/name``, and options. A layer that is not on AWS needs none.
    """
    wanted = set(by)
    return tuple(row for row in TABLE if wanted & set(row.needed_by))


def statement(rows: Iterable[Permission], variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the statement of a policy that allows some rows on one resource or some.

    Args:
        rows: at least one.
        variables: as :meth:`Permission.on` takes them.
    """
    chosen = list(rows)
    actions = sorted({row.action for row in chosen})
    resources = sorted({row.on(variables) for row in chosen})
    return {
        "Effect": "Allow",
        "Action": actions[0] if len(actions) == 1 else actions,
        "Resource": resources[0] if len(resources) == 1 else resources,
    }
