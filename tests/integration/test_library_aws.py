"""What boto3 sends to ECS and Glue, and the X-Ray SDK to its daemon, from code that says nothing of us."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.http_server import QuietHandler, serving
from tests.support.instrumented import run_code
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACEPARENT, XRAY_TRACE_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLES = {
    "PREFECT_FLOW_RUN_ID": RUN_ID,
    "LOG_CORRELATION_ID": RUN_ID,
    "SOURCE": "crm",
    "TRACEPARENT": TRACEPARENT,
}
DEFINITION = {
    "containerDefinitions": [
        {"name": "ingest", "environment": [{"name": "SOURCE", "value": "from the definition"}]},
        {"name": "proxy"},
    ]
}


class Aws:
    """A server of AWS's JSON protocol that keeps what it is asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.denied: set[str] = set()
        self.refused: str | None = None
        self.port = 0

    def bodies(self, operation: str) -> list[dict[str, Any]]:
        return [body for name, body in self.requests if name == operation]

    def answer(self, operation: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refused is not None and self.refused in json.dumps(asked):
            return 400, {"__type": "InvalidInputException", "message": "not such an argument"}
        if operation in self.denied:
            return 400, {"__type": "AccessDeniedException", "message": "not allowed"}
        if operation == "DescribeTaskDefinition":
            return 200, {"taskDefinition": DEFINITION}
        return 200, {}


@pytest.fixture
def aws() -> Iterator[Aws]:
    """A running server, on a free port."""
    kept = Aws()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            operation = self.headers["x-amz-target"].partition(".")[2]
            asked = json.loads(body)
            asked.pop("clientToken", None)  # botocore's own, new in every call
            kept.requests.append((operation, asked))
            status, answer = kept.answer(operation, asked)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    with serving(Handler) as kept.port:
        yield kept


def run(code: str, variables: dict[str, str] | None = None) -> str:
    """Run Python code as a container of the run does; return its stderr."""
    quiet = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "LOGS", "METRICS")}
    of_run = {"PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm", "TRACEPARENT": TRACEPARENT}
    return run_code(code, {**quiet, **of_run, **(variables or {})})


def call(aws: Aws, statement: str, variables: dict[str, str] | None = None) -> str:
    """Run a call of boto3 against the server; return the process's stderr."""
    account = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws.port}",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_MAX_ATTEMPTS": "1",
    }
    setup = "import boto3; ecs = boto3.client('ecs'); glue = boto3.client('glue')"
    return run(f"{setup}; {statement}", {**account, **(variables or {})})


def environment_of(override: dict[str, Any]) -> dict[str, str]:
    names = [entry["name"] for entry in override["environment"]]
    assert len(names) == len(set(names))
    return {entry["name"]: entry["value"] for entry in override["environment"]}


def test_every_container_override_of_run_task_gets_the_run_and_keeps_its_own(aws: Aws) -> None:
    source = "{'name': 'SOURCE', 'value': 'mine'}"
    own = f"[{{'name': 'a', 'command': ['x'], 'environment': [{source}]}}, {{'name': 'b'}}]"
    call(aws, f"ecs.run_task(taskDefinition='t', overrides={{'cpu': '512', 'containerOverrides': {own}}})")
    (body,) = aws.bodies("RunTask")
    first, second = body["overrides"]["containerOverrides"]
    assert body["overrides"]["cpu"] == "512"
    assert (first["name"], first["command"]) == ("a", ["x"])
    assert environment_of(first) == {**VARIABLES, "SOURCE": "mine"}
    assert environment_of(second) == VARIABLES
    assert aws.bodies("DescribeTaskDefinition") == []


def test_the_callers_own_objects_are_not_changed(aws: Aws) -> None:
    call(
        aws,
        "given = {'containerOverrides': [{'name': 'a'}]}; ecs.run_task(taskDefinition='t', overrides=given); "
        "assert given == {'containerOverrides': [{'name': 'a'}]}, given",
    )
    assert len(aws.bodies("RunTask")) == 1


def test_without_overrides_every_container_of_the_task_definition_gets_the_run(aws: Aws) -> None:
    call(aws, "[ecs.run_task(taskDefinition='ingest:3', cluster='etl') for _ in range(2)]")
    for body in aws.bodies("RunTask"):
        ingest, proxy = body["overrides"]["containerOverrides"]
        assert ingest["name"] == "ingest"
        assert environment_of(ingest) == {name: VARIABLES[name] for name in VARIABLES if name != "SOURCE"}
        assert environment_of(proxy) == VARIABLES
    assert len(aws.bodies("RunTask")) == 2
    assert aws.bodies("DescribeTaskDefinition") == [{"taskDefinition": "ingest:3"}]


def test_a_task_definition_that_may_not_be_read_changes_nothing_and_is_said_once(aws: Aws) -> None:
    aws.denied.add("DescribeTaskDefinition")
    errors = call(aws, "[ecs.run_task(taskDefinition='ingest') for _ in range(2)]")
    assert aws.bodies("RunTask") == [{"taskDefinition": "ingest"}] * 2
    assert errors.count("allow ecs:DescribeTaskDefinition or pass containerOverrides") == 1


def test_overrides_that_would_be_too_long_for_ecs_are_left_as_they_are(aws: Aws) -> None:
    own = "[{'name': 'a', 'command': ['x' * 8000]}]"
    errors = call(aws, f"ecs.run_task(taskDefinition='t', overrides={{'containerOverrides': {own}}})")
    (body,) = aws.bodies("RunTask")
    assert body["overrides"]["containerOverrides"] == [{"name": "a", "command": ["x" * 8000]}]
    assert "ECS takes 8192" in errors


def test_a_glue_job_gets_the_run_as_arguments_and_keeps_its_own(aws: Aws) -> None:
    call(aws, "glue.start_job_run(JobName='j', Arguments={'--SOURCE': 'mine', '--day': '1'})")
    (body,) = aws.bodies("StartJobRun")
    added = {f"--{name}": value for name, value in VARIABLES.items()}
    assert body == {"JobName": "j", "Arguments": {**added, "--SOURCE": "mine", "--day": "1"}}


@pytest.mark.parametrize("propagate", ["", "glue"])
def test_a_service_that_is_not_named_is_left_alone(aws: Aws, propagate: str) -> None:
    call(aws, "ecs.run_task(taskDefinition='t')", {"OTEL_PREFECT_PROPAGATE": propagate})
    assert aws.requests == [("RunTask", {"taskDefinition": "t"})]


def test_a_service_that_is_not_known_is_named(aws: Aws) -> None:
    errors = call(aws, "glue.start_job_run(JobName='j')", {"OTEL_PREFECT_PROPAGATE": "glue,s3"})
    known = "batch, ecs, events, glue, lambda, sns, sqs, stepfunctions"
    assert f"OTEL_PREFECT_PROPAGATE: 's3' is ignored, {known} are known" in errors
    assert len(aws.bodies("StartJobRun")[0]["Arguments"]) == 4


def test_an_error_of_aws_reaches_the_caller_as_it_is(aws: Aws) -> None:
    aws.denied.add("StartJobRun")
    code = "\n".join(
        (
            "",
            "try: glue.start_job_run(JobName='j')",
            "except glue.exceptions.ClientError as error:",
            "  assert error.response['Error']['Code'] == 'AccessDeniedException'",
            "else: raise AssertionError('it was not denied')",
        )
    )
    call(aws, code)
    assert len(aws.bodies("StartJobRun")) == 1


def test_a_call_that_aws_refuses_because_of_us_is_made_as_the_caller_wrote_it(aws: Aws) -> None:
    aws.refused = "TRACEPARENT"
    errors = call(aws, "[glue.start_job_run(JobName='j', Arguments={'--day': '1'}) for _ in range(2)]")
    added, plain = aws.bodies("StartJobRun")[:2]
    assert "--TRACEPARENT" in added["Arguments"]
    assert plain == {"JobName": "j", "Arguments": {"--day": "1"}}
    assert len(aws.bodies("StartJobRun")) == 4
    assert errors.count("AWS refuses StartJobRun with the run's ids (An error occurred (InvalidInput") == 1


def test_a_call_that_aws_refuses_anyhow_fails_as_it_would_without_us(aws: Aws) -> None:
    aws.refused = "JobName"
    code = "\ntry: glue.start_job_run(JobName='j')\nexcept glue.exceptions.InvalidInputException: pass"
    errors = call(aws, f"{code}\nelse: raise AssertionError('it was taken')")
    assert aws.bodies("StartJobRun")[-1] == {"JobName": "j"}
    assert "AWS refuses" not in errors


def test_outside_of_a_run_calls_are_left_alone(aws: Aws) -> None:
    nothing = {"PREFECT_FLOW_RUN_ID": "", "SOURCE": "", "TRACEPARENT": ""}
    call(aws, "ecs.run_task(taskDefinition='t')", nothing)
    assert aws.requests == [("RunTask", {"taskDefinition": "t"})]


@contextmanager
def daemon() -> Iterator[socket.socket]:
    """The X-Ray daemon's socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        yield receiver


def segments(code: str, count: int, variables: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Run code that uses the X-Ray SDK; return the segments that its daemon is sent."""
    with daemon() as receiver:
        address = f"127.0.0.1:{receiver.getsockname()[1]}"
        setup = "from aws_xray_sdk.core import xray_recorder as x; from opentelemetry import trace\n"
        run(setup + code, {"AWS_XRAY_DAEMON_ADDRESS": address, **(variables or {})})
        received = [receiver.recv(65_536) for _ in range(count)]
        receiver.settimeout(0.1)
        with pytest.raises(TimeoutError):
            receiver.recv(65_536)
    documents = []
    for datagram in received:
        header, _, document = datagram.partition(b"\n")
        assert json.loads(header) == {"format": "json", "version": 1}
        documents.append(json.loads(document))
    return documents


def test_a_segment_of_the_xray_sdk_is_a_child_of_the_span_that_started_the_process() -> None:
    (segment,) = segments("with x.in_segment('job'):\n with x.in_subsegment('read'): pass", 1)
    assert segment["trace_id"] == XRAY_TRACE_ID
    assert segment["parent_id"] == f"{PARENT_SPAN_ID:016x}"
    assert segment["annotations"] == {"flow_run_id": RUN_ID}
    (subsegment,) = segment["subsegments"]
    assert subsegment["name"] == "read"
    assert subsegment["annotations"] == {"flow_run_id": RUN_ID}


def test_a_segment_of_the_xray_sdk_is_a_child_of_the_span_that_is_current() -> None:
    code = (
        "with trace.get_tracer('t').start_as_current_span('s') as s:\n"
        " with x.in_segment('job') as g: g.put_annotation('span', f'{s.get_span_context().span_id:016x}')"
    )
    (segment,) = segments(code, 1)
    assert segment["trace_id"] == XRAY_TRACE_ID
    assert segment["parent_id"] == segment["annotations"]["span"]


def test_with_the_id_alone_a_segment_is_a_root_in_the_runs_trace() -> None:
    (segment,) = segments("with x.in_segment('job'): pass", 1, {"TRACEPARENT": ""})
    assert segment["trace_id"] == XRAY_TRACE_ID
    assert "parent_id" not in segment


def test_the_sampling_decision_is_the_traces() -> None:
    assert segments("with x.in_segment('job'): pass", 0, {"TRACEPARENT": TRACEPARENT[:-2] + "00"}) == []
    never = {"TRACEPARENT": "", "OTEL_TRACES_SAMPLER": "always_off"}
    assert segments("with x.in_segment('job'): pass", 0, never) == []
    # The X-Ray SDK's own rules would keep one a second and 5 % of the rest.
    assert len(segments("for _ in range(20):\n with x.in_segment('job'): pass", 20)) == 20


def test_ids_that_the_code_chose_itself_stay() -> None:
    own = "1-00000001-000000000000000000000002"
    (segment,) = segments(f"with x.in_segment('job', traceid='{own}', parent_id='03', sampling=1): pass", 1)
    assert (segment["trace_id"], segment["parent_id"]) == (own, "03")


def test_outside_of_a_run_a_segment_is_what_it_was() -> None:
    nothing = {"PREFECT_FLOW_RUN_ID": "", "SOURCE": "", "TRACEPARENT": ""}
    (segment,) = segments("with x.in_segment('job', sampling=1): pass", 1, nothing)
    assert segment["trace_id"] != XRAY_TRACE_ID
    assert "annotations" not in segment
