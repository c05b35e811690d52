"""Writes Alertmanager's configuration: who is told of which level, grouped, and not of what another explains.

https://prometheus.io/docs/alerting/latest/configuration/. Secrets are in files that it reads by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from otel_prefect import semconv
from otel_prefect.alerts.declared import FLOW, Level
from otel_prefect.alerts.prometheus import HEAD

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOBODY: Final = "dashboard"
# What is one incident: all alerts of one kind on one flow, table or service.
_GROUP: Final = ("alertname", *FLOW, semconv.TABLE, semconv.SOURCE)
_LINKS: Final = ("trace", "logs", "run", "dashboard", "runbook_url")


@dataclass(frozen=True)
class Receivers:
    """Who is told, and how they are reached.

    Attributes:
        pagerduty_key_file: holds the integration key of a service (Events API v2), for P1.
        pagerduty_url: of that API.
        slack_url_file: holds the address of an incoming webhook, for P2.
        slack_channel: of Slack, where the webhook lets it be chosen.
        mail_to: address that P3 goes to.
        mail_from: of these mails.
        smarthost: host:port of the mail server.
        mail_tls: whether it has to speak TLS.
        mail_user: for the mail server; empty: it wants none.
        mail_password_file: of that user.
        ui: address of Alertmanager, for links back to it.
    """

    pagerduty_key_file: str = "/etc/alertmanager/secrets/pagerduty-routing-key"
    pagerduty_url: str = "https://events.pagerduty.com/v2/enqueue"
    slack_url_file: str = "/etc/alertmanager/secrets/slack-webhook-url"
    slack_channel: str = "#data-quality"
    mail_to: str = "data-platform@example.com"
    mail_from: str = "alerts@example.com"
    smarthost: str = "localhost:25"
    mail_tls: bool = True
    mail_user: str = ""
    mail_password_file: str = "/etc/alertmanager/secrets/smtp-password"  # noqa: S105 - a path


@dataclass(frozen=True)
class Timing:
    """How long alerts of a level wait for others that belong to them.

    Attributes:
        wait: before the first word of a group.
        interval: between two words on a group: so long it may take until one is over.
        repeat: after which the same is said again.
    """

    wait: str
    interval: str
    repeat: str


USUAL: Final = {
    Level.P1: Timing("10s", "1m", "4h"),
    # What a failing run brings with it comes a moment before that is known.
    Level.P2: Timing("1m", "5m", "24h"),
    Level.P3: Timing("5m", "1h", "24h"),
}


def configuration(receivers: Receivers, timing: Mapping[Level, Timing] = USUAL) -> str:
    """Return the configuration as YAML.

    Args:
        receivers: who is told.
        timing: of each level that somebody is told of.
    """
    content = {
        "route": _route(timing),
        "inhibit_rules": _inhibitions(),
        "receivers": [
            {"name": _NOBODY},
            {"name": "pagerduty", "pagerduty_configs": [_pagerduty(receivers)]},
            {"name": "slack", "slack_configs": [_slack(receivers)]},
            {"name": "e-mail", "email_configs": [_mail(receivers)]},
        ],
    }
    return HEAD + yaml.safe_dump(content, sort_keys=False, width=1_000, allow_unicode=True)


def _route(timing: Mapping[Level, Timing]) -> dict[str, Any]:
    def to(level: Level, receiver: str) -> dict[str, Any]:
        return {
            "matchers": [f'severity="{level.value}"'],
            "receiver": receiver,
            "group_wait": timing[level].wait,
            "group_interval": timing[level].interval,
            "repeat_interval": timing[level].repeat,
        }

    return {
        # P4, and whatever else has no receiver of its own, is seen on the dashboard.
        "receiver": _NOBODY,
        "group_by": list(_GROUP),
        "routes": [to(Level.P1, "pagerduty"), to(Level.P2, "slack"), to(Level.P3, "e-mail")],
    }


def _inhibitions() -> list[dict[str, Any]]:
    """Return what is not told since a P1 of the same flow and deployment explains it."""
    return [
        {
            "source_matchers": [f'severity="{Level.P1.value}"'],
            "target_matchers": [f'severity=~"{Level.P2.value}|{Level.P4.value}"', 'flow_name!=""'],
            "equal": list(FLOW),
        }
    ]


def _each(text: str) -> str:
    return "{{ range .Alerts.Firing }}" + text + "{{ end }}"


def _pagerduty(receivers: Receivers) -> dict[str, Any]:
    first = "{{{{ with index .Alerts 0 }}}}{{{{ .Annotations.{} }}}}{{{{ end }}}}"
    return {
        "routing_key_file": receivers.pagerduty_key_file,
        "url": receivers.pagerduty_url,
        "send_resolved": True,
        "severity": "critical",
        "class": "{{ .CommonLabels.alertname }}",
        "component": "{{ .CommonLabels.flow_name }}",
        "group": "{{ .CommonLabels.deployment }}",
        "description": first.format("summary"),
        "client": "otel-prefect",
        "client_url": first.format("dashboard"),
        "details": {"firing": _each("{{ .Annotations.description }}\n")},
        "links": [{"text": name.removesuffix("_url"), "href": first.format(name)} for name in _LINKS],
    }


def _slack(receivers: Receivers) -> dict[str, Any]:
    shown = " · ".join(
        f"{{{{ with .Annotations.{name} }}}}<{{{{ . }}}}|{name.removesuffix('_url')}>{{{{ end }}}}"
        for name in _LINKS
    )
    return {
        "api_url_file": receivers.slack_url_file,
        "channel": receivers.slack_channel,
        "send_resolved": True,
        "color": '{{ if eq .Status "firing" }}warning{{ else }}good{{ end }}',
        "title": '{{ if eq .Status "resolved" }}Over: {{ end }}{{ .CommonLabels.alertname }}'
        "{{ with .CommonLabels.flow_name }} · {{ . }}{{ end }}",
        "title_link": "{{ with index .Alerts 0 }}{{ .Annotations.runbook_url }}{{ end }}",
        "text": "{{ range .Alerts }}*{{ .Annotations.summary }}*\n{{ .Annotations.description }}\n"
        + shown
        + "\n{{ end }}",
    }


def _mail(receivers: Receivers) -> dict[str, Any]:
    lines = "".join(
        f"{{{{ with .Annotations.{name} }}}}{name.removesuffix('_url')}: {{{{ . }}}}\n{{{{ end }}}}"
        for name in _LINKS
    )
    signed = (
        {"auth_username": receivers.mail_user, "auth_password_file": receivers.mail_password_file}
        if receivers.mail_user
        else {}
    )
    return {
        "to": receivers.mail_to,
        "from": receivers.mail_from,
        "smarthost": receivers.smarthost,
        "require_tls": receivers.mail_tls,
        "send_resolved": True,
        **signed,
        "headers": {
            "Subject": "[{{ .CommonLabels.severity }}] "
            '{{ if eq .Status "resolved" }}over: {{ end }}'
            "{{ with index .Alerts 0 }}{{ .Annotations.summary }}{{ end }}"
        },
        "html": "",
        "text": "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.description }}\n"
        + lines
        + "\n{{ end }}",
    }
