"""The alarms of CloudWatch: the template, deployed to moto, and what its alarms ask and say.

moto's CloudFormation makes no alarms and no subscriptions: they are put by the APIs, whose properties
have the same names. It evaluates no query and learns no band. It knows none of ``UNKNOWN_TO_MOTO``: cfn-
lint has checked their properties, and no more is known of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cfnlint import api as cfnlint

from dashboards.metrics import RUN_LABELS
from demo import aws
from demo.processes import Processes
from otel_prefect import semconv
from otel_prefect.alerts import anomalies, bands, cloudwatch, prometheus
from otel_prefect.alerts.declared import Level
from otel_prefect.alerts.places import Places
from otel_prefect.commands import cli
from tests.support.cloudformation import Decided, load

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).resolve().parents[2] / "alerts" / "cloudwatch.yaml"
ALARM = "AWS::CloudWatch::Alarm"
SUBSCRIPTION = "AWS::SNS::Subscription"
UNKNOWN_TO_MOTO = {
    "AWS::CE::AnomalyMonitor",
    "AWS::CE::AnomalySubscription",
    "AWS::Chatbot::SlackChannelConfiguration",
}
GIVEN = {
    "Namespace": "Team",
    "PagerDutyEndpoint": "https://events.example.com/integration/key/enqueue",
    "SlackWorkspaceId": "T0123",
    "SlackChannelId": "C0123",
    "MailTo": "data@example.com",
}
NOT_IN_CLOUDWATCH = {
    "QualityScoreLow": "a quotient of two queries",
    "TableStale": "what is usual is longer than the three hours that a query sees",
    "TaskMemoryHigh": "a quotient; Container Insights has its own",
    "TaskDiskHigh": "as above",
}


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:
    with Processes(tmp_path_factory.mktemp("moto")) as processes:
        yield aws.start(processes)


def deployed(moto: aws.Aws, path: Path, name: str, given: dict[str, str]) -> list[dict[str, Any]]:
    """Deploy what moto knows of a template; return its alarms."""
    template = Decided(load(path), given)
    decided = template.result()
    resources = decided["Resources"].values()
    alarms = [each["Properties"] for each in resources if each["Type"] == ALARM]
    subscriptions = [each["Properties"] for each in resources if each["Type"] == SUBSCRIPTION]
    decided["Resources"] = {
        key: each
        for key, each in decided["Resources"].items()
        if each["Type"] not in {ALARM, SUBSCRIPTION, *UNKNOWN_TO_MOTO}
    }
    formation = moto.client("cloudformation")
    formation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(decided),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    topics = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    names = {**given, **topics, "AWS::StackName": name}
    for each in subscriptions:
        moto.client("sns").subscribe(**template.text(each, names))
    cloudwatch_api = moto.client("cloudwatch")
    for each in alarms:
        cloudwatch_api.put_metric_alarm(**template.text(each, names))
    found = cloudwatch_api.describe_alarms(AlarmNamePrefix=f"{name}-")["MetricAlarms"]
    assert len(found) == len(alarms)
    return list(found)


def test_cfn_lint_has_nothing_to_say() -> None:
    assert [str(match) for match in cfnlint.lint_file(FILE)] == []


def test_every_alert_has_an_alarm_or_a_reason_why_not() -> None:
    made = {query.alert.name for query in cloudwatch.QUERIES} | {anomalies.COST_UNUSUAL.name}
    by_band = {anomalies.ROWS_UNUSUAL.name, anomalies.DURATION_UNUSUAL.name}
    assert made | by_band | set(NOT_IN_CLOUDWATCH) == {alert.name for alert in prometheus.alerts()}


@pytest.mark.parametrize("query", cloudwatch.QUERIES, ids=lambda query: query.alert.name)
def test_a_query_asks_for_dimensions_that_its_metric_has(query: cloudwatch.Query) -> None:
    has = {*query.metric.attributes, *RUN_LABELS}
    assert {query.by, *(name for name, _ in query.but)} <= has
    assert query.metric in semconv.metrics()


def test_each_level_tells_its_topic_and_p4_nobody(moto: aws.Aws) -> None:
    alarms = deployed(moto, FILE, "alarms", GIVEN)
    topics = {
        each["TopicArn"]: [
            (one["Protocol"], one["Endpoint"])
            for one in moto.client("sns").list_subscriptions_by_topic(TopicArn=each["TopicArn"])[
                "Subscriptions"
            ]
        ]
        for each in moto.client("sns").list_topics()["Topics"]
    }
    told = {alarm["AlarmName"]: [topics[action] for action in alarm["AlarmActions"]] for alarm in alarms}
    assert told["alarms-P1-FlowRunFailed"] == [[("https", GIVEN["PagerDutyEndpoint"])]]
    assert told["alarms-P3-CostDataMissing"] == [[("email", GIVEN["MailTo"])]]
    assert told["alarms-P4-TelemetryLost"] == []
    by_level = {alert.name: alert.level for alert in prometheus.alerts()}
    for alarm in alarms:
        _, level, name = alarm["AlarmName"].split("-")
        assert level == by_level[name].value
        assert bool(alarm["AlarmActions"]) == (by_level[name] is not Level.P4)
        assert alarm["TreatMissingData"] == "notBreaching"


def test_an_alarm_asks_the_teams_namespace_and_sees_an_hour(moto: aws.Aws) -> None:
    alarms = {each["AlarmName"]: each for each in deployed(moto, FILE, "asked", GIVEN)}
    assert len(alarms) == len(cloudwatch.QUERIES)
    alarm = alarms["asked-P1-FlowRunFailed"]
    (query,) = alarm["Metrics"]
    assert query["Expression"] == (
        'SELECT COUNT("prefect.flow_run.failed") FROM "Team" GROUP BY "flow_name" ORDER BY COUNT() DESC'
    )
    assert (query["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (60, 60, 1)
    (query,) = alarms["asked-P2-DataTestsFailed"]["Metrics"]
    assert query["Expression"] == (
        "SELECT SUM(\"dbt.tests\") FROM \"Team\" WHERE status != 'pass' AND status != 'warn' "
        "AND status != 'skipped' GROUP BY \"flow_name\" ORDER BY SUM() DESC"
    )
    incomplete = alarms["asked-P2-TableIncomplete"]
    assert (incomplete["ComparisonOperator"], incomplete["Threshold"]) == ("LessThanThreshold", 0.95)


def test_a_description_says_what_happened_and_where_to_look() -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html: 1,024 at most
    for alarm in load(FILE)["Resources"].values():
        if alarm["Type"] == ALARM:
            said = alarm["Properties"]["AlarmDescription"]
            assert len(said) <= 1024
            assert "\nRunbook: docs/runbooks/" in said
            if said.startswith(("P1", "P2")):
                assert "\nTraces: https://" in said
                assert "\nLogs: https://" in said


def test_without_receivers_there_are_topics_and_nobody_behind_them() -> None:
    made = Decided(load(FILE), {}).result()["Resources"].values()
    types = [each["Type"] for each in made]
    assert types.count("AWS::SNS::Topic") == 3
    assert not {"AWS::SNS::Subscription", "AWS::IAM::Role"} & set(types)
    assert types.count("AWS::CE::AnomalyMonitor") == 1


def test_an_account_that_has_a_cost_monitor_keeps_it() -> None:
    arn = "arn:aws:ce::123456789012:anomalymonitor/0a1b"
    made = Decided(load(FILE), {"CostMonitorArn": arn}).result()["Resources"]
    assert "CostMonitor" not in made
    assert made["CostUnusual"]["Properties"]["MonitorArnList"] == [{"Ref": "CostMonitorArn"}]


@pytest.fixture
def asks_moto(moto: aws.Aws, monkeypatch: pytest.MonkeyPatch) -> aws.Aws:
    for name, value in moto.variables().items():
        monkeypatch.setenv(name, value)
    return moto


def put(moto: aws.Aws, name: str, **dimensions: str) -> None:
    datum = {
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        "Value": 1.0,
    }
    moto.client("cloudwatch").put_metric_data(Namespace="Bands", MetricData=[datum])


def test_each_table_and_flow_that_cloudwatch_knows_gets_an_alarm_on_its_band(
    asks_moto: aws.Aws, tmp_path: Path
) -> None:
    put(asks_moto, "pipeline.table.rows", table="orders", source="shop", flow_name="daily-sales")
    put(asks_moto, "pipeline.table.rows", table="clicks", source="web", flow_name="daily-sales")
    put(asks_moto, "prefect.flow_run.duration", state="completed", flow_name="daily-sales")
    put(asks_moto, "prefect.flow_run.duration", state="failed", flow_name="daily-sales")
    put(asks_moto, "another.metric", table="orders")
    asked = ["alerts", str(tmp_path), "--cloudwatch-bands", "--namespace", "Bands", "--region", aws.REGION]
    assert cli.main(asked) == 0
    path = tmp_path / "cloudwatch.yaml"
    assert [str(match) for match in cfnlint.lint_file(path)] == []
    alarms = deployed(asks_moto, path, "bands", {"Namespace": "Bands"})
    found = {
        tuple(sorted((one["Name"], one["Value"]) for one in stat["Metric"]["Dimensions"])): (
            alarm["AlarmName"].split("-")[1:3],
            stat["Metric"]["Namespace"],
            stat["Period"],
            stat["Stat"],
            alarm["ThresholdMetricId"],
        )
        for alarm in alarms
        for each in alarm["Metrics"]
        if (stat := each.get("MetricStat"))
    }
    assert found == {
        (("flow_name", "daily-sales"), ("source", "shop"), ("table", "orders")): (
            ["P2", "RowsUnusual"],
            "Bands",
            86_400,
            "Sum",
            "band",
        ),
        (("flow_name", "daily-sales"), ("source", "web"), ("table", "clicks")): (
            ["P2", "RowsUnusual"],
            "Bands",
            86_400,
            "Sum",
            "band",
        ),
        (("flow_name", "daily-sales"), ("state", "completed")): (
            ["P4", "DurationUnusual"],
            "Bands",
            86_400,
            "Average",
            "band",
        ),
    }


@pytest.mark.usefixtures("asks_moto")
def test_a_namespace_without_metrics_is_said_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made"
    asked = ["alerts", str(folder), "--cloudwatch-bands", "--namespace", "Nobody", "--region", aws.REGION]
    assert cli.main(asked) == 1
    assert "namespace Nobody of CloudWatch" in capsys.readouterr().err
    assert not folder.exists()


def test_cloudwatch_that_cannot_be_asked_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    assert cli.main(["alerts", str(tmp_path), "--cloudwatch-bands"]) == 1
    assert "cloudwatch:ListMetrics in us-east-1" in capsys.readouterr().err


def test_a_series_keeps_its_name_whatever_the_order_of_its_dimensions() -> None:
    class Client:
        def __init__(self, *dimensions: tuple[str, str]) -> None:
            self._page = {"Metrics": [{"Dimensions": [{"Name": n, "Value": v} for n, v in dimensions]}]}

        def get_paginator(self, _: str) -> Client:
            return self

        def paginate(self, **_: Any) -> list[dict[str, Any]]:
            return [self._page]

    one = next(bands.listed(Client(("a", "1"), ("b", "2")), "x"))
    other = next(bands.listed(Client(("b", "2"), ("a", "1")), "x"))
    assert one.logical_id() == other.logical_id()
    assert one.logical_id() != next(bands.listed(Client(("a", "1")), "x")).logical_id()


def test_the_places_of_a_team_are_in_the_descriptions() -> None:
    text = cloudwatch.template(Places(region="eu-west-1", runbooks="https://example.com/runbooks"))
    assert "Runbook: https://example.com/runbooks/FlowRunFailed.md" in text
    assert "https://eu-west-1.console.aws.amazon.com/cloudwatch/home" in text
