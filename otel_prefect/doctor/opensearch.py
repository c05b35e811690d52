"""The OpenSearch domain: whether it answers, and has what ``otel-prefect opensearch setup`` installs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.doctor.findings import Finding, Status, Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SETUP: Final = "otel-prefect opensearch setup"


def needed(surroundings: Surroundings) -> bool:
    """Tell whether data goes to a domain that is known here.

    By a layer of its own, or by another Collector or a pipeline that ``OTEL_PREFECT_OPENSEARCH_ENDPOINT``
    is set beside.
    """
    names = {layer.partition("/")[2] for layer in surroundings.layers}
    if "opensearch" in names:
        return True
    known = surroundings.environ.get(semconv.ENV_OPENSEARCH_ENDPOINT.name)
    return bool(known) and bool(names & {"otlp", "opensearch-ingestion"})


def check(surroundings: Surroundings) -> Iterator[Finding]:
    """Look at the domain."""
    if not needed(surroundings):
        return
    what = "opensearch"
    try:
        from otel_prefect.deploy import opensearch as setup  # noqa: PLC0415 - of an extra
    except ModuleNotFoundError as error:
        yield Finding(what, Status.WRONG, f"{error.name} is not installed", "pip install 'otel-prefect[cli]'")
        return
    from opensearchpy.exceptions import (  # noqa: PLC0415 - as above
        AuthenticationException,
        AuthorizationException,
        OpenSearchException,
    )

    try:
        client = setup.connect(surroundings.environ)
        info = client.transport.perform_request("GET", "/", params={"request_timeout": 5})
    except setup.SetupError as error:
        yield Finding(what, Status.WRONG, str(error), f"{semconv.ENV_OPENSEARCH_ENDPOINT.name}=https://…")
        return
    except (AuthenticationException, AuthorizationException) as error:
        yield Finding(what, Status.WRONG, setup.reason(error), _who(surroundings))
        return
    except OpenSearchException as error:
        mend = f"{semconv.ENV_OPENSEARCH_ENDPOINT.name}: name a domain that can be reached from here"
        yield Finding(what, Status.WRONG, setup.reason(error), mend)
        return
    version = info.get("version", {}) if isinstance(info, dict) else {}
    yield Finding(what, Status.RIGHT, f"OpenSearch {version.get('number', 'answers')}")
    for document in setup.documents(surroundings.environ):
        yield _installed(client, document)


def _who(surroundings: Surroundings) -> str:
    if surroundings.environ.get(semconv.ENV_OPENSEARCH_USERNAME.name):
        return f"set {semconv.ENV_OPENSEARCH_USERNAME.name} and {semconv.ENV_OPENSEARCH_PASSWORD.name} right"
    return f"set {semconv.ENV_OPENSEARCH_USERNAME.name} and {semconv.ENV_OPENSEARCH_PASSWORD.name}"


def _installed(client: Any, document: Any) -> Finding:
    from opensearchpy.exceptions import NotFoundError, OpenSearchException  # noqa: PLC0415 - of an extra

    from otel_prefect.deploy import opensearch as setup  # noqa: PLC0415 - as above

    name = document.what
    what = f"opensearch: {name.split()[1]}"
    try:
        there = client.transport.perform_request("GET", document.path, params={"request_timeout": 5})
    except NotFoundError:
        return Finding(what, Status.WRONG, f"{name} is not there", _SETUP)
    except OpenSearchException as error:
        return Finding(what, Status.NOTE, f"{name} cannot be looked at: {setup.reason(error)}")
    if _is_current(there, document.body):
        return Finding(what, Status.RIGHT, f"{name} is of this version")
    return Finding(what, Status.WRONG, f"{name} is not of this version", _SETUP)


def _is_current(there: Any, body: Mapping[str, Any]) -> bool:
    """Tell whether what a domain has is what would be installed.

    Of a template the mappings and patterns are compared: of settings a domain tells in words of its own.
    """
    if "index_templates" in there:
        template = there["index_templates"][0]["index_template"]
        same = template.get("template", {}).get("mappings") == body["template"]["mappings"]
        return bool(same and sorted(template["index_patterns"]) == sorted(body["index_patterns"]))
    (pipeline,) = there.values()
    return bool(pipeline.get("processors") == body["processors"])
