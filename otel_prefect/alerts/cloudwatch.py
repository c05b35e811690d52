"""The alerts as alarms of CloudWatch, and the topics that tell of them: a template of CloudFormation.

Alarms read what the layer ``emf`` sends, by queries of Metrics Insights: one alarm has all flows or tables,
and each of them is a contributor of it with a state and a message of its own.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Metrics_Insights_Alarm.html

Such a query sees three hours at most and compares with nothing that was before, so an alarm ends by itself an
hour after the last bad value. That does not mean that it was mended: the end is told nobody.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from otel_prefect import links, semconv
from otel_prefect.alerts import anomalies, declared
from otel_prefect.alerts.declared import Level
from otel_prefect.alerts.prometheus import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_prefect.alerts.bands import Series
    from otel_prefect.alerts.declared import Alert
    from otel_prefect.alerts.places import Places

_MINUTE: Final = 60
_HOUR: Final = 60
_DAY_SECONDS: Final = 86_400
_BAND_WIDTH: Final = 3  # standard deviations, CloudWatch's own kind of


@dataclass(frozen=True)
class Query:
    """What a metric is asked for, and when that is bad.

    Attributes:
        alert: that it stands for.
        metric: which.
        statistic: of a minute.
        by: dimension that makes contributors; a metric without it is not seen.
        is_bad: comparison as CloudWatch names it,
        than: and with what.
        but: values of dimensions that do not count.
    """

    alert: Alert
    metric: semconv.Metric
    statistic: str
    by: str
    is_bad: str = "GreaterThanThreshold"
    than: float = 0
    but: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """Return it in the language of Metrics Insights, with ``${Namespace}`` to be filled in."""
        where = " AND ".join(f"{name} != '{value}'" for name, value in self.but)
        parts = [
            f'SELECT {self.statistic}("{self.metric.name}")',
            'FROM "${Namespace}"',
            *([f"WHERE {where}"] if where else []),
            f'GROUP BY "{self.by}"',
            f"ORDER BY {self.statistic}() {'ASC' if self.is_bad.startswith('Less') else 'DESC'}",
        ]
        return " ".join(parts)


_FLOW: Final = semconv.ANNOTATION_FLOW_NAME
QUERIES: Final = (
    # A gauge with one value a failed run, which is a time: they are counted.
    Query(declared.FLOW_RUN_FAILED, semconv.METRIC_FLOW_RUN_FAILED, "COUNT", _FLOW),
    Query(
        declared.DATA_TESTS_FAILED,
        semconv.METRIC_DBT_TESTS,
        "SUM",
        _FLOW,
        but=(("status", "pass"), ("status", "warn"), ("status", "skipped")),
    ),
    Query(
        declared.TABLE_INCOMPLETE,
        semconv.METRIC_TABLE_COMPLETENESS,
        "MIN",
        semconv.TABLE,
        "LessThanThreshold",
        0.95,
    ),
    Query(declared.SCHEMA_CHANGED, semconv.METRIC_SCHEMA_CHANGES, "SUM", semconv.TABLE),
    Query(declared.VALUES_REFUSED, semconv.METRIC_REFUSED, "SUM", semconv.TABLE),
    Query(declared.COST_DATA_MISSING, semconv.METRIC_COST_FLOW_PROBLEMS, "SUM", semconv.SERVICE),
    Query(declared.TELEMETRY_LOST, semconv.METRIC_SIDECAR_GIVEN_UP, "SUM", "exporter"),
    Query(declared.TELEMETRY_HELD, semconv.METRIC_SIDECAR_HELD, "MAX", "layer"),
)
_MEANING: Final = {
    "FlowRunFailed": "A run of the flow ended failed or crashed, after all its retries.",
    "DataTestsFailed": "Tests of dbt in this flow failed, or could not be carried out.",
    "TableIncomplete": "The last load of the table brought less than 95 % of the rows that were expected.",
    "SchemaChanged": "Columns of the table were added, removed or retyped since its last known form.",
    "ValuesRefused": "The pipeline told numbers of the table that cannot be; they were not recorded.",
    "CostDataMissing": "The cost flow was not answered by this service: its numbers are missing, not zero.",
    "TelemetryLost": "Records that sidecars had accepted are lost: this destination will never take them.",
    "TelemetryHeld": "A sidecar keeps the data of this layer on disk: AWS refuses it.",
}


def template(places: Places, bands: Iterable[Series] = ()) -> str:
    """Return the template.

    Args:
        places: a team's consoles, which the descriptions link to.
        bands: metrics that are to have alarms by CloudWatch's anomaly detection.
    """
    made = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "otel-prefect: alarms on the metrics of pipelines, and who is told of them",
        # No Slack workspace has the default as its id; without one there is no such resource.
        "Metadata": {"cfn-lint": {"config": {"ignore_checks": ["W1030"]}}},
        "Parameters": _PARAMETERS,
        "Conditions": {
            "Pages": _is_given("PagerDutyEndpoint"),
            "Slack": _is_given("SlackChannelId"),
            "Mail": _is_given("MailTo"),
            "NewCostMonitor": {"Fn::Equals": [{"Ref": "CostMonitorArn"}, ""]},
        },
        "Resources": {
            **_told(),
            **{query.alert.name: _alarm(query, places) for query in QUERIES},
            **{series.logical_id(): _band(series, places) for series in bands},
            **_cost(),
        },
        "Outputs": {f"Topic{level.value}": {"Value": {"Ref": f"Topic{level.value}"}} for level in _TOLD},
    }
    return HEAD + yaml.dump(made, sort_keys=False, width=1_000, allow_unicode=True)


def _is_given(parameter: str) -> dict[str, Any]:
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


_PARAMETERS: Final = {
    "Namespace": {
        "Type": "String",
        "Default": semconv.ENV_METRIC_NAMESPACE.default,
        "Description": f"{semconv.ENV_METRIC_NAMESPACE.name} of the sidecars.",
    },
    "PagerDutyEndpoint": {
        "Type": "String",
        "Default": "",
        "NoEcho": True,
        "Description": "P1: the https address of an integration 'Amazon CloudWatch' of a PagerDuty service.",
    },
    "SlackWorkspaceId": {
        "Type": "String",
        "Default": "",
        "Description": "P2: the workspace, as Amazon Q Developer in chat applications shows it.",
    },
    "SlackChannelId": {"Type": "String", "Default": "", "Description": "P2: the channel, C0…."},
    "MailTo": {
        "Type": "String",
        "Default": "",
        "Description": "P3: an address; AWS asks it to confirm first.",
    },
    "CostMonitorArn": {
        "Type": "String",
        "Default": "",
        "Description": "P3: the account's monitor of AWS Cost Anomaly Detection for services, if it has one.",
    },
    "CostImpactDollars": {
        "Type": "Number",
        "Default": 100,
        "MinValue": 0,
        "Description": "P3: a cost anomaly is told from this much on.",
    },
}


# --- who is told --------------------------------------------------------------------------------

_TOLD: Final = (Level.P1, Level.P2, Level.P3)
_SLACK_ROLE: Final = "SlackRole"


def _told() -> dict[str, Any]:
    """Return a topic for each level that somebody is told of, and what takes its messages."""
    made: dict[str, Any] = {f"Topic{level.value}": {"Type": "AWS::SNS::Topic"} for level in _TOLD}
    made |= {f"Topic{level.value}Policy": _topic_policy(f"Topic{level.value}") for level in _TOLD}
    made["Pager"] = _subscription("Pages", "TopicP1", "https", "PagerDutyEndpoint")
    made["Mailbox"] = _subscription("Mail", "TopicP3", "email", "MailTo")
    made[_SLACK_ROLE] = {
        "Type": "AWS::IAM::Role",
        "Condition": "Slack",
        "Properties": {
            # It shows messages; it may look at nothing.
            "AssumeRolePolicyDocument": _policy(
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "chatbot.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            )
        },
    }
    made["SlackChannel"] = {
        "Type": "AWS::Chatbot::SlackChannelConfiguration",
        "Condition": "Slack",
        "Properties": {
            "ConfigurationName": {"Fn::Sub": "${AWS::StackName}-P2"},
            "SlackWorkspaceId": {"Ref": "SlackWorkspaceId"},
            "SlackChannelId": {"Ref": "SlackChannelId"},
            "IamRoleArn": {"Fn::GetAtt": [_SLACK_ROLE, "Arn"]},
            "SnsTopicArns": [{"Ref": "TopicP2"}],
        },
    }
    return made


def _subscription(condition: str, topic: str, protocol: str, endpoint: str) -> dict[str, Any]:
    return {
        "Type": "AWS::SNS::Subscription",
        "Condition": condition,
        "Properties": {
            "TopicArn": {"Ref": topic},
            "Protocol": protocol,
            "Endpoint": {"Ref": endpoint},
        },
    }


def _topic_policy(topic: str) -> dict[str, Any]:
    # https://docs.aws.amazon.com/cost-management/latest/userguide/ad-SNS.html for the second one
    services = ["cloudwatch.amazonaws.com", *(["costalerts.amazonaws.com"] if topic == "TopicP3" else [])]
    return {
        "Type": "AWS::SNS::TopicPolicy",
        "Properties": {
            "Topics": [{"Ref": topic}],
            "PolicyDocument": _policy(
                {
                    "Effect": "Allow",
                    "Principal": {"Service": services},
                    "Action": "sns:Publish",
                    "Resource": {"Ref": topic},
                    "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
                }
            ),
        },
    }


def _policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


# --- alarms -------------------------------------------------------------------------------------


def _alarm(query: Query, places: Places) -> dict[str, Any]:
    alert = query.alert
    return _alarm_of(
        alert,
        alert.name,
        _described(alert, _MEANING[alert.name], places),
        ComparisonOperator=query.is_bad,
        Threshold=query.than,
        EvaluationPeriods=_HOUR,
        DatapointsToAlarm=1,
        Metrics=[
            {
                "Id": "q1",
                "Expression": {"Fn::Sub": query.text()},
                "Period": _MINUTE,
                "ReturnData": True,
            }
        ],
    )


def _alarm_of(alert: Alert, name: str, description: str, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": {"Fn::Sub": f"${{AWS::StackName}}-{alert.level.value}-{name}"},
            "AlarmDescription": description,
            **properties,
            "TreatMissingData": "notBreaching",
            **({"AlarmActions": [{"Ref": f"Topic{alert.level.value}"}]} if alert.level in _TOLD else {}),
        },
    }


def _described(alert: Alert, meaning: str, places: Places) -> str:
    """Return what a message says: CloudWatch has no runs in its metrics, so the links look for them."""
    query = (
        "fields @timestamp, flow_name, flow_run_name, flow_run_id, xray_trace_id, message "
        '| filter level in ["WARN", "ERROR", "FATAL"] | sort @timestamp desc'
    )
    said = [
        f"{alert.level.value}: {meaning}",
        f"Runbook: {places.runbook(alert.name)}",
    ]
    if alert.level in (Level.P1, Level.P2):
        said += [
            f"Traces: {links.xray_search(places.region, 'error = true OR fault = true', 3 * 3600)}",
            f"Logs: {links.logs_insights(places.region, [places.log_group], query, start=-3 * 3600, end=0)}",
        ]
    return "\n".join(said)


# --- anomalies ----------------------------------------------------------------------------------


def _band(series: Series, places: Places) -> dict[str, Any]:
    """Return an alarm on a day that is outside of what CloudWatch has learnt of a metric."""
    alert, named = series.alert, ", ".join(value for _, value in series.dimensions)
    return _alarm_of(
        alert,
        f"{alert.name}-{series.key()}",
        _described(alert, f"{series.metric.name} of {named} in a day is not what is usual.", places),
        ComparisonOperator="LessThanLowerOrGreaterThanUpperThreshold",
        ThresholdMetricId="band",
        EvaluationPeriods=1,
        Metrics=[
            {"Id": "band", "Expression": f"ANOMALY_DETECTION_BAND(value, {_BAND_WIDTH})", "ReturnData": True},
            {
                "Id": "value",
                "ReturnData": True,
                "MetricStat": {
                    "Metric": {
                        "Namespace": {"Ref": "Namespace"},
                        "MetricName": series.metric.name,
                        "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
                    },
                    "Period": _DAY_SECONDS,
                    "Stat": series.statistic,
                },
            },
        ],
    )


def _cost() -> dict[str, Any]:
    """Return AWS's own detection of cost anomalies, told by the topic of P3."""
    least = {
        "Dimensions": {
            "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
            "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
            "Values": ["${CostImpactDollars}"],
        }
    }
    monitor = {"Fn::If": ["NewCostMonitor", {"Ref": "CostMonitor"}, {"Ref": "CostMonitorArn"}]}
    return {
        "CostMonitor": {
            "Type": "AWS::CE::AnomalyMonitor",
            "Condition": "NewCostMonitor",
            "Properties": {
                "MonitorName": {"Fn::Sub": "${AWS::StackName}-services"},
                "MonitorType": "DIMENSIONAL",
                "MonitorDimension": "SERVICE",
            },
        },
        anomalies.COST_UNUSUAL.name: {
            "Type": "AWS::CE::AnomalySubscription",
            "DependsOn": "TopicP3Policy",
            "Properties": {
                "SubscriptionName": {"Fn::Sub": f"${{AWS::StackName}}-P3-{anomalies.COST_UNUSUAL.name}"},
                "Frequency": "IMMEDIATE",
                "MonitorArnList": [monitor],
                "Subscribers": [{"Type": "SNS", "Address": {"Ref": "TopicP3"}}],
                "ThresholdExpression": {"Fn::Sub": json.dumps(least)},
            },
        },
    }
