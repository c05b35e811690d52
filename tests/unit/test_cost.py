"""What the cost flow makes of AWS's answers; their shapes are checked by botocore's own Stubber."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from otel_prefect import semconv
from otel_prefect.commands import cli, deploy_cost_flow
from otel_prefect.cost import athena, cost_explorer, storage, utilization
from otel_prefect.cost.readings import OTHER, Readings, largest

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = date(2026, 3, 1)
START = datetime(2026, 3, 1, tzinfo=timezone.utc)
END = START + timedelta(days=1)
NOON = START + timedelta(hours=12)


@contextmanager
def answering(service: str, *answers: tuple[str, Any]) -> Iterator[Any]:
    """Give a client that gets these answers in their order; all of them have to be asked for."""
    client = boto3.client(
        service,
        region_name="eu-west-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with Stubber(client) as stubber:
        for operation, answer in answers:
            if isinstance(answer, str):
                stubber.add_client_error(operation, answer, "not authorized")
            else:
                stubber.add_response(operation, answer)
        yield client
        stubber.assert_no_pending_responses()


def numbers(found: Readings) -> dict[tuple[str, ...], float]:
    return {(each.metric.name, *each.attributes.values()): each.value for each in found.numbers}


def reasons(found: Readings) -> list[tuple[str, str]]:
    return [(each.service, each.reason) for each in found.problems]


def test_of_the_smaller_amounts_one_is_made_and_a_large_refund_is_large() -> None:
    amounts: dict[tuple[str, ...], float] = {("a",): 5.0, ("b",): -9.0, ("c",): 1.0, ("d",): 2.0}
    assert largest(amounts, 2) == {("a",): 5.0, ("b",): -9.0, (OTHER,): 3.0}
    assert largest(amounts, 4) == amounts


# --- Cost Explorer ------------------------------------------------------------------------------------


def cost_page(*groups: tuple[str, str, str], unit: str = "USD", following: str | None = None) -> Any:
    made: dict[str, Any] = {
        "ResultsByTime": [
            {
                "TimePeriod": {"Start": "2026-03-01", "End": "2026-03-02"},
                "Estimated": False,
                "Groups": [
                    {
                        "Keys": [f"source${tag}", service],
                        "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": unit}},
                    }
                    for tag, service, amount in groups
                ],
            }
        ]
    }
    return made | ({"NextPageToken": following} if following else {})


def test_cost_is_read_over_all_pages_by_source_and_service_with_refunds() -> None:
    first = cost_page(("shop", "Amazon S3", "1.5"), ("", "AWS Glue", "2"), following="more")
    second = cost_page(("shop", "AWS Glue", "-0.25"))
    with answering("ce", ("get_cost_and_usage", first), ("get_cost_and_usage", second)) as client:
        found = cost_explorer.read(client, DAY, "source")
    assert numbers(found) == {
        ("pipeline.cost", "shop", "Amazon S3"): 1.5,
        ("pipeline.cost", "untagged", "AWS Glue"): 2.0,
        ("pipeline.cost", "shop", "AWS Glue"): -0.25,
    }
    assert found.problems == []


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([cost_page(("shop", "Amazon S3", "1"), unit="EUR")], "currency"),
        ([cost_page(("shop", "Amazon S3", "NaN"))], "no amount"),
        (["AccessDeniedException"], "AccessDeniedException"),
        (
            [cost_page(("shop", "Amazon S3", "1"), following="x"), "ThrottlingException"],
            "ThrottlingException",
        ),
    ],
)
def test_a_cost_that_is_not_known_whole_is_no_number(answers: list[Any], reason: str) -> None:
    with answering("ce", *(("get_cost_and_usage", each) for each in answers)) as client:
        found = cost_explorer.read(client, DAY, "source")
    assert found.numbers == []
    assert reasons(found) == [("ce", reason)]


def test_a_refused_call_names_the_action_to_allow() -> None:
    with answering("ce", ("get_cost_and_usage", "AccessDeniedException")) as client:
        (problem,) = cost_explorer.read(client, DAY, "source").problems
    assert problem.said.startswith("ce:GetCostAndUsage: allow ce:GetCostAndUsage to the flow's role")


def test_a_day_without_any_cost_has_no_numbers() -> None:
    with answering("ce", ("get_cost_and_usage", cost_page())) as client:
        assert cost_explorer.read(client, DAY, "source") == Readings()


# --- CloudWatch ---------------------------------------------------------------------------------------


def listed(*dimensions: dict[str, str], following: str | None = None) -> Any:
    metrics = [
        {"MetricName": "m", "Dimensions": [{"Name": key, "Value": text} for key, text in each.items()]}
        for each in dimensions
    ]
    return {"Metrics": metrics} | ({"NextToken": following} if following else {})


def data(*values: list[float]) -> Any:
    return {
        "MetricDataResults": [
            {"Id": f"m{number}", "Values": each, "Timestamps": [NOON] * len(each)}
            for number, each in enumerate(values)
        ]
    }


def test_a_bucket_has_its_newest_size_in_each_class_and_one_without_a_value_none() -> None:
    buckets = [
        {"BucketName": "a", "StorageType": "StandardStorage"},
        {"BucketName": "a", "StorageType": "GlacierStorage"},
        {"BucketName": "gone", "StorageType": "StandardStorage"},
    ]
    answers = [
        ("list_metrics", listed(*buckets[:1], following="more")),
        ("list_metrics", listed(*buckets[1:])),
        ("get_metric_data", data([30.0, 20.0], [7.0], [])),
    ]
    with answering("cloudwatch", *answers) as client:
        found = storage.read(client, END)
    assert numbers(found) == {
        ("pipeline.storage.size", "a", "StandardStorage"): 30.0,
        ("pipeline.storage.size", "a", "GlacierStorage"): 7.0,
    }


def test_only_the_buckets_that_are_asked_for_are_told() -> None:
    names = [{"BucketName": name, "StorageType": "StandardStorage"} for name in ("a", "b")]
    answers = [("list_metrics", listed(*names)), ("get_metric_data", data([1.0], [2.0]))]
    with answering("cloudwatch", *answers) as client:
        found = storage.read(client, END, ("b",))
    assert numbers(found) == {("pipeline.storage.size", "b", "StandardStorage"): 2.0}


def test_metrics_are_read_five_hundred_at_a_time() -> None:
    names = [{"BucketName": f"b{number}", "StorageType": "StandardStorage"} for number in range(501)]
    answers = [
        ("list_metrics", listed(*names)),
        ("get_metric_data", data(*([[1.0]] * 500))),
        ("get_metric_data", data([1.0])),
    ]
    with answering("cloudwatch", *answers) as client:
        found = storage.read(client, END)
    assert sum(each.value for each in found.numbers) == 501


def test_utilisation_is_an_average_of_what_can_be() -> None:
    answers = [
        (
            "list_metrics",
            listed({"JobName": "t", "JobRunId": "ALL", "Type": "gauge"}, {"JobName": "t", "JobRunId": "jr"}),
        ),
        ("get_metric_data", data([0.5, 0.7], [0.9])),
        (
            "list_metrics",
            listed(
                {"DBInstanceIdentifier": "db"}, {"EngineName": "postgres"}, {"DBInstanceIdentifier": "odd"}
            ),
        ),
        ("get_metric_data", data([20.0, 40.0], [50.0], [900.0])),
    ]
    with answering("cloudwatch", *answers) as client:
        found = utilization.read(client, START, END)
    assert numbers(found) == {
        ("aws.glue.utilization", "t"): pytest.approx(0.6),
        ("aws.rds.utilization", "db"): pytest.approx(0.3),
    }


def test_what_one_service_refuses_does_not_keep_the_other_back() -> None:
    answers = [
        ("list_metrics", "AccessDenied"),
        ("list_metrics", listed({"DBInstanceIdentifier": "db"})),
        ("get_metric_data", data([20.0])),
    ]
    with answering("cloudwatch", *answers) as client:
        found = utilization.read(client, START, END)
    assert numbers(found) == {("aws.rds.utilization", "db"): 0.2}
    assert reasons(found) == [("cloudwatch", "AccessDenied")]


# --- Athena -------------------------------------------------------------------------------------------


def execution(id_: str, scanned: int, ended: datetime = NOON, state: str = "SUCCEEDED", **more: Any) -> Any:
    return {
        "QueryExecutionId": id_,
        "StatementType": "DML",
        "Status": {
            "State": state,
            "SubmissionDateTime": ended - timedelta(minutes=1),
            "CompletionDateTime": ended,
        },
        "Statistics": {"DataScannedInBytes": scanned},
        **more,
    }


def event(query: str | None, identity: dict[str, Any]) -> Any:
    record = {"userIdentity": identity, "responseElements": {"queryExecutionId": query} if query else None}
    return {"EventId": str(query), "CloudTrailEvent": json.dumps(record)}


ROLE = {
    "type": "AssumedRole",
    "principalId": "AROA:session-7f3",
    "sessionContext": {"sessionIssuer": {"type": "Role", "userName": "analysts"}},
}


def read_athena(executions: list[Any], events: Any) -> Readings:
    answers = [
        ("list_work_groups", {"WorkGroups": [{"Name": "primary"}]}),
        ("list_query_executions", {"QueryExecutionIds": [each["QueryExecutionId"] for each in executions]}),
    ]
    if executions:
        answers.append(("batch_get_query_execution", {"QueryExecutions": executions}))
    looked_up = [] if events is None else [("lookup_events", events)]
    with answering("athena", *answers) as client, answering("cloudtrail", *looked_up) as trail:
        return athena.read(client, trail, START, END, 5.0)


def test_bytes_and_cost_of_queries_are_told_by_the_role_or_user_who_asked() -> None:
    executions = [execution("1", 2**40), execution("2", 2**39), execution("3", 100)]
    events = {
        "Events": [event("1", ROLE), event("2", ROLE), event("3", {"type": "IAMUser", "userName": "eve"})]
    }
    found = read_athena(executions, events)
    assert numbers(found) == {
        ("aws.athena.scanned", "analysts", "primary"): 2**40 + 2**39,
        ("aws.athena.scanned", "eve", "primary"): 100,
        ("aws.athena.cost", "analysts", "primary"): 7.5,
        ("aws.athena.cost", "eve", "primary"): pytest.approx(10 * 2**20 / 2**40 * 5),
    }


@pytest.mark.parametrize(
    "left_out",
    [
        execution("1", 2**30, state="FAILED"),
        execution("1", 2**30, StatementType="DDL"),
        execution("1", 2**30, ended=END),
        execution("1", 2**30, ended=START - timedelta(seconds=1)),
        execution("1", 0, Statistics={"ResultReuseInformation": {"ReusedPreviousResult": True}}),
    ],
)
def test_what_is_not_charged_in_this_range_is_left_out(left_out: Any) -> None:
    assert read_athena([left_out], None) == Readings()


def test_a_cancelled_query_is_charged() -> None:
    found = read_athena([execution("1", 2**40, state="CANCELLED")], {"Events": []})
    assert numbers(found)["aws.athena.cost", "unknown", "primary"] == 5.0


def test_without_cloudtrails_word_the_bytes_are_told_of_nobody_known() -> None:
    answers = [
        ("list_work_groups", {"WorkGroups": [{"Name": "primary"}]}),
        ("list_query_executions", {"QueryExecutionIds": ["1"]}),
        ("batch_get_query_execution", {"QueryExecutions": [execution("1", 2**40)]}),
    ]
    with (
        answering("athena", *answers) as client,
        answering("cloudtrail", ("lookup_events", "AccessDeniedException")) as trail,
    ):
        found = athena.read(client, trail, START, END, 5.0)
    assert numbers(found)["aws.athena.scanned", "unknown", "primary"] == 2**40
    assert reasons(found) == [("cloudtrail", "AccessDeniedException")]


def test_events_that_are_no_json_or_of_refused_queries_are_passed_over() -> None:
    odd = [{"EventId": "x", "CloudTrailEvent": "{"}, event(None, ROLE), event("1", {"type": "Root"})]
    found = read_athena([execution("1", 5)], {"Events": odd})
    assert ("aws.athena.scanned", "root", "primary") in numbers(found)


def test_ten_thousand_queries_are_read_in_two_hundred_batches_and_few_users_have_names() -> None:
    answers: list[tuple[str, Any]] = [("list_work_groups", {"WorkGroups": [{"Name": "primary"}]})]
    events = []
    for page in range(200):
        ids = [str(page * 50 + number) for number in range(50)]
        answers.append(
            (
                "list_query_executions",
                {"QueryExecutionIds": ids} | ({"NextToken": f"{page}"} if page < 199 else {}),
            )
        )
        answers.append(
            ("batch_get_query_execution", {"QueryExecutions": [execution(each, 10) for each in ids]})
        )
        events += [event(each, {"type": "IAMUser", "userName": f"user-{int(each) % 80}"}) for each in ids]
    with (
        answering("athena", *answers) as client,
        answering("cloudtrail", ("lookup_events", {"Events": events})) as trail,
    ):
        found = athena.read(client, trail, START, END, 5.0)
    scanned = {
        each.attributes["user"]: each.value
        for each in found.numbers
        if each.metric is semconv.METRIC_ATHENA_SCANNED
    }
    assert len(scanned) == 51
    assert scanned[OTHER] == 30 * 125 * 10
    assert sum(scanned.values()) == 100_000


# --- The command --------------------------------------------------------------------------------------


def test_every_action_of_the_policy_is_one_that_aws_knows() -> None:
    for action in deploy_cost_flow.ACTIONS:
        service, _, operation = action.partition(":")
        client = boto3.client(service, region_name="eu-west-1")
        assert operation in client.meta.service_model.operation_names


def test_the_policy_is_printed_without_prefect(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deploy-cost-flow", "--policy"]) == 0
    (statement,) = json.loads(capsys.readouterr().out)["Statement"]
    assert statement["Action"] == list(deploy_cost_flow.ACTIONS)


def test_a_work_pool_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deploy-cost-flow"]) == 1
    assert "--work-pool=NAME is needed" in capsys.readouterr().err
