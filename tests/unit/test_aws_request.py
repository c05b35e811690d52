"""A request to AWS is signed as AWS's own code does, with the task's credentials and nobody else's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from otel_prefect.collector import aws_request
from otel_prefect.collector.aws_request import Answer, Credentials, NoAnswer, Request
from tests.support.http_server import QuietHandler, serving
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_790_000_000.0


@pytest.mark.parametrize("token", ["", "a/session+token=="])
@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 100])
@pytest.mark.parametrize("path", ["", "/v1/traces", "/a path/v1/logs", "/GetTraceSegmentDestination"])
def test_the_signature_is_botocores(path: str, body: bytes, token: str) -> None:
    url = f"https://xray.eu-west-1.amazonaws.com{path}"
    headers = {"Content-Type": "application/x-protobuf", "x-aws-log-group": " a  b "}
    sent = Request(url, "xray", headers, body)
    ours = aws_request.sign(sent, Credentials("AKID", "secret", token), "eu-west-1", NOW)
    request = AWSRequest("POST", url, data=body)
    for name in ours:
        if name != "authorization":
            request.headers[name] = ours[name]
    request.context["timestamp"] = ours["x-amz-date"]
    auth = SigV4Auth(BotoCredentials("AKID", "secret", token or None), "xray", "eu-west-1")
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    assert ours["authorization"].endswith(f"Signature={auth.signature(to_sign, request)}")


class _Endpoint(QuietHandler):
    def do_GET(self) -> None:
        right = self.path == "/role" and self.headers.get("authorization") == "open"
        found = {"AccessKeyId": "AKID", "SecretAccessKey": "secret", "Token": "token", "Expiration": "x"}
        body = json.dumps(found).encode() if right else b"no"
        self.send_response(200 if right else 403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def endpoint() -> Iterator[str]:
    with serving(_Endpoint) as port:
        yield f"http://127.0.0.1:{port}/role"


def test_credentials_in_the_variables_come_first(endpoint: str) -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "of-variables",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint,
    }
    assert aws_request.find_credentials(environ, 1).key_id == "of-variables"


def test_credentials_of_the_task_role_are_asked_for_with_the_token_of_the_file(
    endpoint: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("open\n")
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "stale",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }
    assert aws_request.find_credentials(environ, 1) == Credentials("AKID", "secret", "token")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "there are no AWS credentials in the variables, and none of a task role"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "ENDPOINT"}, "does not give any (403)"),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://credentials.example.com/"},
            "https, loopback or ECS's own address is needed",
        ),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "ENDPOINT",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere",
            },
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read: No such file or directory",
        ),
    ],
)
def test_it_is_said_why_there_are_no_credentials(endpoint: str, environ: dict[str, str], said: str) -> None:
    named = {name: endpoint if value == "ENDPOINT" else value for name, value in environ.items()}
    with pytest.raises(NoAnswer) as caught:
        aws_request.find_credentials(named, 1)
    assert said in str(caught.value)


def test_a_host_that_does_not_answer_is_named() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with pytest.raises(NoAnswer, match=r"^127.0.0.1 does not answer \(ConnectionRefusedError\)$"):
        aws_request.post(Request(f"http://127.0.0.1:{free_ports(1)[0]}/", "xray"), environ, 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(403, "AccessDenied", b'{"message":"no\\nway"}', 0.2), "403 AccessDenied no way"),
        (Answer(403, "", b"<html>", 0), "403"),
        (
            Answer(403, "InvalidSignatureException", b"{}", 610.4),
            "this machine's clock is 610 s behind AWS's, which takes 300 s",
        ),
        (
            Answer(403, "InvalidSignatureException", b"{}", -3600),
            "this machine's clock is 3600 s ahead of AWS's, which takes 300 s",
        ),
    ],
)
def test_a_refusal_is_told_in_one_line_and_a_wrong_clock_is_named(answer: Answer, said: str) -> None:
    assert answer.said() == said


def test_credentials_are_not_shown() -> None:
    assert "secret" not in repr(Credentials("AKID", "secret", "token"))
    assert "token'" not in repr(Credentials("AKID", "secret", "token"))
