"""Installs what OpenSearch needs for spans and logs: templates, ingest pipelines, retention.

What is installed stands as files in ``collector-config/opensearch``; here it is
completed (name prefix, days) and sent. Every step replaces what is there, so
running it twice is the same as once.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opensearchpy import OpenSearch, Urllib3AWSV4SignerAuth
from opensearchpy.exceptions import NotFoundError, OpenSearchException, TransportError

from otel_prefect import semconv
from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SIGNALS = ("logs", "spans")
_SECONDS = 30
# What stands in the files where the prefix goes.
_PREFIX_IN_FILES = semconv.ENV_OPENSEARCH_PREFIX.default
# SigV4 names the service; the host says which one it is.
_AWS_SERVICES = {".es.amazonaws.com": "es", ".aoss.amazonaws.com": "aoss"}


class SetupError(Exception):
    """Raised when OpenSearch cannot be reached, or refuses; the text names the variable or the step."""


@dataclass(frozen=True)
class Step:
    """One thing that was installed, or why it was not.

    Attributes:
        what: for a person, with its name in OpenSearch.
        note: empty where it was installed; else the reason.
    """

    what: str
    note: str = ""


@dataclass(frozen=True)
class Document:
    """One thing that OpenSearch keeps for us.

    Attributes:
        what: for a person, with its name in OpenSearch.
        path: where it is put, and asked for.
        body: of the request that puts it there.
    """

    what: str
    path: str
    body: dict[str, Any]


def connect(environ: Mapping[str, str] = os.environ) -> OpenSearch:
    """Return a client of the domain that ``OTEL_PREFECT_OPENSEARCH_ENDPOINT`` names.

    It signs with AWS credentials (boto3's chain) where the host is Amazon's and no user is set, and sends
    ``OTEL_PREFECT_OPENSEARCH_USERNAME`` and ``…_PASSWORD`` where they are set. Nothing is sent yet.

    Raises:
        SetupError: the endpoint is missing or is no URL, or AWS credentials or region are missing.
    """
    variable = semconv.ENV_OPENSEARCH_ENDPOINT.name
    endpoint = environ.get(variable, "")
    url = urlsplit(endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise SetupError(f"{variable} is {endpoint!r}; the URL of an OpenSearch domain is needed: https://…")
    return OpenSearch(
        [endpoint],
        http_auth=_credentials(url.hostname, environ),
        timeout=_SECONDS,
        max_retries=2,
        retry_on_timeout=True,
    )


def setup(client: OpenSearch, environ: Mapping[str, str] = os.environ) -> list[Step]:
    """Install everything, replacing what an earlier run installed.

    Args:
        client: of the domain.
        environ: read for the name prefix, the days of retention and the folder of the configuration.

    Returns:
        What was done, in order.

    Raises:
        SetupError: the domain refused a step, or cannot be reached.
    """
    steps = []
    for each in documents(environ):
        _send(client, "PUT", each.path, each.body)
        steps.append(Step(each.what))
    prefix = _value(environ, semconv.ENV_OPENSEARCH_PREFIX)
    folder = collector.config_dir(environ) / "opensearch"
    return [*steps, _retention(client, folder, prefix, _days(environ))]


def documents(environ: Mapping[str, str] = os.environ) -> list[Document]:
    """Return the pipelines and templates that belong into a domain, in the order to install them in.

    Args:
        environ: read for the name prefix and the folder of the configuration.
    """
    prefix = _value(environ, semconv.ENV_OPENSEARCH_PREFIX)
    folder = collector.config_dir(environ) / "opensearch"
    found = []
    for signal in _SIGNALS:
        name = f"{prefix}-{signal}"
        # The pipeline first: an index that is made of the template names it.
        pipeline = _pipeline(folder, signal, name)
        found.append(Document(f"ingest pipeline {name}", f"/_ingest/pipeline/{name}", pipeline))
        template = _read(folder / f"{signal}.template.json", prefix)
        found.append(Document(f"index template {name}", f"/_index_template/{name}", template))
    return found


def _retention(client: OpenSearch, folder: Path, prefix: str, days: int) -> Step:
    """Install the policy that deletes an index when its days are over, where the domain can."""
    policy = _read(folder / "retention.policy.json", prefix)
    policy["policy"]["states"][0]["transitions"][0]["conditions"]["min_index_age"] = f"{days}d"
    path = f"/_plugins/_ism/policies/{prefix}"
    what = f"retention policy {prefix} ({days} days)"
    try:
        there = client.transport.perform_request("GET", path)
    except NotFoundError:
        query = ""
    except TransportError as error:
        # The answer of a node that has no such plugin: it does not know the path (400, "no handler").
        if error.status_code in {400, 405} and "no handler" in str(error.info):
            return Step(
                what, "the index state management plugin is not installed; delete old indices yourself"
            )
        raise SetupError(f"{what}: {reason(error)}") from error
    except OpenSearchException as error:
        raise SetupError(f"{what}: {reason(error)}") from error
    else:
        # A policy is only replaced by one who names the version that he has seen.
        query = f"?if_seq_no={there['_seq_no']}&if_primary_term={there['_primary_term']}"
    _send(client, "PUT", path + query, policy)
    return Step(what)


def _pipeline(folder: Path, signal: str, name: str) -> dict[str, Any]:
    now = {"set": {"field": "timestamp", "value": "{{{_ingest.timestamp}}}", "override": False}}
    source = (folder / f"{signal}.painless").read_text()
    script = {"script": {"lang": "painless", "source": source, "params": {"index": name}}}
    return {
        "description": f"otel-prefect: time, index of the day, id and search fields of {signal}",
        "processors": [now, script] if signal == "logs" else [script],
        # What the script cannot read is kept all the same, and says why.
        "on_failure": [
            {"set": {"field": "pipeline_error", "value": "{{{_ingest.on_failure_message}}}"}},
            {"set": {"field": "_index", "value": f"{name}-undated"}},
        ],
    }


def _read(path: Path, prefix: str) -> dict[str, Any]:
    """Read a file of ours, with the prefix in place of the one that stands there."""

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [renamed(each) for each in value]
        is_name = isinstance(value, str) and value.startswith(f"{_PREFIX_IN_FILES}-")
        return f"{prefix}{value.removeprefix(_PREFIX_IN_FILES)}" if is_name else value

    result: dict[str, Any] = renamed(json.loads(path.read_text()))
    return result


def _send(client: OpenSearch, method: str, path: str, body: dict[str, Any]) -> None:
    try:
        client.transport.perform_request(method, path, body=body)
    except OpenSearchException as error:
        raise SetupError(f"{method} {path.partition('?')[0]}: {reason(error)}") from error


def reason(error: OpenSearchException) -> str:
    """Return what the domain said, in one line."""
    if isinstance(error, TransportError) and isinstance(error.status_code, int):
        details = error.info.get("error") if isinstance(error.info, dict) else error.info
        reason = details.get("reason") if isinstance(details, dict) else details
        return f"OpenSearch answered {error.status_code}: {reason or error.error}"
    return f"OpenSearch cannot be reached: {' '.join(str(error).split())}"


def _credentials(host: str, environ: Mapping[str, str]) -> Any:
    user = environ.get(semconv.ENV_OPENSEARCH_USERNAME.name)
    if user:
        return (user, environ.get(semconv.ENV_OPENSEARCH_PASSWORD.name, ""))
    service = next((name for suffix, name in _AWS_SERVICES.items() if host.endswith(suffix)), None)
    if service is None:
        return None
    import boto3  # noqa: PLC0415 - slow to import, and only Amazon's hosts need it

    session = boto3.session.Session()
    credentials = session.get_credentials()
    # ECS sets AWS_REGION, and boto3 reads AWS_DEFAULT_REGION only.
    region = environ.get("AWS_REGION") or session.region_name
    if credentials is None or region is None:
        raise SetupError(
            f"{host} wants signed requests: set AWS_REGION and AWS credentials, "
            f"or {semconv.ENV_OPENSEARCH_USERNAME.name} and {semconv.ENV_OPENSEARCH_PASSWORD.name}"
        )
    return Urllib3AWSV4SignerAuth(credentials, region, service)


def _days(environ: Mapping[str, str]) -> int:
    variable = semconv.ENV_LOG_RETENTION_DAYS
    written = _value(environ, variable)
    if not (written.isdecimal() and int(written) > 0):
        raise SetupError(f"{variable.name} is {written!r}; a whole number of days is needed")
    return int(written)


def _value(environ: Mapping[str, str], variable: semconv.Variable) -> str:
    return environ.get(variable.name) or variable.default
