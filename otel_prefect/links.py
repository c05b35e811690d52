"""Deep links into consoles: where a run's trace, its logs and its page in Prefect are found.

AWS documents none of these formats; they are what the consoles themselves put into the address bar. A
fragment of CloudWatch's console holds a value in a notation of its own, ``~(key~'text~other~(~'item))``, in
which a character other than ``[A-Za-z0-9_.-]`` is ``*`` and its code in hex, or ``**`` and four digits beyond
``ff``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from otel_prefect import ids, semconv

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = str | int | Sequence["Value"] | Mapping[str, "Value"]

# The dashboards in `dashboards/`, by their uid in Grafana.
OVERVIEW: Final = "otel-prefect-overview"
FLOW: Final = "otel-prefect-flow"
DATA_QUALITY: Final = "otel-prefect-data-quality"
COST: Final = "otel-prefect-cost"
FLEET: Final = "otel-prefect-fleet"

# What the places are called that show a run.
XRAY: Final = "X-Ray"
LOGS: Final = "logs"
PREFECT: Final = "Prefect"
OPENSEARCH: Final = "OpenSearch"
GRAFANA: Final = "Grafana"

LOGS_PATTERN: Final = "otel-prefect-logs"
"""Id of the index pattern in OpenSearch Dashboards."""

_SLACK_SECONDS: Final = 60
_RISON: Final = "!'()*,:/;@$-_.~"
"""What stands in the notation of Dashboards as it is."""
_CLOUD: Final = re.compile(r"https://api\.prefect\.cloud/api/accounts/([^/]+)/workspaces/([^/]+)")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]")


def console(region: str, fragment: str) -> str:
    """Return an address of CloudWatch's console in a region."""
    return f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#{fragment}"


def xray_trace(region: str, trace_id: str) -> str:
    """Return where X-Ray's console shows a trace, by its id in X-Ray's form (``1-…``)."""
    return console(region, f"xray:traces/{trace_id}")


def xray_search(region: str, expression: str, seconds: int) -> str:
    """Return where X-Ray's console lists traces.

    Args:
        region: of AWS.
        expression: https://docs.aws.amazon.com/xray/latest/devguide/xray-console-filters.html.
        seconds: before now that it looks at.
    """
    asked: Value = {
        "query": {"expression": expression},
        "context": {"timeRange": {"delta": seconds * 1000}},
    }
    return console(region, f"xray:traces/query?{notation(asked)}")


def logs_insights(region: str, groups: Sequence[str], query: str, *, start: int | str, end: int | str) -> str:
    """Return where CloudWatch Logs Insights has a query filled in.

    Args:
        region: of AWS.
        groups: names of log groups.
        query: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html.
        start: seconds before now, negative; or a time in ISO 8601.
        end: the same.
    """
    relative = isinstance(start, int)
    detail: dict[str, Value] = {
        "end": end,
        "start": start,
        "timeType": "RELATIVE" if relative else "ABSOLUTE",
        "tz": "UTC",
        **({"unit": "seconds"} if relative else {}),
        "editorString": query,
        "source": list(groups),
    }
    # In this part of the console ? and = are written so, and % would be.
    return console(region, f"logsV2:logs-insights$3FqueryDetail$3D{notation(detail)}")


def prefect_flow_run(base: str, flow_run_id: str) -> str:
    """Return a flow run's page in Prefect's UI.

    Args:
        base: address of the UI: of a server, or of Prefect Cloud with account and workspace.
        flow_run_id: a UUID.
    """
    return f"{base.rstrip('/')}/runs/flow-run/{flow_run_id}"


def prefect_ui(api: str) -> str | None:
    """Return the address of Prefect's UI that belongs to an API; None where that cannot be told.

    Args:
        api: without credentials: of a server, which has its UI beside ``/api``, or of Prefect Cloud.
    """
    cloud = _CLOUD.fullmatch(api.rstrip("/"))
    if cloud:
        return f"https://app.prefect.cloud/account/{cloud[1]}/workspace/{cloud[2]}"
    return api.rstrip("/").removesuffix("/api") if api.rstrip("/").endswith("/api") else None


def of_run(region: str, log_group: str, trace_id: int, start: float, end: float) -> dict[str, str]:
    """Return where AWS's consoles show a run: its trace, and all its log records.

    Args:
        region: of AWS.
        log_group: of the records.
        trace_id: 128 bits, which are the flow run's id too.
        start: of the run, in seconds since 1970.
        end: the same.
    """
    where = f'{semconv.XRAY_TRACE_ID} = "{ids.xray_trace_id(trace_id)}"'
    query = f"fields @timestamp, level, service, message | filter {where} | sort @timestamp"
    first, last = _iso(start - _SLACK_SECONDS), _iso(end + _SLACK_SECONDS)
    return {
        XRAY: xray_trace(region, ids.xray_trace_id(trace_id)),
        LOGS: logs_insights(region, [log_group], query, start=first, end=last),
    }


def elsewhere(environ: Mapping[str, str], trace_id: int, start: float, end: float) -> dict[str, str]:
    """Return where else a run is shown, as far as the environment says where that is.

    Args:
        environ: with ``OTEL_PREFECT_OPENSEARCH_DASHBOARDS_URL`` and ``OTEL_PREFECT_GRAFANA_URL``.
        trace_id: 128 bits, which are the flow run's id too.
        start: of the run, in seconds since 1970.
        end: the same.
    """
    dashboards = environ.get(semconv.ENV_OPENSEARCH_DASHBOARDS_URL.name)
    base = environ.get(semconv.ENV_GRAFANA_URL.name)
    first, last = start - _SLACK_SECONDS, end + _SLACK_SECONDS
    found = {}
    if dashboards:
        found[OPENSEARCH] = opensearch_dashboards(dashboards, trace_id, first, last)
    if base:
        shown = {"from": str(int(first * 1000)), "to": str(int(last * 1000))}
        found[GRAFANA] = f"{grafana(base, FLOW, {})}?{urlencode(shown)}"
    return found


def opensearch_dashboards(base: str, trace_id: int, start: float, end: float) -> str:
    """Return where OpenSearch Dashboards lists a run's log, by the index pattern ``otel-prefect-logs``.

    Args:
        base: its address, such as ``https://DOMAIN/_dashboards``.
        trace_id: 128 bits, which are the flow run's id too.
        start: seconds since 1970.
        end: the same.
    """
    query = f'{semconv.XRAY_TRACE_ID} : "{ids.xray_trace_id(trace_id)}"'
    columns = ",".join(("level", "service", "message"))
    first, last = _iso(start), _iso(end)
    parts = {
        "_g": f"(time:(from:'{first}',to:'{last}'))",
        "_a": f"(discover:(columns:!({columns})),metadata:(indexPattern:{LOGS_PATTERN},view:discover))",
        "_q": f"(query:(language:kuery,query:'{query}'))",
    }
    asked = "&".join(f"{key}={quote(value, safe=_RISON)}" for key, value in parts.items())
    return f"{base.rstrip('/')}/app/data-explorer/discover#?{asked}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def grafana(base: str, uid: str, variables: Mapping[str, str]) -> str:
    """Return a dashboard's page in Grafana, with its variables set."""
    chosen = "&".join(f"var-{name}={quote(value, safe='')}" for name, value in variables.items())
    return f"{base.rstrip('/')}/d/{uid}" + (f"?{chosen}" if chosen else "")


def notation(value: Value) -> str:
    """Return a value in the notation of CloudWatch's console."""
    if isinstance(value, str):
        return f"~'{escaped(value)}"
    if isinstance(value, int):
        return f"~{value}"
    if isinstance(value, Mapping):
        return "~(" + "~".join(f"{escaped(key)}{notation(each)}" for key, each in value.items()) + ")"
    return "~(" + "".join(notation(each) for each in value) + ")"


def escaped(text: str) -> str:
    """Return a text as it stands in that notation."""
    return "".join(char if _PLAIN.match(char) else _code(char) for char in text)


def _code(char: str) -> str:
    if ord(char) <= 0xFF:
        return f"*{ord(char):02x}"
    units = char.encode("utf-16-be")
    return "".join(f"**{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
