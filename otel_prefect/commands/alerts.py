"""``otel-prefect alerts``: writes rules of Prometheus and routes of Alertmanager, with a team's links."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_prefect.alerts import alertmanager, prometheus
from otel_prefect.alerts.alertmanager import Receivers
from otel_prefect.alerts.places import Places
from otel_prefect.commands.cli import CommandError

if TYPE_CHECKING:
    import argparse

_PLACES: Final = {
    "region": "region of AWS that the links to X-Ray and CloudWatch lead to",
    "log_group": "log group of the runs' logs",
    "grafana": "address of Grafana",
    "prefect_ui": "address of Prefect's UI; of Prefect Cloud with /account/…/workspace/…",
    "runbooks": "address of the folder with the runbooks, which are docs/runbooks in the repository",
}
_RECEIVERS: Final = {
    "pagerduty_key_file": "file with the integration key of a PagerDuty service (Events API v2)",
    "pagerduty_url": "address of that API",
    "slack_url_file": "file with the address of an incoming webhook of Slack",
    "slack_channel": "channel of Slack",
    "mail_to": "address that e-mails go to",
    "mail_from": "address that e-mails come from",
    "smarthost": "host:port of the mail server",
    "mail_user": "user of the mail server; without it, it is asked without one",
    "mail_password_file": "file with that user's password",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "folder",
        type=Path,
        help="takes prometheus/*.rules.yaml and alertmanager.yaml; made if it is not there",
    )
    for kind, options in ((Places, _PLACES), (Receivers, _RECEIVERS)):
        defaults = {each.name: each.default for each in fields(kind)}
        for name, meaning in options.items():
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                default=defaults[name],
                metavar="TEXT",
                help=f"{meaning} ({defaults[name] or 'none'})",
            )
    parser.add_argument(
        "--mail-plain", action="store_true", help="speak to the mail server without TLS, as on localhost"
    )


def main(args: argparse.Namespace) -> int:
    """Write the files; return the exit code."""
    places = Places(**{name: getattr(args, name) for name in _PLACES})
    receivers = Receivers(**{name: getattr(args, name) for name in _RECEIVERS}, mail_tls=not args.mail_plain)
    try:
        for path in write(args.folder, places, receivers):
            sys.stdout.write(f"{path}\n")
    except OSError as error:
        raise CommandError(f"{args.folder}: cannot be written: {error.strerror}") from error
    return 0


def write(folder: Path, places: Places, receivers: Receivers) -> list[Path]:
    """Write all files into a folder, and return their paths.

    Raises:
        OSError: it cannot be written.
    """
    written = []
    rules = folder / "prometheus"
    rules.mkdir(parents=True, exist_ok=True)
    for name, groups in prometheus.FILES.items():
        path = rules / f"{name}.rules.yaml"
        path.write_text(prometheus.rules(groups, places))
        written.append(path)
    path = folder / "alertmanager.yaml"
    path.write_text(alertmanager.configuration(receivers))
    return [*written, path]
