"""``otel-prefect doctor``, as a user runs it, where all is well and where one thing after another is not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo import aws, prefect_server, telemetry
from demo import opensearch as node_of
from demo.processes import Processes, environment
from otel_prefect import semconv
from tests.support import aws_gate, aws_otlp, sidecar
from tests.support.http_server import QuietHandler, serving
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMAND = (str(Path(sys.executable).with_name("otel-prefect")), "doctor")
GROUP, METRIC_GROUP = semconv.ENV_LOG_GROUP.default, semconv.ENV_METRIC_LOG_GROUP.default
ARN = "arn:aws:logs:eu-west-1:123456789012:log-group:"


@dataclass
class Row:
    """One finding, as ``--json`` has it."""

    check: str
    what: str
    status: str
    said: str
    mend: str
    statement: dict[str, Any] | None


@dataclass
class Report:
    """What a run of the command came to."""

    code: int
    rows: list[Row]
    document: dict[str, Any]

    def not_right(self) -> dict[str, str]:
        """Return the status of all that is not right, by what it is of."""
        return {row.what: row.status for row in self.rows if row.status != "ok"}

    def row(self, what: str) -> Row:
        """Return the one row of a name."""
        (row,) = [row for row in self.rows if row.what == what]
        return row


@dataclass
class Place:
    """All that a task needs, running.

    Attributes:
        gate: AWS.
        moto: what is behind the gate.
        node: OpenSearch.
        variables: of the environment that the command is run in.
    """

    gate: aws_gate.Gate
    moto: aws.Aws
    node: node_of.OpenSearch
    variables: dict[str, str]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            (*COMMAND, *arguments),
            env=environment({**self.variables, **variables}),
            cwd=sidecar.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def report(self, only: str = "", *arguments: str, **variables: str) -> Report:
        """Run the command with ``--json``, for some checks or all."""
        chosen = ("--only", only) if only else ()
        done = self.run("--json", *chosen, *arguments, **variables)
        assert done.stdout, done.stderr
        document = json.loads(done.stdout)
        return Report(done.returncode, [Row(**row) for row in document["findings"]], document)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("doctor")
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(Processes(folder))
        moto = aws.start(processes)
        node = node_of.start(processes, folder)
        telemetry.set_up_opensearch(processes, node.url)
        prefect = prefect_server.start(processes, folder / "prefect")
        gate = stack.enter_context(aws_gate.opened(moto.url))
        variables = {
            **moto.variables(),
            **prefect.variables(),
            "AWS_ENDPOINT_URL": gate.url,
            semconv.ENV_TRACES.name: "xray,otlp",
            semconv.ENV_LOGS.name: "cloudwatch,otlp",
            semconv.ENV_METRICS.name: "emf",
            semconv.ENV_OTLP_ENDPOINT.name: telemetry.start_opensearch_collector(processes, node.url),
            semconv.ENV_OPENSEARCH_ENDPOINT.name: node.url,
        }
        started = stack.enter_context(sidecar.running(folder, **variables))
        own = {name: value for name, value in started.environ.items() if name.startswith("OTEL_PREFECT_")}
        # As deploy/ makes it: metrics leave once a minute, and a test does not wait for that.
        logs = moto.client("logs")
        logs.create_log_group(logGroupName=METRIC_GROUP)
        logs.put_retention_policy(logGroupName=METRIC_GROUP, retentionInDays=30)
        yield Place(gate, moto, node, {**own, **variables, "PREFECT_PLUGINS_ENABLED": "1"})


@pytest.fixture
def place(running: Place) -> Iterator[Place]:
    yield running
    gate = running.gate
    gate.denied.clear()
    gate.expired, gate.destination, gate.ahead = False, "XRay", 0.0


def test_where_all_is_well_every_row_says_so_and_what_was_sent_is_there(place: Place) -> None:
    report = place.report()
    assert report.not_right() == {}
    assert (report.code, report.document["well"], report.document["policy"]) == (0, True, None)
    checks = {row.check for row in report.rows}
    assert checks == set(report.document["seconds"])
    assert {row.what for row in report.rows if row.check == "delivery"} == {
        "delivery: sidecar",
        "delivery: X-Ray",
        "delivery: CloudWatch Logs",
        "delivery: OpenSearch spans",
        "delivery: OpenSearch logs",
    }
    trace_id = report.row("delivery: sidecar").said.rpartition(" ")[2]
    (trace,) = place.moto.client("xray").batch_get_traces(TraceIds=[trace_id])["Traces"]
    (segment,) = trace["Segments"]
    assert json.loads(segment["Document"])["name"] == "otel-prefect-doctor"
    assert place.node.call("GET", f"otel-prefect-spans-*/_count?q=traceId:{plain(trace_id)}")["count"] == 1


def test_the_page_on_aws_shows_the_rows_that_there_are(place: Place) -> None:
    """In a container without a Collector; where it is not the sidecar's own."""
    page = (sidecar.ROOT / "docs" / "aws.md").read_text()
    shown = page.partition("<!-- doctor -->")[2].partition("<!-- end doctor -->")[0]
    names = set(re.findall(r"^(?:ok|skipped) +(\S.*?)  ", shown, re.MULTILINE))
    report = place.report()
    assert names == {row.what for row in report.rows} - {"collector: configuration"}


def plain(xray_trace_id: str) -> str:
    return xray_trace_id.removeprefix("1-").replace("-", "")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_fits_the_terminal_but_for_the_lines_that_are_to_be_copied(
    place: Place, columns: int
) -> None:
    place.gate.denied["logs:PutLogEvents"] = aws_gate.NO_POLICY
    done = place.run("--only", "destinations,sidecar,permissions", "--no-send", COLUMNS=str(columns))
    lines = done.stdout.splitlines()
    copied = [line for line in lines if line.lstrip().startswith(("→", "{"))]
    assert max(len(line) for line in lines if line not in copied) <= columns
    assert lines[0].startswith("ok       destinations")
    assert lines[-1].startswith("Something is wrong: ")
    statement = json.loads(copied[0].lstrip().removeprefix("→ "))
    assert statement == allow("logs:PutLogEvents", f"{ARN}{GROUP}:log-stream:*")
    assert "\x1b" not in done.stdout


def allow(action: str, resource: str) -> dict[str, str]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


# --- The sidecar --------------------------------------------------------------------------------


def test_without_a_sidecar_it_says_what_starts_one_and_sends_nothing(place: Place) -> None:
    ports = dict(zip(("GRPC", "HTTP", "HEALTH"), free_ports(3), strict=True))
    nowhere = {f"OTEL_PREFECT_{name}_ENDPOINT": f"127.0.0.1:{port}" for name, port in ports.items()}
    report = place.report("sidecar,delivery", **nowhere)
    assert report.code == 1
    assert report.not_right() == {
        "sidecar: health": "wrong",
        "sidecar: OTLP/HTTP": "wrong",
        "sidecar: OTLP/gRPC": "wrong",
        "delivery": "skipped",
    }
    assert report.row("sidecar: health").mend == "python -m sidecar"
    in_a_task = place.report("sidecar", **nowhere, ECS_CONTAINER_METADATA_URI_V4="http://169.254.170.2/v4/1")
    assert in_a_task.row("sidecar: health").mend.startswith("otel-prefect ecs add-sidecar ")


def test_senders_that_go_to_another_port_are_told_which_variable_sends_them_there(place: Place) -> None:
    report = place.report("sidecar", OTEL_EXPORTER_OTLP_ENDPOINT=place.gate.url)
    assert report.not_right() == {"sidecar: OTLP/HTTP": "wrong"}
    row = report.row("sidecar: OTLP/HTTP")
    assert "is not OTLP/HTTP" in row.said
    assert row.mend.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: ")
    closed = place.report("sidecar", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert "nothing listens there" in closed.row("sidecar: OTLP/HTTP").said


def test_a_door_that_is_not_grpc_is_told_from_one_that_is(place: Place) -> None:
    http = place.variables[semconv.ENV_HTTP_ENDPOINT.name]
    report = place.report("sidecar", **{semconv.ENV_GRPC_ENDPOINT.name: http})
    assert report.row("sidecar: OTLP/gRPC").said == f"{http} is not gRPC"


def test_a_token_that_the_sidecar_wants_is_named_and_never_shown(place: Place, tmp_path: Path) -> None:
    token = "s3cret-t0ken-of-the-sidecar"
    with sidecar.running(tmp_path, OTEL_PREFECT_BEARER_TOKEN=token) as guarded:
        doors = {
            name: value
            for name, value in guarded.environ.items()
            if name.startswith("OTEL_PREFECT_") and name != semconv.ENV_BEARER_TOKEN.name
        }
        report = place.report("sidecar", **doors)
        assert report.not_right() == {"sidecar: OTLP/HTTP": "wrong"}
        assert report.row("sidecar: OTLP/HTTP").mend.startswith("OTEL_EXPORTER_OTLP_HEADERS=")
        headers = {"OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{token}"}
        assert place.report("sidecar", **doors, **headers).code == 0
        wrong = place.run("--only", "sidecar", **doors, OTEL_EXPORTER_OTLP_HEADERS=f"authorization={token}")
        assert wrong.returncode == 1
        assert token not in wrong.stdout + wrong.stderr


class _Echo(QuietHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        said = f"no: {self.headers['authorization']}".encode()
        self.send_response(503)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


@pytest.mark.parametrize("shape", [[], ["--json"]])
def test_a_secret_that_a_server_repeats_is_never_shown(place: Place, shape: list[str]) -> None:
    with serving(_Echo) as port:
        done = place.run(
            *(*shape, "--only", "sidecar"),
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20s3cret-t0ken",
        )
    assert "takes nothing now: no: ****" in " ".join(done.stdout.split())
    assert "s3cret" not in done.stdout + done.stderr


# --- AWS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "resources"),
    [
        ("xray:PutTraceSegments", ["*"]),
        ("logs:CreateLogStream", [f"{ARN}{GROUP}:*", f"{ARN}{METRIC_GROUP}:*"]),
        ("logs:PutLogEvents", [f"{ARN}{GROUP}:log-stream:*", f"{ARN}{METRIC_GROUP}:log-stream:*"]),
    ],
)
def test_an_action_that_no_policy_allows_is_named_with_the_statement_that_allows_it(
    place: Place, action: str, resources: list[str]
) -> None:
    place.gate.denied[action] = aws_gate.NO_POLICY
    report = place.report("permissions")
    assert report.code == 1
    denied = [row for row in report.rows if row.status == "wrong"]
    assert [row.statement for row in denied] == [allow(action, resource) for resource in resources]
    assert {row.what for row in denied} == {action}
    (statement,) = report.document["policy"]["Statement"]
    assert statement == {"Effect": "Allow", "Action": action, "Resource": resources}
    assert all(row.status == "ok" for row in report.rows if row.what != action)


def test_an_explicit_deny_is_named_by_where_it_stands_and_not_mended_by_a_statement(place: Place) -> None:
    place.gate.denied["xray:PutTraceSegments"] = "with an explicit deny in a service control policy"
    row = place.report("permissions").row("xray:PutTraceSegments")
    assert (row.status, row.statement) == ("wrong", None)
    assert row.mend == "take the Deny out of a service control policy"


def test_what_only_this_command_needs_is_no_fault_where_it_is_denied(place: Place) -> None:
    for action in ("xray:BatchGetTraces", "logs:FilterLogEvents", "logs:DescribeLogGroups"):
        place.gate.denied[action] = aws_gate.NO_POLICY
    report = place.report("delivery,log-groups")
    assert report.code == 0
    xray, logs = report.row("delivery: X-Ray"), report.row("delivery: CloudWatch Logs")
    assert (xray.status, xray.statement) == ("note", allow("xray:BatchGetTraces", "*"))
    assert logs.statement is not None
    assert f"{ARN}{GROUP}:*" in logs.statement["Resource"]


def test_trying_permissions_leaves_nothing_but_one_empty_stream(place: Place) -> None:
    logs = place.moto.client("logs")
    place.report("permissions")
    (stream,) = logs.describe_log_streams(
        logGroupName=METRIC_GROUP, logStreamNamePrefix="otel-prefect-doctor"
    )["logStreams"]
    assert stream["logStreamName"] == "otel-prefect-doctor"
    assert (
        logs.get_log_events(logGroupName=METRIC_GROUP, logStreamName=stream["logStreamName"])["events"] == []
    )


def test_what_is_denied_is_sent_but_not_waited_for(place: Place) -> None:
    place.gate.denied["xray:PutTraceSegments"] = aws_gate.NO_POLICY
    report = place.report("permissions,delivery")
    assert report.row("delivery: X-Ray").status == "skipped"
    assert report.row("delivery: CloudWatch Logs").status == "ok"


def test_where_transaction_search_is_on_the_span_is_read_from_its_log_group(place: Place) -> None:
    place.gate.destination = "CloudWatchLogs"
    report = place.report("delivery")
    assert report.row("delivery: X-Ray").status == "ok"
    assert place.gate.asked.count("logs:FilterLogEvents") >= 2


def test_a_token_that_has_expired_is_one_fault_and_the_rest_is_left_out(place: Place) -> None:
    place.gate.expired = True
    secret = "abcdefghijklmnopqrstuvwxyz0123456789ABCD"
    report = place.report(
        "credentials,permissions,log-groups", AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=f"{secret}-x"
    )
    assert report.not_right() == {
        "aws: credentials": "wrong",
        "permissions": "skipped",
        "log group": "skipped",
        "log index": "skipped",
    }
    row = report.row("aws: credentials")
    assert "have expired" in row.said
    assert "AWS_SESSION_TOKEN" in row.mend
    assert secret not in json.dumps(report.document)


def test_without_credentials_a_task_is_told_that_it_has_no_role(place: Place) -> None:
    report = place.report(
        "credentials",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        ECS_CONTAINER_METADATA_URI_V4="http://127.0.0.1:1/v4/1",
    )
    row = report.row("aws: credentials")
    assert (row.status, row.mend) == ("wrong", "give the task definition a taskRoleArn")


@pytest.mark.parametrize(
    ("ahead", "status", "said"), [(-7_200.0, "wrong", "ahead of AWS"), (60.0, "note", "60 s behind AWS")]
)
def test_a_clock_that_is_wrong_is_told_by_how_much(
    place: Place, ahead: float, status: str, said: str
) -> None:
    place.gate.ahead = ahead
    report = place.report("credentials,clock")
    assert report.not_right() == {"clock": status}
    assert said in report.row("clock").said
    assert report.code == (1 if status == "wrong" else 0)


def test_a_door_of_aws_that_is_shut_is_told_with_the_variable_that_leads_there(place: Place) -> None:
    shut = f"http://127.0.0.1:{free_ports(1)[0]}"
    report = place.report("endpoints,permissions", "--timeout", "10", AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=shut)
    row = report.row("endpoint: logs")
    assert (row.status, row.said) == ("wrong", f"{shut}: nothing listens there")
    assert row.mend.startswith("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS")
    assert {row.status for row in report.rows if row.what.startswith("logs:")} == {"skipped"}


def test_without_boto3_the_package_that_has_it_is_named(place: Place, tmp_path: Path) -> None:
    (tmp_path / "boto3.py").write_text("raise ModuleNotFoundError(\"No module named 'boto3'\", name='boto3')")
    report = place.report("credentials,endpoints,permissions,delivery,log-groups", PYTHONPATH=str(tmp_path))
    assert report.code == 1
    assert report.row("aws: credentials").mend == "pip install 'otel-prefect[cli]'"
    assert [row.what for row in report.rows if row.status == "wrong"] == ["aws: credentials"]
    assert report.row("delivery: OpenSearch spans").status == "ok"


OTLP_LAYERS = {
    "xray:PutSpans": ("TRACES", "xray-otlp", "*"),
    "logs:PutLogEvents": ("LOGS", "cloudwatch-otlp", f"{ARN}{GROUP}:log-stream:*"),
    "cloudwatch:PutMetricData": ("METRICS", "cloudwatch-otlp", "*"),
    "osis:Ingest": ("TRACES", "opensearch-ingestion", "arn:aws:osis:eu-west-1:123456789012:pipeline/*"),
    "aps:RemoteWrite": ("METRICS", "prometheus", "arn:aws:aps:eu-west-1:123456789012:workspace/ws-1"),
}


def over_otlp(endpoints: aws_otlp.Endpoints, action: str) -> dict[str, str]:
    """Return variables that lead to an OTLP endpoint and its layer, and STS to the gate."""
    signal, layer, _ = OTLP_LAYERS[action]
    nowhere = {f"OTEL_PREFECT_{each}": "none" for each in ("TRACES", "LOGS", "METRICS")}
    return {
        **{name: value for name, value in endpoints.variables().items() if name != "AWS_ENDPOINT_URL"},
        **{f"OTEL_PREFECT_ENDPOINT_{each}": endpoints.url for each in ("XRAY", "LOGS", "MONITORING")},
        **nowhere,
        semconv.ENV_PROMETHEUS_ENDPOINT.name: endpoints.url + aws_otlp.REMOTE_WRITE,
        semconv.ENV_PROMETHEUS_SIGV4.name: "true",
        f"OTEL_PREFECT_{signal}": layer,
    }


@pytest.mark.parametrize("action", OTLP_LAYERS)
def test_an_otlp_endpoint_is_asked_with_a_signed_request_that_holds_nothing(
    place: Place, action: str
) -> None:
    with aws_otlp.serving() as endpoints:
        variables = over_otlp(endpoints, action)
        allowed = place.report("endpoints,permissions", **variables)
        assert (allowed.row(action).status, allowed.code) == ("ok", 0)
        assert {each.size for each in endpoints.taken} <= {0}
        said = f"User: {aws_gate.PRINCIPAL} is not authorized to perform: {action}"
        endpoints.faults = (aws_otlp.Refusal(403, "AccessDeniedException", said),)
        denied = place.report("permissions", **variables)
    assert denied.code == 1
    assert denied.row(action).statement == allow(action, OTLP_LAYERS[action][2])


def test_a_prometheus_of_ones_own_is_tried_without_awss_credentials(place: Place) -> None:
    (port,) = free_ports(1)
    shut = f"http://127.0.0.1:{port}/api/v1/write"
    nowhere = {f"OTEL_PREFECT_{each}": "none" for each in ("TRACES", "LOGS")}
    variables = {**nowhere, "OTEL_PREFECT_METRICS": "prometheus", semconv.ENV_PROMETHEUS_ENDPOINT.name: shut}
    report = place.report("credentials,endpoints,permissions", **variables)
    assert report.row("aws: credentials").status == "skipped"
    row = report.row("endpoint: metrics/prometheus")
    assert (row.status, row.said) == ("wrong", f"{shut}: nothing listens there")
    assert row.mend == "OTEL_PREFECT_PROMETHEUS_ENDPOINT: name a Prometheus that can be reached from here"
    assert [each.what for each in report.rows if each.what == "aps:RemoteWrite"] == []


def test_a_signature_that_the_endpoint_does_not_take_is_not_called_a_denial(place: Place) -> None:
    with aws_otlp.serving() as endpoints:
        variables = {**over_otlp(endpoints, "xray:PutSpans"), "AWS_SECRET_ACCESS_KEY": "another"}
        row = place.report("permissions", **variables).row("xray:PutSpans")
    assert (row.status, row.statement) == ("skipped", None)
    assert "do not fit together, or the clock is wrong" in row.said


def test_an_account_without_transaction_search_is_told_what_turns_it_on(place: Place) -> None:
    said = "The OTLP API is supported with CloudWatch Logs as a Trace Segment Destination."
    with aws_otlp.serving() as endpoints:
        endpoints.faults = (aws_otlp.Refusal(400, "ValidationException", said),)
        report = place.report("permissions", **over_otlp(endpoints, "xray:PutSpans"))
    assert report.code == 1
    turn_on = "aws xray update-trace-segment-destination --destination CloudWatchLogs"
    assert {row.mend for row in report.rows if row.what.startswith("xray:PutSpans")} == {turn_on}


@pytest.mark.parametrize(
    ("segments_go_to", "action"), [("CloudWatchLogs", "xray:PutSpans"), ("XRay", "xray:PutTraceSegments")]
)
def test_auto_is_the_layer_that_it_would_be_for_a_sidecar(
    place: Place, segments_go_to: str, action: str
) -> None:
    with aws_otlp.serving() as endpoints:
        endpoints.destination = segments_go_to
        variables = {**over_otlp(endpoints, "xray:PutSpans"), "OTEL_PREFECT_TRACES": "auto"}
        report = place.report("destinations,permissions", **variables)
    assert (report.code, report.not_right()) == (0, {})
    assert "Transaction Search is" in report.row("destinations").said
    actions = {row.what for row in report.rows if row.check == "permissions"}
    assert {action, "xray:GetTraceSegmentDestination"} <= actions
    assert not {"xray:PutSpans", "xray:PutTraceSegments"} - {action} & actions


# --- Log groups and OpenSearch ------------------------------------------------------------------


def test_a_log_group_that_is_missing_keeps_for_ever_or_too_short_is_told_apart(place: Place) -> None:
    logs, name = place.moto.client("logs"), "/another/group"
    named = {semconv.ENV_LOG_GROUP.name: name, semconv.ENV_METRICS.name: "none"}
    missing = place.report("log-groups", **named)
    assert missing.code == 1
    create, _, retain = missing.row("log group").mend.partition(" && ")
    assert create == f"aws logs create-log-group --log-group-name {name}"
    assert retain == f"aws logs put-retention-policy --log-group-name {name} --retention-in-days 30"
    logs.create_log_group(logGroupName=name)
    kept = place.report("log-groups", **named)
    assert (kept.code, kept.row("log group").status, kept.row("log group").mend) == (0, "note", retain)
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    short = place.report("log-groups", **named)
    assert (short.code, short.row("log group").mend) == (1, f"{semconv.ENV_LOG_RETENTION_DAYS.name}=7")
    assert place.report("log-groups", **named, OTEL_PREFECT_LOG_RETENTION_DAYS="7").not_right() == {}


def test_a_log_group_without_an_index_is_said_with_what_makes_one(place: Place) -> None:
    assert "xray_trace_id" in place.report("log-groups").row("log index").said
    place.gate.indexed = False
    report = place.report("log-groups")
    row = report.row("log index")
    assert (report.code, row.status) == (0, "note")
    make = f"aws logs put-index-policy --log-group-identifier {GROUP} --policy-document "
    assert row.mend == make + '\'{"Fields": ["flow_run_id", "xray_trace_id"]}\''


def test_a_stream_that_nothing_makes_is_looked_for_where_logs_go_over_otlp(place: Place) -> None:
    logs, stream = place.moto.client("logs"), "of-all-tasks"
    named = {semconv.ENV_LOGS.name: "cloudwatch-otlp", semconv.ENV_METRICS.name: "none"}
    unset = place.report("log-groups", **named)
    assert unset.row("log stream").status == "note"
    named[semconv.ENV_LOG_STREAM.name] = stream
    missing = place.report("log-groups", **named)
    assert missing.not_right() == {"log stream": "wrong"}
    assert missing.row("log stream").mend == (
        f"aws logs create-log-stream --log-group-name {GROUP} --log-stream-name {stream}"
    )
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    assert place.report("log-groups", **named).not_right() == {}


def test_a_template_that_is_missing_and_a_pipeline_that_is_old_are_mended_by_the_command(
    place: Place,
) -> None:
    place.node.call("DELETE", "_index_template/otel-prefect-logs")
    place.node.call("PUT", "_ingest/pipeline/otel-prefect-spans", {"processors": []})
    report = place.report("opensearch")
    assert report.code == 1
    wrong = [row for row in report.rows if row.status == "wrong"]
    assert [row.said for row in wrong] == [
        "index template otel-prefect-logs is not there",
        "ingest pipeline otel-prefect-spans is not of this version",
    ]
    (mend,) = {row.mend for row in wrong}
    done = subprocess.run(
        [COMMAND[0], *mend.split()[1:]], env=environment(place.variables), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert place.report("opensearch").not_right() == {}


# --- Prefect ------------------------------------------------------------------------------------


def test_a_prefect_api_that_is_away_or_somewhere_else_is_told_apart(place: Place) -> None:
    away = place.report("prefect", PREFECT_API_URL=f"http://127.0.0.1:{free_ports(1)[0]}/api")
    assert "nothing listens there" in away.row("prefect: API").said
    url = place.variables["PREFECT_API_URL"]
    without_path = place.report("prefect", PREFECT_API_URL=url.removesuffix("/api"))
    assert without_path.row("prefect: API").status == "wrong"
    elsewhere = place.report("prefect", PREFECT_API_URL=place.gate.url)
    assert elsewhere.code == 1
    unset = place.report("prefect", PREFECT_API_URL="")
    assert (unset.code, unset.row("prefect: API").status) == (0, "note")


class _Guarded(QuietHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()


def test_credentials_that_prefect_refuses_are_named_and_never_shown(place: Place) -> None:
    key = "pnu_abcdefghijklmnop"
    with serving(_Guarded) as port:
        url = f"http://admin:hunter2-hunter2@127.0.0.1:{port}/api"
        done = place.run("--only", "prefect", PREFECT_API_URL=url, PREFECT_API_KEY=key)
    assert done.returncode == 1
    assert "refuses the credentials" in done.stdout
    assert "PREFECT_API_KEY" in done.stdout
    assert key not in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_a_plugin_that_is_off_is_told_with_the_variable_that_turns_it_on(place: Place) -> None:
    report = place.report("plugin", PREFECT_PLUGINS_ENABLED="0")
    assert report.code == 1
    assert report.row("prefect: plugin").mend == "PREFECT_PLUGINS_ENABLED=1"


def test_a_prefect_that_cannot_be_imported_is_told_with_its_own_words(place: Place) -> None:
    report = place.report("plugin", PREFECT_PLUGINS_ENABLED="perhaps")
    assert report.code == 1
    assert "unable to interpret input" in report.row("prefect: plugin").said


def test_a_plugin_that_is_kept_out_is_told_by_what(place: Place) -> None:
    report = place.report("plugin", PREFECT_PLUGINS_DENY="otel_prefect")
    assert "PREFECT_PLUGINS_DENY" in report.row("prefect: plugin").said


def test_where_no_region_is_set_the_collector_and_the_credentials_say_so(place: Place) -> None:
    report = place.report("collector,credentials", AWS_REGION="", AWS_DEFAULT_REGION="")
    assert report.row("aws: region").status == "wrong"
    assert report.row("aws: region").mend.startswith("AWS_REGION=")
    other = place.report("credentials", AWS_REGION="")
    assert other.row("aws: region").mend == f"AWS_REGION={aws.REGION}"


# --- The command --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--only", "sidecars"], ["--only", ""], ["--timeout", "0"], ["--timeout", "x"], ["more"]]
)
def test_wrong_arguments_give_2_and_one_line_that_says_what_is_right(
    place: Place, arguments: list[str]
) -> None:
    done = place.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_a_layer_that_there_is_not_is_one_fault_and_no_crash(place: Place) -> None:
    report = place.report("destinations,collector,permissions", OTEL_PREFECT_TRACES="x-ray")
    assert report.code == 1
    assert report.row("destinations").said.startswith("OTEL_PREFECT_TRACES: there is no layer 'x-ray'")


def test_where_nothing_ever_answers_it_ends_and_says_so(place: Place) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        doors = {
            f"OTEL_PREFECT_{name}_ENDPOINT": address for name in ("GRPC", "HTTP", "HEALTH", "OPENSEARCH")
        }
        report = place.report(
            "sidecar,prefect,credentials,endpoints,permissions,opensearch,delivery",
            "--timeout",
            "3",
            **doors | {"OTEL_PREFECT_OPENSEARCH_ENDPOINT": f"http://{address}"},
            AWS_ENDPOINT_URL=f"http://{address}",
            PREFECT_API_URL=f"http://{address}/api",
        )
    assert report.code == 1
    assert "ok" not in {row.status for row in report.rows if row.check != "credentials"}


def test_with_no_send_nothing_is_sent_and_nothing_made(place: Place) -> None:
    place.gate.asked.clear()
    report = place.report("permissions,delivery,log-groups", "--no-send")
    assert report.code == 0
    assert report.row("delivery").status == "skipped"
    assert not {"logs:CreateLogStream", "logs:CreateLogGroup", "logs:PutRetentionPolicy"} & set(
        place.gate.asked
    )


def test_on_a_terminal_it_is_coloured_and_says_what_it_looks_at(place: Place) -> None:
    shown = _on_a_terminal([*COMMAND, "--only", "destinations,sidecar"], place.variables)
    assert "\x1b[32mok     \x1b[0m" in shown
    assert "looking at sidecar …" in shown
    assert re.search(r"Nothing is wrong: 4 ok\.", shown)


def _on_a_terminal(command: list[str], variables: Mapping[str, str]) -> str:
    primary, secondary = os.openpty()
    try:
        process = subprocess.Popen(
            command, env=environment(variables), stdin=secondary, stdout=secondary, stderr=secondary
        )
        os.close(secondary)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal says that the other side has gone
            while more := os.read(primary, 4096):
                shown += more
        process.wait(timeout=60)
    finally:
        os.close(primary)
    return shown.decode()


def test_what_goes_out_of_sight_is_sent_and_named(place: Place) -> None:
    report = place.report("delivery", OTEL_PREFECT_OPENSEARCH_ENDPOINT="", OTEL_PREFECT_METRICS="otlp")
    assert report.code == 0
    assert report.not_right() == {"delivery: traces/otlp": "skipped", "delivery: logs/otlp": "skipped"}


def test_what_does_not_arrive_is_a_fault_after_the_time_that_was_given(place: Place) -> None:
    """Last, since the Collector goes on trying what was refused here."""
    place.gate.denied["xray:PutTraceSegments"] = aws_gate.NO_POLICY
    report = place.report("delivery", "--timeout", "5")
    assert report.code == 1
    assert report.not_right() == {"delivery: X-Ray": "wrong"}
    assert report.row("delivery: X-Ray").said.startswith("not there after ")
