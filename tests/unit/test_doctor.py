"""The parts of ``otel-prefect doctor`` that ask nobody."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import botocore.session
import pytest

from otel_prefect import semconv
from otel_prefect.collector import start as collector
from otel_prefect.deploy import permissions as table
from otel_prefect.doctor import account, aws, checks, permissions, report, runner, sidecar
from otel_prefect.doctor.aws import Aws, Denied, Refused, Unauthenticated
from otel_prefect.doctor.concealment import conceal, without_secrets
from otel_prefect.doctor.findings import Check, Finding, Status, Surroundings
from otel_prefect.doctor.runner import Examined

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:logs:eu-west-1:123456789012:log-group:/otel-prefect:log-stream:*"
ALLOW = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": ARN}


def surroundings(seconds: float = 5.0, **environ: str) -> Surroundings:
    return Surroundings(environ, Aws(environ), seconds=seconds)


# --- Running ------------------------------------------------------------------------------------


def test_a_check_that_raises_is_a_fault_and_what_it_found_before_and_later_checks_stay() -> None:
    def fails(_: Surroundings) -> Iterator[Finding]:
        yield Finding("first", Status.RIGHT, "well")
        raise RuntimeError("in two\nlines")

    def works(_: Surroundings) -> Iterator[Finding]:
        yield Finding("last", Status.RIGHT, "well")

    first, second = runner.run([Check("fails", fails), Check("works", works)], surroundings())
    assert [finding.what for finding in first.findings] == ["first", "fails"]
    assert first.findings[1].said == "the check itself failed: RuntimeError: in two lines"
    assert not report.is_well([first])
    assert report.is_well([second])


def test_a_check_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_GRACE_SECONDS", 0.0)
    released = threading.Event()

    def hangs(given: Surroundings) -> Iterator[Finding]:
        assert 0 < given.left() <= 0.2
        yield Finding("first", Status.RIGHT, "well")
        released.wait(60)

    (examined,) = runner.run([Check("hangs", hangs)], surroundings(seconds=0.2))
    released.set()
    assert [(finding.what, finding.status) for finding in examined.findings] == [
        ("first", Status.RIGHT),
        ("hangs", Status.WRONG),
    ]
    assert examined.findings[1].said == "not done after 0.2 s"


def test_names_of_checks_differ() -> None:
    names = [check.name for check in checks.ALL]
    assert len(set(names)) == len(names)


# --- Showing ------------------------------------------------------------------------------------


def test_notes_and_what_was_left_out_are_no_faults() -> None:
    findings = [Finding("a", Status.NOTE, ""), Finding("b", Status.SKIPPED, "")]
    assert report.is_well([Examined("x", findings)])
    assert report.table([Examined("x", findings)], 80).endswith("Nothing is wrong: 1 note, 1 skipped.\n")


def test_what_mends_is_one_line_however_narrow_the_terminal() -> None:
    finding = Finding("logs:PutLogEvents", Status.WRONG, "denied " * 30, statement=ALLOW)
    lines = report.table([Examined("permissions", [finding])], 60).splitlines()
    (mend,) = [line for line in lines if "→" in line]
    assert json.loads(mend.partition("→ ")[2]) == ALLOW
    assert all(len(line) <= 60 for line in lines if line != mend)


def test_statements_of_one_action_are_joined_in_the_policy_and_repeated_ones_are_not() -> None:
    other = {**ALLOW, "Resource": "arn:other"}
    all_of_xray = {"Effect": "Allow", "Action": "xray:PutTraceSegments", "Resource": "*"}
    findings = [Finding("", Status.WRONG, "", statement=each) for each in (ALLOW, other, ALLOW, all_of_xray)]
    document = json.loads(report.as_json([Examined("permissions", findings)]))
    assert document["policy"] == {
        "Version": "2012-10-17",
        "Statement": [
            {**ALLOW, "Resource": [ARN, "arn:other"]},
            {**all_of_xray, "Resource": ["*"]},
        ],
    }
    assert document["well"] is False


# --- Secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("AWS_SECRET_ACCESS_KEY", "abcdefghij0123456789", "abcdefghij0123456789"),
        ("PREFECT_API_KEY", "pnu_abcdefgh", "pnu_abcdefgh"),
        ("PREFECT_API_AUTH_STRING", "admin:hunter2-hunter2", "hunter2-hunter2"),
        ("PREFECT_API_URL", "https://me:pass%2Dword@host/api", "pass-word"),
        ("OTEL_PREFECT_OPENSEARCH_PASSWORD", "correct horse", "correct horse"),
        ("OTEL_PREFECT_OPENSEARCH_ENDPOINT", "https://me:s3cr3t-s3cr3t@host", "s3cr3t-s3cr3t"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t0ken-t0ken", "t0ken-t0ken"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", '{"x-gate": "open-sesame"}', "open-sesame"),
    ],
)
def test_no_text_shows_the_value_of_a_secret_variable(name: str, value: str, hidden: str) -> None:
    shown = conceal(f"the server says: {hidden} is wrong; {value}", {name: value})
    assert hidden not in shown
    assert "****" in shown


def test_a_secret_that_would_be_broken_over_lines_or_escaped_is_masked_before() -> None:
    secret = 'correct "horse" battery staple'
    finding = Finding("door", Status.WRONG, f"says {secret}", f"set {secret}")
    shown = without_secrets(finding, {"OTEL_PREFECT_OPENSEARCH_PASSWORD": secret})
    assert (shown.said, shown.mend) == ("says ****", "set ****")


def test_a_login_in_any_url_is_masked_and_words_that_are_short_secrets_are_not() -> None:
    assert (
        conceal("http://a:b@host/x and test", {"AWS_SECRET_ACCESS_KEY": "test"})
        == "http://****@host/x and test"
    )


# --- Where the sidecar is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "http", "grpc"),
    [
        ({}, "http://127.0.0.1:4318/v1/logs", "127.0.0.1:4317"),
        (
            {"OTEL_PREFECT_HTTP_ENDPOINT": "0.0.0.0:1", "OTEL_PREFECT_GRPC_ENDPOINT": "[::]:2"},
            "http://127.0.0.1:1/v1/logs",
            "[::1]:2",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-prefect:4318/"},
            "http://otel-prefect:4318/v1/logs",
            "otel-prefect:4317",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-prefect:4317",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            },
            "http://otel-prefect:4318/v1/logs",
            "otel-prefect:4317",
        ),
        (
            {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:9/x"},
            "http://127.0.0.1:9/x",
            "127.0.0.1:4317",
        ),
    ],
    ids=["defaults", "bound to all", "linked", "linked by grpc", "of a signal"],
)
def test_the_sidecar_is_looked_for_where_senders_send_to(
    environ: dict[str, str], http: str, grpc: str
) -> None:
    assert sidecar.url(environ, "logs")[0] == http
    assert sidecar.grpc_address(environ)[0] == grpc


# --- AWS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", Denied),
        ("AccessDenied", Denied),
        ("ExpiredToken", Unauthenticated),
        ("UnrecognizedClientException", Unauthenticated),
        ("InvalidSignatureException", Unauthenticated),
        ("ThrottlingException", Refused),
    ],
)
def test_errors_of_aws_are_told_apart_by_their_code(code: str, kind: type[Exception]) -> None:
    assert type(aws.problem(code, "AWS's words")) is kind


# AWS's page on the messages: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
_USER = "User: arn:aws:iam::123456789012:user/me is not authorized to perform: logs:PutLogEvents"


@pytest.mark.parametrize(
    ("message", "mend"),
    [
        (f"{_USER} because no identity-based policy allows the logs:PutLogEvents action", ""),
        (
            f"{_USER} because no permissions boundary allows the logs:PutLogEvents action",
            "have the permissions boundary allow it too:",
        ),
        (
            f"{_USER} on resource: {ARN} with an explicit deny in a service control policy",
            "take the Deny out of a service control policy",
        ),
        (
            f"{_USER} on resource: {ARN} with an explicit deny in an identity-based policy: arn:aws:iam::1:x",
            "take the Deny out of an identity-based policy",
        ),
        (f"{_USER} with an explicit deny", "take the Deny out of a policy"),
        ("Forbidden", ""),
    ],
)
def test_a_refusal_is_mended_by_a_statement_unless_something_denies_it(message: str, mend: str) -> None:
    row = next(row for row in table.TABLE if row.action == "logs:PutLogEvents")
    given = surroundings(OTEL_PREFECT_LOGS="cloudwatch")
    variables = {
        "partition": "aws",
        "region": "eu-west-1",
        "account": "123456789012",
        "log_group": "/otel-prefect",
    }
    finding = permissions._denied(row, given, variables, message)
    assert (finding.status, finding.mend) == (Status.WRONG, mend)
    assert finding.statement == (None if "Deny" in mend else ALLOW)
    assert given.denied == {"logs/cloudwatch"}


def test_every_action_that_a_layer_needs_can_be_tried() -> None:
    of_layers = {
        row.action for row in table.TABLE if any(not by.startswith("option/") for by in row.needed_by)
    }
    assert of_layers <= set(permissions._DRY)


def clock(offsets: list[float]) -> Finding:
    given = surroundings(OTEL_PREFECT_TRACES="xray")
    given.aws.offsets.extend(offsets)
    (finding,) = account.clock(given)
    return finding


@pytest.mark.parametrize(
    ("offsets", "status"),
    [
        ([], Status.SKIPPED),
        ([0.4, 1.9], Status.RIGHT),
        ([45.0, 44.2], Status.NOTE),
        ([-299.0], Status.NOTE),
        ([-301.0], Status.WRONG),
    ],
)
def test_a_clock_is_wrong_where_aws_would_refuse_its_signatures(offsets: list[float], status: Status) -> None:
    assert clock(offsets).status is status


def test_the_date_of_an_answer_is_compared_to_half_a_second() -> None:
    asked = Aws({})
    asked.compare_clock(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()))
    asked.compare_clock("yesterday")
    asked.compare_clock(None)
    (offset,) = asked.offsets
    assert -1 <= offset <= 1


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("xray", semconv.ENV_ENDPOINT_XRAY),
        ("logs", semconv.ENV_ENDPOINT_LOGS),
        ("cloudwatch", semconv.ENV_ENDPOINT_MONITORING),
    ],
)
def test_otlp_endpoints_are_moved_by_the_variables_that_aws_sdks_read(
    service: str, variable: semconv.Variable
) -> None:
    """By the service's id, see https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html."""
    service_id = botocore.session.get_session().get_service_model(service).service_id
    name = f"AWS_ENDPOINT_URL_{service_id.upper().replace(' ', '_')}"
    assert collector.aws_endpoint(variable, {name: "http://127.0.0.1:1/"}) == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("search-logs-of-all-abcdefghijklmnopqrstuvwxyz.eu-west-1.es.amazonaws.com", "logs-of-all"),
        ("vpc-logs-abcdefghijklmnopqrstuvwxyz.eu-west-1.es.amazonaws.com", "logs"),
        ("127.0.0.1", "*"),
        ("", "*"),
    ],
)
def test_a_domain_is_named_by_its_host(host: str, name: str) -> None:
    assert aws._name_in_host(host, "search-") == name
