"""Writes the declared alerts as rule files, for Prometheus and for the ruler of the managed one.

https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from otel_prefect.alerts import anomalies, declared

if TYPE_CHECKING:
    from otel_prefect.alerts.declared import Alert, Group
    from otel_prefect.alerts.places import Places

FILES: Final[dict[str, tuple[Group, ...]]] = {
    "pipeline": (declared.PIPELINE,),
    "data-quality": (declared.QUALITY, declared.FRESHNESS),
    "anomalies": (anomalies.ANOMALIES,),
    "cost": (declared.COST,),
    "performance": (declared.PERFORMANCE,),
}
"""Groups by the name of their file."""
HEAD: Final = "# Made by `otel-prefect alerts`: change otel_prefect/alerts, not this.\n"


def alerts() -> tuple[Alert, ...]:
    """Return all alerts."""
    return tuple(alert for groups in FILES.values() for group in groups for alert in group.alerts)


def rules(groups: tuple[Group, ...], places: Places) -> str:
    """Return a rule file.

    Args:
        groups: of rules.
        places: a team's consoles, which the alerts link to.
    """
    content = {"groups": [_group(group, places) for group in groups]}
    return HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1_000, allow_unicode=True)


def _group(group: Group, places: Places) -> dict[str, Any]:
    made: dict[str, Any] = {"name": group.name}
    if group.interval is not None:
        made["interval"] = group.interval
    made["rules"] = [
        *(
            {"record": each.name, "expr": each.expression}
            | ({"labels": dict(each.labels)} if each.labels else {})
            for each in group.recorded
        ),
        *(_alert(alert, places) for alert in group.alerts),
    ]
    return made


def _alert(alert: Alert, places: Places) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        **({} if alert.hold == "0s" else {"for": alert.hold}),
        "labels": {"severity": alert.level.value},
        "annotations": alert.annotations(places),
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
