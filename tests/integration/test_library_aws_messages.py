"""What Batch, Lambda, Step Functions, SQS, SNS and EventBridge receive from code that says nothing of us.

Read back from moto: from its API where it gives back what it was sent, else from the request it accepted.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import requests

from demo.aws import ACCOUNT, REGION
from tests.support.instrumented import run_code
from tests.support.moto_recorder import Moto, moto
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACEPARENT, XRAY_TRACE_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "LOGS", "METRICS")}
OF_RUN = {"PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm", "TRACEPARENT": TRACEPARENT}
VARIABLES = {**OF_RUN, "LOG_CORRELATION_ID": RUN_ID}
ATTRIBUTES = {**{name: value for name, value in VARIABLES.items() if name != "TRACEPARENT"}} | {
    "traceparent": TRACEPARENT
}
TRACE_HEADER = f"Root={XRAY_TRACE_ID};Parent={PARENT_SPAN_ID:016x};Sampled=1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


@pytest.fixture(scope="module")
def server() -> Iterator[Moto]:
    """One moto for all tests of this module."""
    with moto() as running:
        yield running


@pytest.fixture
def aws(server: Moto) -> Moto:
    """The same, with nothing in it."""
    requests.post(f"{server.url}/moto-api/reset", timeout=10).raise_for_status()
    server.requests.clear()
    return server


def call(aws: Moto, service: str, statement: str, variables: dict[str, str] | None = None) -> str:
    """Run a call of boto3 as a process of the run does; return the process's stderr."""
    code = f"import boto3, json; c = boto3.client({service!r}); {statement}"
    return run_code(code, {**QUIET, **OF_RUN, **aws.variables(), **(variables or {})})


def values(attributes: dict[str, Any]) -> dict[str, str]:
    """Return the values of message attributes, each of which is a string."""
    assert {attribute.get("DataType", attribute.get("Type")) for attribute in attributes.values()} <= {
        "String"
    }
    return {name: one.get("StringValue", one.get("Value")) for name, one in attributes.items()}


def queue(aws: Moto, name: str = "q") -> str:
    return str(aws.client("sqs").create_queue(QueueName=name)["QueueUrl"])


def messages(aws: Moto, url: str) -> list[dict[str, Any]]:
    answer = aws.client("sqs").receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["AWSTraceHeader"],
    )
    return sorted(answer.get("Messages", []), key=lambda message: str(message["Body"]))


def test_a_message_of_sqs_has_the_run_as_attributes_and_the_trace_header(aws: Moto) -> None:
    url = queue(aws)
    call(aws, "sqs", f"c.send_message(QueueUrl={url!r}, MessageBody='b')")
    (message,) = messages(aws, url)
    assert message["Body"] == "b"
    assert values(message["MessageAttributes"]) == ATTRIBUTES
    assert message["Attributes"] == {"AWSTraceHeader": TRACE_HEADER}


def test_attributes_that_the_caller_set_stay_and_its_objects_are_not_changed(aws: Moto) -> None:
    url = queue(aws)
    own = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in {"SOURCE": "mine", "traceparent": "x"}.items()
    }
    call(
        aws,
        "sqs",
        f"own = {own}; c.send_message(QueueUrl={url!r}, MessageBody='b', MessageAttributes=own); "
        f"assert own == {own}, own",
    )
    (message,) = messages(aws, url)
    assert values(message["MessageAttributes"]) == {**ATTRIBUTES, "SOURCE": "mine", "traceparent": "x"}


def test_each_message_of_a_batch_has_the_run(aws: Moto) -> None:
    url = queue(aws)
    entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(3)]
    call(aws, "sqs", f"c.send_message_batch(QueueUrl={url!r}, Entries={entries})")
    found = messages(aws, url)
    assert [message["Body"] for message in found] == ["0", "1", "2"]
    assert all(values(message["MessageAttributes"]) == ATTRIBUTES for message in found)
    (body,) = aws.bodies("SendMessageBatch")  # moto does not keep a batch's system attributes
    for entry in body["Entries"]:
        assert values(entry["MessageSystemAttributes"]) == {"AWSTraceHeader": TRACE_HEADER}


def test_a_message_has_ten_attributes_at_most_the_trace_first(aws: Moto) -> None:
    url = queue(aws)
    own = {f"a{number}": {"DataType": "String", "StringValue": "v"} for number in range(9)}
    send = f"c.send_message(QueueUrl={url!r}, MessageBody='b', MessageAttributes={own})"
    errors = call(aws, "sqs", f"[{send} for _ in range(2)]")
    for message in messages(aws, url):
        assert set(message["MessageAttributes"]) == {*own, "traceparent"}
    assert errors.count("leaves without PREFECT_FLOW_RUN_ID as a message attribute") == 1


def test_a_message_that_fills_its_limit_has_the_trace_header_alone(aws: Moto) -> None:
    url = queue(aws)
    size = 256 * 1024 - 20
    call(aws, "sqs", f"c.send_message(QueueUrl={url!r}, MessageBody='x' * {size})")
    (message,) = messages(aws, url)
    assert len(message["Body"]) == size
    assert "MessageAttributes" not in message
    assert message["Attributes"]["AWSTraceHeader"] == TRACE_HEADER


def subscribed(aws: Moto) -> tuple[str, str]:
    """Return the ARN of a topic and the URL of a queue that gets its notifications."""
    url = queue(aws)
    topic = aws.client("sns").create_topic(Name="t")["TopicArn"]
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:q")
    return topic, url


def test_what_is_published_to_a_topic_of_sns_has_the_run_as_attributes(aws: Moto) -> None:
    topic, url = subscribed(aws)
    own = {"SOURCE": {"DataType": "String", "StringValue": "mine"}}
    call(aws, "sns", f"c.publish(TopicArn={topic!r}, Message='m', MessageAttributes={own})")
    (message,) = messages(aws, url)
    notification = json.loads(message["Body"])
    assert notification["Message"] == "m"
    assert values(notification["MessageAttributes"]) == {**ATTRIBUTES, "SOURCE": "mine"}


def test_each_notification_of_a_batch_has_the_run(aws: Moto) -> None:
    topic, url = subscribed(aws)
    entries = [{"Id": str(number), "Message": str(number)} for number in range(2)]
    call(aws, "sns", f"c.publish_batch(TopicArn={topic!r}, PublishBatchRequestEntries={entries})")
    notifications = [json.loads(message["Body"]) for message in messages(aws, url)]
    assert sorted(one["Message"] for one in notifications) == ["0", "1"]
    assert all(values(one["MessageAttributes"]) == ATTRIBUTES for one in notifications)


def test_a_text_message_to_a_phone_is_left_alone(aws: Moto) -> None:
    call(aws, "sns", "c.publish(PhoneNumber='+491701234567', Message='m')")
    (body,) = aws.bodies("Publish")
    assert not [name for name in body if name.startswith("MessageAttributes")]


def test_an_event_has_the_trace_header_and_the_detail_that_it_had(aws: Moto) -> None:
    entry = {"Source": "sales", "DetailType": "loaded", "Detail": '{"day":"2026-03-01"}'}
    own = {**entry, "TraceHeader": "Root=mine"}
    call(aws, "events", f"c.put_events(Entries=[{entry}, {own}])")
    (body,) = aws.bodies("PutEvents")
    assert body["Entries"] == [{**entry, "TraceHeader": TRACE_HEADER}, own]


def state_machine(aws: Moto) -> str:
    definition = {"StartAt": "a", "States": {"a": {"Type": "Pass", "End": True}}}
    machine = aws.client("stepfunctions").create_state_machine(
        name="m", definition=json.dumps(definition), roleArn=ROLE
    )
    return str(machine["stateMachineArn"])


def test_an_execution_has_the_trace_header_and_the_input_that_it_had(aws: Moto) -> None:
    arn = state_machine(aws)
    call(
        aws, "stepfunctions", f"c.start_execution(stateMachineArn={arn!r}, name='n', input='{{\"day\": 1}}')"
    )
    (body,) = aws.bodies("StartExecution")
    assert body["traceHeader"] == TRACE_HEADER
    described = aws.client("stepfunctions").describe_execution(
        executionArn=arn.replace(":stateMachine:", ":execution:") + ":n"
    )
    assert json.loads(described["input"]) == {"day": 1}


def test_a_trace_header_that_the_caller_gives_an_execution_stays(aws: Moto) -> None:
    arn = state_machine(aws)
    call(aws, "stepfunctions", f"c.start_execution(stateMachineArn={arn!r}, traceHeader='Root=mine')")
    assert aws.bodies("StartExecution")[0]["traceHeader"] == "Root=mine"


def test_with_the_id_alone_the_trace_header_has_no_parent(aws: Moto) -> None:
    call(aws, "events", "c.put_events(Entries=[{'Source': 's'}])", {"TRACEPARENT": ""})
    assert aws.bodies("PutEvents")[0]["Entries"][0]["TraceHeader"] == f"Root={XRAY_TRACE_ID}"


@pytest.fixture
def function(aws: Moto) -> Moto:
    """An account with a function ``f``."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("f.py", "def handler(event, context): pass")
    iam = aws.client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    aws.client("lambda").create_function(
        FunctionName="f",
        Runtime="python3.11",
        Role=ROLE,
        Handler="f.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    aws.requests.clear()
    return aws


def client_contexts(aws: Moto) -> list[dict[str, Any] | None]:
    """Return the client context of each invocation, None where it has none."""
    given = [
        headers.get("x-amz-client-context") for name, headers, _ in aws.requests if "invocations" in name
    ]
    return [None if one is None else json.loads(base64.b64decode(one)) for one in given]


def test_a_function_is_given_the_run_in_its_client_context(function: Moto) -> None:
    call(function, "lambda", "c.invoke(FunctionName='f', Payload=b'{}')")
    assert client_contexts(function) == [{"custom": VARIABLES}]


def test_a_client_context_of_the_caller_is_kept_whole(function: Moto) -> None:
    own = {"client": {"app_title": "x"}, "custom": {"SOURCE": "mine", "k": "v"}}
    encoded = base64.b64encode(json.dumps(own).encode()).decode()
    call(function, "lambda", f"c.invoke(FunctionName='f', ClientContext={encoded!r})")
    assert client_contexts(function) == [{**own, "custom": {**VARIABLES, "SOURCE": "mine", "k": "v"}}]


def test_an_invocation_that_would_not_pass_it_on_is_left_alone(function: Moto) -> None:
    call(function, "lambda", "c.invoke(FunctionName='f', InvocationType='Event', Payload=b'{}')")
    assert client_contexts(function) == [None]


def test_a_client_context_that_would_be_too_long_is_left_as_it_is(function: Moto) -> None:
    own = {"custom": {"k": "v" * 2600}}
    encoded = base64.b64encode(json.dumps(own).encode()).decode()
    errors = call(
        function, "lambda", f"[c.invoke(FunctionName='f', ClientContext={encoded!r}) for _ in 'ab']"
    )
    assert client_contexts(function) == [own, own]
    assert errors.count("Lambda takes 3583") == 1


@pytest.fixture
def jobs(aws: Moto) -> Moto:
    """An account with a queue ``jobs`` and job definitions of one container and of several."""
    ec2, iam, batch = aws.client("ec2"), aws.client("iam"), aws.client("batch")
    vpc = ec2.create_vpc(CidrBlock="172.30.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="172.30.0.0/25")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(Description="d", GroupName="g", VpcId=vpc)["GroupId"]
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    batch.create_compute_environment(
        computeEnvironmentName="fargate",
        type="MANAGED",
        state="ENABLED",
        computeResources={
            "type": "FARGATE",
            "maxvCpus": 4,
            "subnets": [subnet],
            "securityGroupIds": [group],
        },
        serviceRole=role,
    )
    arn = batch.describe_compute_environments()["computeEnvironments"][0]["computeEnvironmentArn"]
    batch.create_job_queue(
        jobQueueName="jobs",
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": arn}],
    )
    batch.register_job_definition(
        jobDefinitionName="load",
        type="container",
        containerProperties={
            "image": "busybox",
            "vcpus": 1,
            "memory": 128,
            "environment": [{"name": "SOURCE", "value": "from the definition"}],
        },
    )
    aws.requests.clear()
    return aws


SUBMIT = "c.submit_job(jobName='n', jobQueue='jobs', jobDefinition='load'"


def environment_of(override: dict[str, Any]) -> dict[str, str]:
    names = [entry["name"] for entry in override["environment"]]
    assert len(names) == len(set(names))
    return {entry["name"]: entry["value"] for entry in override["environment"]}


def test_a_batch_job_gets_the_run_and_keeps_what_its_definition_sets(jobs: Moto) -> None:
    call(jobs, "batch", f"[{SUBMIT}) for _ in 'ab']")
    for body in jobs.bodies("submitjob"):
        without = {name: value for name, value in VARIABLES.items() if name != "SOURCE"}
        assert environment_of(body["containerOverrides"]) == without
    assert len(jobs.bodies("submitjob")) == 2
    assert len(jobs.bodies("describejobdefinitions")) == 1
    (job, _) = (
        jobs.client("batch").list_jobs(jobQueue="jobs", jobStatus="SUCCEEDED")["jobSummaryList"]
        or (
            jobs.client("batch").list_jobs(jobQueue="jobs", filters=[{"name": "JOB_NAME", "values": ["n"]}])[
                "jobSummaryList"
            ]
        )
    )
    assert job["jobName"] == "n"


def test_overrides_of_a_batch_job_stay_and_get_the_run(jobs: Moto) -> None:
    own = {"command": ["x"], "environment": [{"name": "SOURCE", "value": "mine"}]}
    call(jobs, "batch", f"own = {own}; {SUBMIT}, containerOverrides=own); assert own == {own}")
    (body,) = jobs.bodies("submitjob")
    assert body["containerOverrides"]["command"] == ["x"]
    assert environment_of(body["containerOverrides"]) == {**VARIABLES, "SOURCE": "mine"}
    assert jobs.bodies("describejobdefinitions") == []


@pytest.mark.parametrize(
    ("overrides", "path", "key"),
    [
        (
            {"ecsPropertiesOverride": {"taskProperties": [{"containers": [{"name": "a"}]}]}},
            ("ecsPropertiesOverride", "taskProperties", 0, "containers", 0),
            "environment",
        ),
        (
            {"eksPropertiesOverride": {"podProperties": {"containers": [{"name": "a"}]}}},
            ("eksPropertiesOverride", "podProperties", "containers", 0),
            "env",
        ),
        (
            {
                "nodeOverrides": {
                    "numNodes": 2,
                    "nodePropertyOverrides": [
                        {"targetNodes": "0:", "containerOverrides": {"command": ["x"]}}
                    ],
                }
            },
            ("nodeOverrides", "nodePropertyOverrides", 0, "containerOverrides"),
            "environment",
        ),
    ],
)
def test_overrides_of_every_kind_of_batch_job_get_the_run(
    jobs: Moto, overrides: dict[str, Any], path: tuple[Any, ...], key: str
) -> None:
    arguments = ", ".join(f"{name}={value}" for name, value in overrides.items())
    call(jobs, "batch", f"{SUBMIT}, {arguments})")
    (body,) = jobs.bodies("submitjob")
    assert "containerOverrides" not in body
    found: Any = body
    for step in path:
        found = found[step]
    assert {entry["name"]: entry["value"] for entry in found[key]} == VARIABLES


def test_a_job_definition_that_cannot_be_read_changes_nothing_and_is_said_once(jobs: Moto) -> None:
    code = "\n".join(
        (
            "",
            "for _ in range(2):",
            "  try: c.submit_job(jobName='n', jobQueue='jobs', jobDefinition='gone')",
            "  except c.exceptions.ClientException: pass",
        )
    )
    errors = call(jobs, "batch", code)
    assert all("containerOverrides" not in body for body in jobs.bodies("submitjob"))
    assert errors.count("batch.submit_job is left as it is") == 1


def test_nothing_is_added_where_it_is_turned_off(aws: Moto) -> None:
    url = queue(aws)
    call(aws, "sqs", f"c.send_message(QueueUrl={url!r}, MessageBody='b')", {"OTEL_PREFECT_PROPAGATE": ""})
    (message,) = messages(aws, url)
    assert "MessageAttributes" not in message
    assert TRACE_HEADER not in str(message)


def test_an_error_of_the_callers_own_making_reaches_it_as_it_is(aws: Moto) -> None:
    call(
        aws,
        "sqs",
        "\ntry: c.send_message(QueueUrl='http://127.0.0.1/1/none', MessageBody='b')\n"
        "except c.exceptions.QueueDoesNotExist: pass\nelse: raise AssertionError",
    )
    call(
        aws,
        "sqs",
        "import botocore\ntry: c.send_message(QueueUrl=7, MessageBody='b')\n"
        "except botocore.exceptions.ParamValidationError as e: assert 'QueueUrl' in str(e)\n"
        "else: raise AssertionError",
    )
