"""The steps that a test node cannot take: retention, and who it is asked as."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from opensearchpy import Urllib3AWSV4SignerAuth

from otel_prefect import semconv
from otel_prefect.deploy import opensearch
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


class Domain:
    """Answers as index state management does (opensearch.org, ISM API): a policy has a version.

    Attributes:
        url: where it listens.
        calls: each request: method, path with query, body, Authorization.
        policies: by name.
        refuse: the status of every answer, where set.
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[tuple[str, str, Any, str | None]] = []
        self.policies: dict[str, Any] = {}
        self.refuse = 0

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self.refuse:
            return self.refuse, {"error": {"reason": "no permissions for [cluster:admin]"}}
        path, _, query = path.partition("?")
        if not path.startswith("/_plugins/_ism/policies/"):
            return 200, {"acknowledged": True}
        there = self.policies.get(path)
        if method == "GET":
            return (200, there) if there else (404, {"error": {"reason": "Policy not found"}})
        expected = f"if_seq_no={there['_seq_no']}&if_primary_term=1" if there else ""
        if query != expected:
            return 409, {"error": {"reason": "version conflict"}}
        self.policies[path] = {**body, "_seq_no": there["_seq_no"] + 1 if there else 0, "_primary_term": 1}
        return 201, self.policies[path]


@pytest.fixture
def domain() -> Iterator[Domain]:
    state = Domain()

    class Handler(QuietHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            state.calls.append((self.command, self.path, body, self.headers.get("authorization")))
            status, answer = state.answer(self.command, self.path, body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = handle_any  # noqa: N815 - http.server's names

    with serving(Handler) as port:
        state.url = f"http://127.0.0.1:{port}"
        yield state


def run_setup(domain: Domain, **more: str) -> list[opensearch.Step]:
    environ = {semconv.ENV_OPENSEARCH_ENDPOINT.name: domain.url, **more}
    return opensearch.setup(opensearch.connect(environ), environ)


def test_the_retention_policy_is_installed_and_replaced_when_it_is_there(domain: Domain) -> None:
    for days in ("30", "7"):
        steps = run_setup(domain, **{semconv.ENV_LOG_RETENTION_DAYS.name: days})
        assert steps[-1] == opensearch.Step(f"retention policy otel-prefect ({days} days)")
    policy = domain.policies["/_plugins/_ism/policies/otel-prefect"]
    (transition,) = policy["policy"]["states"][0]["transitions"]
    assert transition == {"state_name": "gone", "conditions": {"min_index_age": "7d"}}
    assert policy["_seq_no"] == 1


def test_the_prefix_is_in_every_name(domain: Domain) -> None:
    run_setup(domain, **{semconv.ENV_OPENSEARCH_PREFIX.name: "team-a"})
    puts = {path: body for method, path, body, _ in domain.calls if method == "PUT"}
    assert sorted(puts) == [
        "/_index_template/team-a-logs",
        "/_index_template/team-a-spans",
        "/_ingest/pipeline/team-a-logs",
        "/_ingest/pipeline/team-a-spans",
        "/_plugins/_ism/policies/team-a",
    ]
    template = puts["/_index_template/team-a-logs"]
    assert template["index_patterns"] == ["team-a-logs", "team-a-logs-*"]
    assert template["template"]["settings"]["index.default_pipeline"] == "team-a-logs"
    assert '"otel-prefect-' not in json.dumps(puts)


def test_user_and_password_are_sent(domain: Domain) -> None:
    user = {semconv.ENV_OPENSEARCH_USERNAME.name: "ann", semconv.ENV_OPENSEARCH_PASSWORD.name: "pw"}
    run_setup(domain, **user)
    assert {authorization for *_, authorization in domain.calls} == {"Basic YW5uOnB3"}


def test_a_refusal_names_the_step_and_the_domains_own_words(domain: Domain) -> None:
    domain.refuse = 403
    with pytest.raises(opensearch.SetupError) as caught:
        run_setup(domain)
    assert str(caught.value) == (
        "PUT /_ingest/pipeline/otel-prefect-logs: OpenSearch answered 403: no permissions for [cluster:admin]"
    )


@pytest.mark.parametrize("endpoint", ["", "search.example.com:9200", "ftp://x", "https://"])
def test_an_endpoint_that_is_no_url_is_shown_with_its_variable(endpoint: str) -> None:
    with pytest.raises(opensearch.SetupError, match=r"^OTEL_PREFECT_OPENSEARCH_ENDPOINT is "):
        opensearch.connect({semconv.ENV_OPENSEARCH_ENDPOINT.name: endpoint})


@pytest.mark.parametrize("days", ["0", "-1", "x", "1.5"])
def test_days_that_are_no_number_of_days_are_shown_with_their_variable(domain: Domain, days: str) -> None:
    with pytest.raises(opensearch.SetupError, match=r"^OTEL_PREFECT_LOG_RETENTION_DAYS is "):
        run_setup(domain, **{semconv.ENV_LOG_RETENTION_DAYS.name: days})


def test_requests_to_amazons_hosts_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    for host, service in (("d.eu-west-1.es.amazonaws.com", "es"), ("d.eu-west-1.aoss.amazonaws.com", "aoss")):
        auth = opensearch._credentials(host, {"AWS_REGION": "eu-west-1"})
        assert isinstance(auth, Urllib3AWSV4SignerAuth)
        assert (auth.signer.service, auth.signer.region) == (service, "eu-west-1")
    assert opensearch._credentials("search.example.com", {}) is None
