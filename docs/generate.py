"""Writes tables and outputs in docs/ from the code, between their markers: ``make docs``.

A table stands between ``<!-- NAME -->`` and ``<!-- end NAME -->``. A test holds that they are current.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from dashboards.boards import BOARDS
from otel_prefect import prometheus_names, semconv
from otel_prefect.alerts import prometheus

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = Path(__file__).resolve().parent


def variables(*read_by: str) -> str:
    """Return the table of the environment variables that any of these parts reads; of all without any."""
    rows = [
        (f"`{variable.name}`", _default(variable), variable.meaning, ", ".join(variable.read_by))
        for variable in semconv.variables()
        if not read_by or set(read_by) & set(variable.read_by)
    ]
    return _table(("Variable", "Default", "Meaning", "Read by"), rows)


def metrics() -> str:
    """Return the table of the metrics of the pipeline."""
    rows = [
        (
            f"`{metric.name}`<br>`{prometheus_names.metric(metric)}`",
            f"`{metric.unit}`",
            metric.kind,
            ", ".join(f"`{name}`" for name in metric.attributes),
            metric.source,
            metric.meaning,
        )
        for metric in semconv.metrics()
    ]
    return _table(("Metric, in Prometheus", "Unit", "Kind", "Attributes", "Measured by", "Meaning"), rows)


def add_sidecar() -> str:
    """Return what `otel-prefect ecs add-sidecar --diff` prints of the example's task definition."""
    from otel_prefect.commands import sidecar_options  # noqa: PLC0415 - as above
    from otel_prefect.deploy import task_definition  # noqa: PLC0415

    before = json.loads((DOCS.parent / "examples/pipeline/ecs/flow.json").read_text())
    sidecar = task_definition.Sidecar(
        "…/otel-prefect:0.1.0",
        environment={semconv.ENV_LOGS.name: "cloudwatch"},
        secrets={semconv.ENV_PREFECT_API_KEY.name: "arn:…"},
    )
    after = task_definition.add(before, sidecar)
    return "```diff\n" + "".join(sidecar_options.diff(before, after)) + "```\n"


def permissions() -> str:
    """Return the table of what AWS has to allow, and for what."""
    from otel_prefect.deploy import permissions as table  # noqa: PLC0415 - as above

    rows: dict[tuple[str, str], list[str]] = {}
    for row in table.TABLE:
        of_account = row.resource.split(":", 5)[-1]
        resource = re.sub(r"\$\{(\w+)\}", lambda match: match[1].upper(), of_account)
        rows.setdefault((row.action, resource), []).append(f"{_for(row.needed_by)}: {row.why}")
    head = ("Action", "Resource", "For")
    return _table(head, [(f"`{action}`", f"`{on}`", "; ".join(why)) for (action, on), why in rows.items()])


def _for(needed_by: Sequence[str]) -> str:
    return ", ".join(f"`{each.removeprefix('option/')}`" for each in needed_by)


# What stands behind a condition of the template: the option in words, and what it costs.
# https://aws.amazon.com/cloudwatch/pricing/, /xray/pricing/, /opensearch-service/pricing/, /efs/pricing/
OPTIONS = {
    "": ("always", "what containers print, by the GB taken in and kept"),
    "SendsLogs": ("`Logs` other than `none`", "logs, by the GB taken in and kept"),
    "LogsCloudwatchOtlp": ("`Logs=cloudwatch-otlp`", ""),
    "MetricsEmf": (
        "`Metrics=emf`",
        "events by the GB, and each combination of dimensions as a custom metric",
    ),
    "HasTaskPolicy": ("any layer of AWS", ""),
    "HasOperators": ("`OperatorPolicy`", ""),
    "HasRoles": ("`CreateRoles`", ""),
    "HasXrayGroup": ("`XrayGroup`", "nothing; with `XrayInsights`, each trace that is looked at"),
    "HasTransactionSearch": (
        "`TransactionSearch`",
        "all spans of the account by the GB, and what is indexed beyond 1 %, by the span",
    ),
    "HasIngestion": (
        "`OpenSearchIngestion`",
        "`IngestionMinUnits` by the hour, whether anything comes or not",
    ),
    "HasQueues": (
        "`QueueFileSystem`",
        "what is in the queues by the GB, and each GB that is read or written",
    ),
    "HasSendLeft": (
        "also `SidecarImage`, `ClusterArn`",
        "a task of 0.25 vCPU every 15 minutes, for as long as it takes",
    ),
}


def resources() -> str:
    """Return the table of what the CloudFormation template creates for each option."""
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
    text = (DOCS.parent / "deploy/cloudformation.yaml").read_text()
    made: dict[str, list[str]] = {condition: [] for condition in OPTIONS}
    for resource in yaml.load(text, loader)["Resources"].values():  # noqa: S506 - it is a SafeLoader
        kind = f"`{resource['Type'].removeprefix('AWS::')}`"
        condition = made[resource.get("Condition", "").rstrip("23")]
        if kind not in condition:
            condition.append(kind)
    rows = [
        (*OPTIONS[condition][:1], ", ".join(kinds), OPTIONS[condition][1])
        for condition, kinds in made.items()
    ]
    return _table(("With", "Creates", "Costs"), rows)


def alerts() -> str:
    """Return the table of the alerts."""
    rows = [
        (
            alert.level.value,
            f"[{alert.name}](runbooks/{alert.name}.md)",
            (DOCS / "runbooks" / f"{alert.name}.md").read_text().split("\n")[2].partition(". ")[2],
        )
        for alert in sorted(prometheus.alerts(), key=lambda alert: alert.level.value)
    ]
    return _table(("Level", "Alert", "Means"), rows)


def dashboards() -> str:
    """Return the table of the dashboards and their panels."""
    rows = [
        (
            f"**{board.title}**: {board.about}",
            ", ".join(panel.title for panel in board.panels()),
            ", ".join(panel.title for panel in board.panels() if panel.not_in_cloudwatch) or "",
        )
        for board in BOARDS
    ]
    return _table(("Dashboard", "Panels", "Not in CloudWatch"), rows)


TABLES = {
    "alerts": alerts,
    "dashboards": dashboards,
    "permissions": permissions,
    "resources": resources,
    "variables": variables,
    "metrics": metrics,
    "add-sidecar": add_sidecar,
}


def filled(text: str) -> str:
    """Return a page with its tables made anew."""
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, make=make: f"{match[1]}{make()}{match[2]}", text)  # type: ignore[misc]  # mypy does not see defaults of a lambda
    return text


def _default(variable: semconv.Variable) -> str:
    plain = variable.default and " " not in variable.default
    return f"`{variable.default}`" if plain else variable.default


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(filled(page.read_text()))
    sys.exit(0)
