"""``python -m sidecar send-left``: sends what lost tasks have left in a shared data folder.

It is to run beside the tasks, every quarter of an hour or so (a scheduled ECS task), with the same layers:
the Collector is started on each folder that nobody has, and sends what is in its queues, as ever.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from otel_prefect.collector import destination
from otel_prefect.collector import start as configuration
from sidecar import accounts, collector, data_folder, log_lines, metrics
from sidecar.delivery import DeliveryMonitor
from sidecar.forward import CollectorClient
from sidecar.held import Held

if TYPE_CHECKING:
    from sidecar.data_folder import DataFolder
    from sidecar.settings import Settings

_log = logging.getLogger("sidecar.left_behind")

# For one folder. A destination that is away for longer is for the next time.
_LONGEST_SECONDS: Final = 600.0


def main(settings: Settings) -> int:
    """Send what is left, a folder after the other; SIGTERM ends it between two looks at a queue.

    Returns:
        0 when nothing is left; 1 when something is, or could not be tried.
    """
    log_lines.install()
    if not settings.data_shared:
        sys.stderr.write("sidecar: send-left: OTEL_PREFECT_DATA_SHARED is not true: no task's data is here\n")
        return 1
    try:
        return asyncio.run(_send_all(settings))
    except (configuration.CollectorNotFound, ValueError, OSError) as error:
        sys.stderr.write(f"sidecar: send-left: {error}\n")
        return 1


async def _send_all(settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    remains = False
    for folder in data_folder.left(settings.data_dir):
        sent = False
        try:
            sent = not stop.is_set() and await _send(folder, stop)
        except collector.CollectorError as error:
            _log.error("what %s left is not sent: %s", folder.owner, error)
        finally:
            folder.release(empty=sent)
        remains = remains or not sent
    return int(remains)


async def _send(folder: DataFolder, stop: asyncio.Event) -> bool:
    """Run a Collector on a folder until its queues are empty; tell whether they are."""
    telemetry = collector.free_loopback_address()
    environ = collector.environment(
        destination.with_either(os.environ), folder.owner, telemetry, None, folder.path
    )
    numbers, deliveries = metrics.SelfMetrics(), DeliveryMonitor(telemetry)
    client = CollectorClient(configuration.socket_target(environ))
    # What an endpoint refuses would be dropped: it is left for the next time.
    held = Held(environ)
    await held.look()
    running = collector.ManagedCollector(
        configuration.find(environ), held.environ(), client, numbers, deliveries.collector_restarted
    )
    try:
        await running.start()
        sent = await _drained(deliveries, stop)
    finally:
        await running.stop()
        await client.close()
    told = {"task": folder.owner, **accounts.of_deliveries(deliveries.total)}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    return sent


async def _drained(deliveries: DeliveryMonitor, stop: asyncio.Event) -> bool:
    """Tell whether the queues are empty, once they are, time is up, or SIGTERM has come."""
    deadline = asyncio.get_running_loop().time() + _LONGEST_SECONDS
    sending = asyncio.create_task(deliveries.wait_until_drained(deadline))
    stopping = asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait((sending, stopping), return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return sending in done and sending.result()
