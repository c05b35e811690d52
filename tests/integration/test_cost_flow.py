"""The cost flow on a real Prefect server, with moto as AWS: what moto does not know is a problem."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.request import Request

import pytest

from demo import aws, prefect_server
from demo.processes import Processes, direct
from otel_prefect.commands import deploy_cost_flow
from tests.integration.test_work_pool_command import run as run_command
from tests.support import otlp_sink, prefect_flows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.prefect_server import PrefectServer
    from tests.support.otlp_sink import OtlpSink

POOL = "cost-runs"
CE = {
    "ResultsByTime": [
        {
            "TimePeriod": {"Start": "2026-03-01", "End": "2026-03-02"},
            "Groups": [
                {
                    "Keys": ["source$shop", "Amazon S3"],
                    "Metrics": {"UnblendedCost": {"Amount": "1.25", "Unit": "USD"}},
                }
            ],
        }
    ]
}


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrefectServer, aws.Aws]]:
    folder = tmp_path_factory.mktemp("cost")
    with Processes(folder / "logs") as processes:
        moto = aws.start(processes)
        server = prefect_server.start(processes, folder / "home")
        server.call("POST", "work_pools/", {"name": POOL, "type": "process"})
        bucket = [
            {"Name": "BucketName", "Value": "acme"},
            {"Name": "StorageType", "Value": "StandardStorage"},
        ]
        moto.client("cloudwatch").put_metric_data(
            Namespace="AWS/S3",
            MetricData=[
                {
                    "MetricName": "BucketSizeBytes",
                    "Dimensions": bucket,
                    "Value": 1000,
                    "Timestamp": datetime.now(timezone.utc) - timedelta(days=1),
                }
            ],
        )
        yield server, moto


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    yield from otlp_sink.serve()


def prepare_costs(moto: aws.Aws, answers: int) -> None:
    """Have moto's Cost Explorer answer so many times as a real one."""
    body = json.dumps({"results": [CE] * answers}).encode()
    request = Request(  # noqa: S310 - it is loopback
        f"{moto.url}/moto-api/static/ce/cost-and-usage-results", body, {"content-type": "application/json"}
    )
    with direct.open(request, timeout=10) as answer:
        assert answer.status == 201


def points(sink: OtlpSink) -> dict[tuple[str, ...], float]:
    """Return the last value of each metric of the cost flow, by name and attributes."""
    found = {}
    for request in sink.metric_requests:
        for of_resource in request.resource_metrics:
            for of_scope in of_resource.scope_metrics:
                for metric in of_scope.metrics:
                    if of_scope.scope.name != "otel_prefect.cost.flow":
                        continue
                    for point in (metric.sum if metric.HasField("sum") else metric.gauge).data_points:
                        words = [each.value.string_value for each in point.attributes]
                        found[(metric.name, *words)] = float(point.as_double or point.as_int)
    return found


def run_flow(server: PrefectServer, moto: aws.Aws, sink: OtlpSink, **env: str) -> Any:
    code = "from otel_prefect.cost.flow import cost_flow; print(cost_flow())"
    return prefect_flows.run(server, sink, "-c", code, **{**moto.variables(), **env})


def test_a_run_tells_what_aws_says_and_names_what_it_does_not(
    stand_ins: tuple[PrefectServer, aws.Aws], sink: OtlpSink
) -> None:
    server, moto = stand_ins
    prepare_costs(moto, 1)
    done = run_flow(server, moto, sink)
    assert done.returncode == 0, done.stderr
    found = points(sink)
    assert found["pipeline.cost", "shop", "Amazon S3"] == 1.25
    assert found["pipeline.storage.size", "acme", "StandardStorage"] == 1000
    names = {span.record.name for span in sink.spans()}
    assert {"flow otel-prefect-cost"} <= names
    told = server.call("GET", "variables/name/otel_prefect_cost_through")["value"]
    midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    assert datetime.fromisoformat(told) == midnight


def test_what_cannot_be_read_is_counted_and_said_and_no_number(
    stand_ins: tuple[PrefectServer, aws.Aws], sink: OtlpSink
) -> None:
    server, moto = stand_ins
    nobody = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    done = run_flow(
        server, moto, sink, **nobody, AWS_CONFIG_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true"
    )
    assert done.returncode == 0, done.stderr
    found = points(sink)
    assert {name[0] for name in found} == {"pipeline.cost.problems"}
    assert {name[1:] for name in found} == {
        (service, "NoCredentialsError") for service in ("ce", "cloudwatch", "athena")
    }
    assert "ce:GetCostAndUsage: NoCredentialsError" in done.stderr


def test_where_nothing_takes_metrics_the_run_fails_and_says_why(
    stand_ins: tuple[PrefectServer, aws.Aws], sink: OtlpSink
) -> None:
    server, moto = stand_ins
    done = run_flow(server, moto, sink, PREFECT_PLUGINS_ENABLED="0")
    assert done.returncode == 1
    assert "set PREFECT_PLUGINS_ENABLED=1, and run beside a sidecar" in done.stderr


def test_the_command_makes_one_deployment_with_one_schedule_however_often_it_is_called(
    stand_ins: tuple[PrefectServer, aws.Aws],
) -> None:
    server, _ = stand_ins
    for cron in ("0 9 * * *", "0 10 * * *"):
        done = run_command(
            server.variables(),
            *("otel-prefect", "deploy-cost-flow", "--work-pool", POOL, "--cron", cron, "--bucket", "acme"),
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"deployment otel-prefect-cost/daily in work pool {POOL}, {cron} UTC\n"
    made = server.call("GET", f"deployments/name/{deploy_cost_flow.FLOW}/daily")
    assert [each["schedule"]["cron"] for each in made["schedules"]] == ["0 10 * * *"]
    assert made["entrypoint"] == deploy_cost_flow.ENTRYPOINT
    assert made["parameters"]["buckets"] == ["acme"]


def test_a_worker_runs_the_deployment_from_the_package(
    stand_ins: tuple[PrefectServer, aws.Aws], sink: OtlpSink
) -> None:
    server, moto = stand_ins
    prepare_costs(moto, 1)
    made = server.call("GET", f"deployments/name/{deploy_cost_flow.FLOW}/daily")
    run_id = server.create_flow_run(made["id"])
    done = prefect_flows.run(server, sink, "-m", "prefect", "flow-run", "execute", run_id, **moto.variables())
    assert server.flow_run(run_id)["state_type"] == "COMPLETED", done.stdout + done.stderr
    assert points(sink)["pipeline.cost", "shop", "Amazon S3"] == 1.25


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--work-pool", "none"), "--work-pool=none: Prefect has no such work pool"),
        (("--work-pool", POOL, "--cron", "daily"), "--cron='daily': five fields of cron are needed"),
    ],
)
def test_what_cannot_be_deployed_is_said(
    stand_ins: tuple[PrefectServer, aws.Aws], options: tuple[str, ...], said: str
) -> None:
    done = run_command(stand_ins[0].variables(), "otel-prefect", "deploy-cost-flow", *options)
    assert done.returncode == 1
    assert done.stderr.startswith(f"otel-prefect: {said}")
