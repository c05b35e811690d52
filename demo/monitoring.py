"""What watches the pipeline: a Prometheus with the project's alerts, and who is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo import alertmanager, prometheus, receivers
from demo.aws import REGION
from otel_prefect.alerts.alertmanager import Receivers
from otel_prefect.alerts.places import Places
from otel_prefect.commands import alerts

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path

    from demo.processes import Processes
    from demo.prometheus import Prometheus
    from demo.receivers import StandIns

_EVALUATION_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Monitoring:
    """It, running.

    Attributes:
        prometheus: takes the sidecar's metrics.
        told: the stand-ins of PagerDuty, Slack and a mail server.
    """

    prometheus: Prometheus
    told: StandIns


def start(
    processes: Processes, folder: Path, stack: contextlib.ExitStack, say: Callable[[str], None]
) -> Monitoring:
    """Start Prometheus, Alertmanager and the stand-ins.

    Args:
        processes: the owner of the processes.
        folder: takes their configuration and data.
        stack: ends the stand-ins.
        say: takes lines for the user while something is built.

    Raises:
        StartError: a part cannot be built, or did not come up.
    """
    told = stack.enter_context(receivers.serving())
    manager = alertmanager.start(processes, folder / "alertmanager", told, alertmanager.HURRIED, say)
    written = alerts.write(folder / "alerts", Places(region=REGION), Receivers())
    server = prometheus.start(
        processes,
        folder / "prometheus",
        rules=[path for path in written if path.name.endswith(".rules.yaml")],
        alertmanager=manager.address,
        evaluation_seconds=_EVALUATION_SECONDS,
        say=say,
    )
    return Monitoring(server, told)
