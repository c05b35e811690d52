"""A failing run pages, a good one ends it: with the real Collector, Prometheus and Alertmanager."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from demo import alertmanager, prometheus, receivers
from demo.processes import Processes
from otel_prefect import semconv
from otel_prefect.alerts.alertmanager import Receivers
from otel_prefect.alerts.places import Places
from otel_prefect.collector import start as collector
from otel_prefect.commands import alerts as command
from sidecar import finished_runs
from sidecar.attributes import set_value
from tests.integration.test_collector_prometheus import request_of
from tests.support.collector import running, variables, wait_for
from tests.unit.test_sidecar_finished_runs import flow_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.alertmanager import Alertmanager
    from demo.receivers import Incident, StandIns
    from tests.support.collector import RunningCollector

PLACES = Places(
    region="eu-west-1",
    grafana="https://grafana.example.com",
    prefect_ui="https://prefect.example.com",
    runbooks="https://example.com/runbooks",
)
CONSOLE = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("logs")) as owner:
        yield owner


@pytest.fixture(scope="module")
def told() -> Iterator[StandIns]:
    with receivers.serving() as stand_ins:
        yield stand_ins


@pytest.fixture(scope="module")
def manager(processes: Processes, told: StandIns, tmp_path_factory: pytest.TempPathFactory) -> Alertmanager:
    return alertmanager.start(processes, tmp_path_factory.mktemp("alertmanager"), told, alertmanager.HURRIED)


@pytest.fixture(scope="module")
def started(
    processes: Processes, manager: Alertmanager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningCollector]:
    folder = tmp_path_factory.mktemp("prometheus")
    written = command.write(folder / "alerts", PLACES, Receivers())
    server = prometheus.start(
        processes,
        folder,
        rules=[path for path in written if path.name.endswith(".rules.yaml")],
        alertmanager=manager.address,
        evaluation_seconds=1,
    )
    settings = {
        **variables(tmp_path_factory.mktemp("collector"), metrics="prometheus"),
        semconv.ENV_PROMETHEUS_ENDPOINT.name: server.write_url,
    }
    with running(processes, collector.find(), settings) as made:
        yield made


@pytest.fixture
def flow() -> str:
    return f"daily sales {secrets.token_hex(3)}"


def end_run(started: RunningCollector, flow: str, outcome: str) -> uuid.UUID:
    """Have a run of a flow end as the sidecar tells it; return its id."""
    run = uuid.uuid4()
    ended = flow_span(run=run)
    now = time.time_ns()
    ended.span.trace_id = run.bytes
    del ended.resource.attributes[:]
    ended.span.start_time_unix_nano, ended.span.end_time_unix_nano = now - 10**9, now
    for key, value in {semconv.PREFECT_RUN_NAME: "wise-otter", semconv.ERROR_TYPE: "ValueError"}.items():
        ended.span.attributes.add(key=key).value.string_value = value
    for key, value in {semconv.FLOW_NAME: flow, semconv.DEPLOYMENT_NAME: "prod"}.items():
        set_value(ended.resource.attributes.add(key=key).value, value)
    started.send(finished_runs.measured(ended, outcome, now))
    return run


def of_flow(told: StandIns, flow: str) -> list[Incident]:
    return [each for each in told.pagerduty.incidents.values() if flow in each.payload["summary"]]


def add(started: RunningCollector, declared: semconv.Metric, flow: str, **attributes: str) -> None:
    """Add 3 to a metric of a flow."""
    resource: dict[str, Any] = {semconv.FLOW_NAME: flow, semconv.DEPLOYMENT_NAME: "prod"}
    started.send(request_of(declared, resource, **attributes))


def test_a_failed_run_pages_once_and_the_next_good_one_ends_it(
    started: RunningCollector, told: StandIns, flow: str
) -> None:
    end_run(started, flow, "completed")
    run = end_run(started, flow, "failed")
    (incident,) = wait_for(lambda: of_flow(told, flow), bool)
    assert incident.open
    assert incident.payload["summary"] == f"{flow}: run wise-otter failed with ValueError"
    assert incident.payload["severity"] == "critical"
    assert str(run) in incident.payload["custom_details"]["firing"]
    trace = f"1-{run.hex[:8]}-{run.hex[8:]}"
    assert incident.links["trace"] == f"{CONSOLE}#xray:traces/{trace}"
    assert f"filter*20flow_run_id*20*3d*20*22{run}*22" in incident.links["logs"]
    assert incident.links["run"] == f"https://prefect.example.com/runs/flow-run/{run}"
    assert incident.links["runbook"] == "https://example.com/runbooks/FlowRunFailed.md"
    variable = flow.replace(" ", "+")
    assert incident.links["dashboard"] == (
        f"https://grafana.example.com/d/otel-prefect-flow?var-flow={variable}"
    )
    end_run(started, flow, "completed")
    wait_for(lambda: of_flow(told, flow)[0].open, lambda still: not still)
    assert len(of_flow(told, flow)) == 1


def test_several_failed_runs_of_a_flow_are_one_incident(
    started: RunningCollector, told: StandIns, flow: str
) -> None:
    end_run(started, flow, "failed")
    wait_for(lambda: of_flow(told, flow), bool)
    last = end_run(started, flow, "crashed")
    wait_for(
        lambda: of_flow(told, flow)[0].payload["custom_details"]["firing"],
        lambda words: str(last) in words,
    )
    (incident,) = of_flow(told, flow)
    assert incident.open


def test_a_run_that_completed_in_the_end_pages_nobody(
    started: RunningCollector, told: StandIns, manager: Alertmanager, flow: str
) -> None:
    """Attempts are not runs: the sidecar tells of a run once it is over."""
    end_run(started, flow, "completed")
    add(started, semconv.METRIC_DBT_TESTS, flow, status="fail")  # what comes after it was not overlooked
    wait_for(lambda: messages(told, flow), bool)
    assert of_flow(told, flow) == []
    assert [each["labels"]["severity"] for each in manager.alerts() if flow in str(each)] == ["P2", "P2"]


def messages(told: StandIns, flow: str) -> list[str]:
    return [str(each) for each in told.slack if flow in str(each)]


def test_degraded_data_is_told_in_slack_with_links(
    started: RunningCollector, told: StandIns, flow: str
) -> None:
    add(started, semconv.METRIC_SCHEMA_CHANGES, flow, table="orders", change="removed")
    (message,) = wait_for(lambda: messages(told, flow), bool)
    assert "orders: 3 columns removed" in message
    assert "|runbook>" in message
    assert f"annotation.flow_name*20*3d*20*22{flow.replace(' ', '*20')}*22" in message
    assert of_flow(told, flow) == []


def test_a_page_explains_what_else_is_wrong_with_the_flow(
    started: RunningCollector, told: StandIns, manager: Alertmanager, flow: str
) -> None:
    end_run(started, flow, "failed")
    wait_for(lambda: of_flow(told, flow), bool)
    add(started, semconv.METRIC_DBT_TESTS, flow, status="fail")

    def states() -> dict[str, str]:
        return {
            each["labels"]["alertname"]: each["status"]["state"]
            for each in manager.alerts()
            if each["labels"].get("flow_name") == flow
        }

    assert wait_for(states, lambda found: len(found) == 3) == {
        "FlowRunFailed": "active",
        "DataTestsFailed": "suppressed",
        "QualityScoreLow": "suppressed",
    }
    time.sleep(3)  # more than a group waits here
    assert messages(told, flow) == []


def test_trouble_with_cost_is_a_mail(started: RunningCollector, told: StandIns) -> None:
    service = f"athena-{secrets.token_hex(3)}"
    started.send(request_of(semconv.METRIC_COST_FLOW_PROBLEMS, {}, service=service, reason="AccessDenied"))
    (mail,) = wait_for(lambda: [each for each in told.mails if service in each["subject"]], bool)
    assert mail["subject"] == f"[P3] The cost flow has no numbers of {service}: AccessDenied"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "runbook: https://example.com/runbooks/CostDataMissing.md" in body.get_content()


def test_a_warning_of_performance_is_told_to_nobody(
    started: RunningCollector, told: StandIns, manager: Alertmanager
) -> None:
    exporter = secrets.token_hex(4)
    started.send(request_of(semconv.METRIC_SIDECAR_GIVEN_UP, {}, signal="traces", exporter=exporter))
    (found,) = wait_for(lambda: [each for each in manager.alerts() if exporter in str(each)], bool)
    assert found["labels"]["severity"] == "P4"
    assert [each["name"] for each in found["receivers"]] == ["dashboard"]
    time.sleep(3)
    assert exporter not in f"{told.slack} {told.mails} {told.pagerduty.incidents}"
