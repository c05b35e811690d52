"""Keeps secrets out of what is printed: findings go through here before lines are made of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_prefect.doctor.findings import Finding

MASK: Final = "****"

_SECRETS: Final = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    semconv.ENV_PREFECT_API_KEY.name,
    semconv.ENV_PREFECT_API_AUTH_STRING.name,
    semconv.ENV_OPENSEARCH_PASSWORD.name,
    semconv.ENV_OPENSEARCH_AUTHORIZATION.name,
    semconv.ENV_BEARER_TOKEN.name,
)
# A shorter one is a word that stands in sentences too.
_SHORTEST: Final = 6
_LOGIN: Final = re.compile(r"(?<=://)[^/\s@]+@")


def without_secrets(finding: Finding, environ: Mapping[str, str]) -> Finding:
    """Return a finding whose texts show no secret.

    Args:
        finding: as a check has made it.
        environ: the variables.
    """
    return replace(
        finding,
        what=conceal(finding.what, environ),
        said=conceal(finding.said, environ),
        mend=conceal(finding.mend, environ),
    )


def conceal(text: str, environ: Mapping[str, str]) -> str:
    """Return a text with the values of secret variables, and logins in URLs, masked.

    Args:
        text: to be printed.
        environ: the variables.
    """
    for secret in sorted(_values(environ), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _LOGIN.sub(f"{MASK}@", text)


def _values(environ: Mapping[str, str]) -> set[str]:
    found = {environ.get(name, "") for name in _SECRETS}
    found |= {value.partition(":")[2] for value in tuple(found) if ":" in value}
    found |= set(_headers(environ))
    return {value for value in found if len(value) >= _SHORTEST}


def _headers(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of headers that open doors, as they are written and as they are sent."""
    for name, value in environ.items():
        if name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("HEADERS"):
            for pair in value.split(","):
                written = pair.partition("=")[2].strip()
                yield from (written, unquote(written), unquote(written).rpartition(" ")[2])
        if name.endswith(("_URL", "_ENDPOINT")) and "@" in value:
            yield unquote(urlsplit(value).password or "")
    try:
        custom = json.loads(environ.get(semconv.ENV_PREFECT_CLIENT_CUSTOM_HEADERS.name) or "{}")
    except ValueError:
        return
    if isinstance(custom, dict):
        yield from (str(value) for value in custom.values())
