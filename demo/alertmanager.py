"""A real Alertmanager on loopback, with the project's routes, and stand-ins for those that it tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from demo import prometheus
from demo.processes import LOOPBACK, answers, direct, environment, free_port
from otel_prefect.alerts import alertmanager
from otel_prefect.alerts.alertmanager import Receivers, Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from demo.processes import Process, Processes
    from demo.receivers import StandIns
    from otel_prefect.alerts.declared import Level


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager.

    Attributes:
        address: host:port, as Prometheus takes it.
        process: it.
    """

    address: str
    process: Process

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it has, with ``status``: whether they are told or inhibited."""
        with direct.open(f"http://{self.address}/api/v2/alerts", timeout=10) as response:
            found: list[dict[str, Any]] = json.load(response)
        return found


HURRIED: Final = dict.fromkeys(alertmanager.USUAL, Timing("1s", "1s", "4h"))
"""Of an Alertmanager that somebody sits in front of."""


def start(
    processes: Processes,
    folder: Path,
    stand_ins: StandIns,
    timing: Mapping[Level, Timing] = alertmanager.USUAL,
    say: Callable[[str], None] = lambda _: None,
) -> Alertmanager:
    """Start an Alertmanager that has the routes of ``alerts/alertmanager.yaml``.

    Args:
        processes: the owner of the process.
        folder: takes its configuration, secrets and data.
        stand_ins: who is told.
        timing: of each level.
        say: takes lines for the user while something is built.

    Raises:
        StartError: it cannot be built, or did not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "alertmanager.yml"
    file.write_text(alertmanager.configuration(receivers(folder, stand_ins), timing))
    address = f"{LOOPBACK}:{free_port()}"
    command = [
        str(prometheus.fetch(say) / "alertmanager"),
        f"--config.file={file}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",  # it is alone
    ]
    ready = answers(f"http://{address}/-/ready")
    return Alertmanager(address, processes.start("alertmanager", command, env=environment(), ready=ready))


def receivers(folder: Path, stand_ins: StandIns) -> Receivers:
    """Return settings that lead to the stand-ins; their secrets are written into a folder."""
    key, webhook = folder / "pagerduty-routing-key", folder / "slack-webhook-url"
    key.write_text(stand_ins.pagerduty.routing_key)
    webhook.write_text(stand_ins.slack_url)
    return Receivers(
        pagerduty_key_file=str(key),
        pagerduty_url=stand_ins.pagerduty_url,
        slack_url_file=str(webhook),
        smarthost=stand_ins.smarthost,
        mail_tls=False,
    )
