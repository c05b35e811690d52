"""Links into consoles hold what was put in, in the consoles' own notation."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_prefect import links

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def read(text: str) -> Any:
    """Read a value in the notation, as the console does (npm ``jsurl``, with ``*`` for its escapes)."""
    value, rest = _value(text)
    assert rest == ""
    return value


def _value(text: str) -> tuple[Any, str]:
    assert text[0] == "~"
    if text[1] == "'":
        match = re.match(r"[^~)]*", text[2:])
        assert match is not None
        return _unescaped(match[0]), text[2 + match.end() :]
    if text[1] != "(":
        number = re.match(r"-?\d+", text[1:])
        assert number is not None
        return int(number[0]), text[1 + number.end() :]
    text = text[2:]
    if text[0] == "~":
        items = []
        while text[0] != ")":
            item, text = _value(text)
            items.append(item)
        return items, text[1:]
    found: dict[str, Any] = {}
    while text[0] != ")":
        key, _, rest = text.lstrip("~").partition("~")
        found[_unescaped(key)], text = _value("~" + rest)
    return found, text[1:]


def _unescaped(text: str) -> str:
    wide = re.sub(r"\*\*([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text)
    narrow = re.sub(r"\*([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), wide)
    return narrow.encode("utf-16", "surrogatepass").decode("utf-16")


@given(TEXTS.filter(lambda text: "*" not in text), st.integers(), st.lists(TEXTS, min_size=1, max_size=3))
def test_what_stands_in_a_link_is_read_back_as_it_was(text: str, number: int, items: list[str]) -> None:
    whole: Any = {"text": text, "number": number, "items": items, "inner": {"of it": text}}
    assert read(links.notation(whole)) == whole


def test_a_query_of_logs_insights_is_written_as_the_console_writes_it() -> None:
    link = links.logs_insights("us-east-1", ["/aws/x"], "fields @timestamp", start=-3600, end=0)
    assert link == (
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logsV2:logs-insights"
        "$3FqueryDetail$3D~(end~0~start~-3600~timeType~'RELATIVE~tz~'UTC~unit~'seconds"
        "~editorString~'fields*20*40timestamp~source~(~'*2faws*2fx))"
    )


def test_a_range_of_times_is_absolute() -> None:
    link = links.logs_insights(
        "eu-west-1", ["/a"], "q", start="2026-03-01T03:00:00Z", end="2026-03-01T04:00:00Z"
    )
    assert "end~'2026-03-01T04*3a00*3a00Z~start~'2026-03-01T03*3a00*3a00Z~timeType~'ABSOLUTE~tz~'UTC" in link


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            links.xray_trace("eu-west-1", "1-3c32c202-99554b90b9365fbd34f1a6d5"),
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
            "#xray:traces/1-3c32c202-99554b90b9365fbd34f1a6d5",
        ),
        (
            links.xray_search("eu-west-1", 'annotation.source = "crm"', 86_400),
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
            "#xray:traces/query?~(query~(expression~'annotation.source*20*3d*20*22crm*22)"
            "~context~(timeRange~(delta~86400000)))",
        ),
        (
            links.prefect_flow_run("https://app.prefect.cloud/account/a/workspace/w/", "3c32"),
            "https://app.prefect.cloud/account/a/workspace/w/runs/flow-run/3c32",
        ),
        (
            links.grafana("https://grafana.example.com", "otel-prefect-flow", {"flow": "daily sales"}),
            "https://grafana.example.com/d/otel-prefect-flow?var-flow=daily%20sales",
        ),
    ],
)
def test_other_links_are(link: str, expected: str) -> None:
    assert link == expected


@pytest.mark.parametrize(
    ("api", "ui"),
    [
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200"),
        ("https://prefect.example.com/team/api/", "https://prefect.example.com/team"),
        (
            "https://api.prefect.cloud/api/accounts/a-1/workspaces/w-2",
            "https://app.prefect.cloud/account/a-1/workspace/w-2",
        ),
        ("https://prefect.example.com/elsewhere", None),
    ],
)
def test_prefects_ui_is_told_from_its_api(api: str, ui: str | None) -> None:
    assert links.prefect_ui(api) == ui


def test_a_run_is_linked_to_wherever_else_it_is_configured_to_be_shown() -> None:
    environ = {
        "OTEL_PREFECT_GRAFANA_URL": "https://grafana.example.com/",
        "OTEL_PREFECT_OPENSEARCH_DASHBOARDS_URL": "https://search.example.com/_dashboards/",
    }
    trace_id = 0x3C32C20299554B90B9365FBD34F1A6D5
    assert links.elsewhere(environ, trace_id, 1_795_616_667.5, 1_795_616_700) == {
        "OpenSearch": "https://search.example.com/_dashboards/app/data-explorer/discover#?"
        "_g=(time:(from:'2026-11-25T14:23:27.000Z',to:'2026-11-25T14:26:00.000Z'))"
        "&_a=(discover:(columns:!(level,service,message)),"
        "metadata:(indexPattern:otel-prefect-logs,view:discover))"
        "&_q=(query:(language:kuery,"
        "query:'xray_trace_id%20:%20%221-3c32c202-99554b90b9365fbd34f1a6d5%22'))",
        "Grafana": "https://grafana.example.com/d/otel-prefect-flow?from=1795616607500&to=1795616760000",
    }
    assert links.elsewhere({}, trace_id, 0, 1) == {}
