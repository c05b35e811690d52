from __future__ import annotations

import pytest

from otel_prefect.commands.sources.options import configured

DOMAIN = {"OTEL_PREFECT_OPENSEARCH_ENDPOINT": "https://search.example.com"}
REGION = {"AWS_REGION": "eu-west-1"}


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({}, "aws"),
        (REGION, "aws"),
        (DOMAIN, "opensearch"),
        ({**DOMAIN, **REGION}, "aws"),
        ({**DOMAIN, "AWS_PROFILE": "data"}, "aws"),
        ({"OTEL_PREFECT_TRACES": "xray,opensearch", **DOMAIN}, "aws"),
        ({"OTEL_PREFECT_TRACES": "opensearch, xray", **REGION}, "opensearch"),
        ({"OTEL_PREFECT_TRACES": "otlp,opensearch-ingestion", **REGION}, "opensearch"),
        ({"OTEL_PREFECT_TRACES": "auto"}, "aws"),
        ({"OTEL_PREFECT_TRACES": "none", **DOMAIN}, "opensearch"),
    ],
)
def test_a_run_is_read_from_what_is_configured(environ: dict[str, str], source: str) -> None:
    assert configured(environ) == source
