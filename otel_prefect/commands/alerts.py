"""``otel-prefect alerts``: writes rules and routes for Prometheus and alarms for CloudWatch."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_prefect import semconv
from otel_prefect.alerts import alertmanager, bands, cloudwatch, prometheus
from otel_prefect.alerts.alertmanager import Receivers
from otel_prefect.alerts.places import Places
from otel_prefect.commands.cli import CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from otel_prefect.alerts.bands import Series

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
        help="takes prometheus/*.rules.yaml, alertmanager.yaml and cloudwatch.yaml; made if it is not there",
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
    parser.add_argument(
        "--cloudwatch-bands",
        action="store_true",
        help="ask CloudWatch for the tables and flows that it has metrics of, and give each an alarm by its "
        "anomaly detection (needs otel-prefect[cli] and cloudwatch:ListMetrics)",
    )
    parser.add_argument(
        "--namespace",
        default=semconv.ENV_METRIC_NAMESPACE.default,
        metavar="TEXT",
        help=f"of the metrics in CloudWatch ({semconv.ENV_METRIC_NAMESPACE.default})",
    )


def main(args: argparse.Namespace) -> int:
    """Write the files; return the exit code."""
    places = Places(**{name: getattr(args, name) for name in _PLACES})
    receivers = Receivers(**{name: getattr(args, name) for name in _RECEIVERS}, mail_tls=not args.mail_plain)
    series = _series(args.region, args.namespace) if args.cloudwatch_bands else ()
    try:
        for path in write(args.folder, places, receivers, series):
            sys.stdout.write(f"{path}\n")
    except OSError as error:
        raise CommandError(f"{args.folder}: cannot be written: {error.strerror}") from error
    return 0


def _series(region: str, namespace: str) -> Sequence[Series]:
    try:
        import boto3  # noqa: PLC0415 - of the extra `cli`
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError as error:
        raise CommandError("--cloudwatch-bands needs boto3: pip install 'otel-prefect[cli]'") from error
    try:
        found = list(bands.listed(boto3.client("cloudwatch", region_name=region), namespace))
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"cloudwatch:ListMetrics in {region}: {error}") from error
    if not found:
        raise CommandError(
            f"--cloudwatch-bands: namespace {namespace} of CloudWatch in {region} has no tables or flows of "
            "the last two weeks: see --region and --namespace"
        )
    if len(found) > bands.MOST:
        raise CommandError(
            f"--cloudwatch-bands: {len(found)} tables and flows are more than a template takes ({bands.MOST})"
        )
    return found


def write(folder: Path, places: Places, receivers: Receivers, series: Sequence[Series] = ()) -> list[Path]:
    """Write all files into a folder, and return their paths.

    Args:
        folder: made if it is not there.
        places: a team's consoles.
        receivers: who is told, by Alertmanager.
        series: metrics that CloudWatch is to have bands for.

    Raises:
        OSError: it cannot be written.
    """
    rules = folder / "prometheus"
    rules.mkdir(parents=True, exist_ok=True)
    texts = {
        **{
            rules / f"{name}.rules.yaml": prometheus.rules(groups, places)
            for name, groups in prometheus.FILES.items()
        },
        folder / "alertmanager.yaml": alertmanager.configuration(receivers),
        folder / "cloudwatch.yaml": cloudwatch.template(places, series),
    }
    for path, text in texts.items():
        path.write_text(text)
    return list(texts)
