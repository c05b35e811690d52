"""The sidecar's life, top to bottom: bind, start the Collector, take data, drain, say what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from otel_prefect import semconv
from otel_prefect.collector import destination
from otel_prefect.collector import start as configuration
from sidecar import (
    accounts,
    collector,
    data_folder,
    grpc_server,
    health,
    http_server,
    log_lines,
    memory,
    metrics,
)
from sidecar.closing import Closer
from sidecar.delivery import DeliveryMonitor
from sidecar.ecs import TaskMetadata
from sidecar.enrichment import Enricher
from sidecar.finished_runs import FinishedRuns
from sidecar.forward import CollectorClient
from sidecar.grpc_server import BindError
from sidecar.held import Held
from sidecar.http1 import Server
from sidecar.intake import Intake, Room
from sidecar.open_spans import OpenSpans
from sidecar.otlp import METRICS
from sidecar.own_data import OwnData
from sidecar.prefect_api import PrefectApi
from sidecar.refusal import Refusal
from sidecar.retry_quota import RetryQuota
from sidecar.settings import address
from sidecar.statsd import StatsdDoor

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from sidecar.data_folder import DataFolder
    from sidecar.http1 import Handler
    from sidecar.settings import Address, Settings

_log = logging.getLogger("sidecar")

# Without ECS's word on the flow's container, the sidecar takes data until it was quiet for so long.
_QUIET_SECONDS = 0.5
_POLL_SECONDS = 0.1
# Of the drain's time, kept for emptying the queues.
_FLUSH_SECONDS = 5.0
# What is under way when the doors close may end within this.
_CLOSE_SECONDS = 1.0
# The last numbers, which come when all else is gone, are waited for so long.
_LAST_NUMBERS_SECONDS = 2.0
# How often the Collector's numbers are read while all is well.
_DELIVERY_SECONDS = 10.0


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit code.

    0 after a drain, whatever is left: Prefect's ECS observer may take another exit code of any container
    for a crash of the run. 1 when it could not start; then nothing was accepted.
    """
    log_lines.install()
    memory.keep_freed()
    try:
        asyncio.run(_run(settings))
    except (collector.CollectorError, configuration.CollectorNotFound, ValueError, OSError) as error:
        sys.stderr.write(f"sidecar: {error}\n")
        return 1
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        starting = asyncio.create_task(Sidecar.start(settings, stack))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return
        sidecar = starting.result()
        if settings.exit_with_collector and sidecar.managed is not None:
            given_up = asyncio.create_task(sidecar.managed.wait_given_up())
            await asyncio.wait((stopping, given_up), return_when=asyncio.FIRST_COMPLETED)
            given_up.cancel()
            if not stop.is_set():
                raise collector.CollectorError(str(sidecar.problem()))
        await stopping
        await sidecar.drain()


class Sidecar:
    """A running sidecar. Made by :meth:`start`; ended by :meth:`drain` and the stack's end."""

    def __init__(
        self,
        settings: Settings,
        metadata: TaskMetadata,
        client: CollectorClient,
        telemetry: Address,
        folder: DataFolder,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.numbers = metrics.SelfMetrics()
        self.metadata = metadata
        self.prefect = PrefectApi(settings.prefect_api)
        self.enricher = Enricher(
            settings.attributes, self.prefect.facts, metadata.container, settings.overwrite
        )
        self.client = client
        self.open_spans = OpenSpans()
        self.intake = Intake(
            self.enricher,
            self.prefect.first_answers,
            self._traces_taken,
            client,
            Room(settings.max_in_flight_bytes, self.numbers),
            self.numbers,
        )
        own_data = OwnData(self.intake)
        self.finished_runs = FinishedRuns(self.prefect.state, own_data)
        self.closer = Closer(self.open_spans, self.metadata, own_data)
        self.deliveries = DeliveryMonitor(telemetry)
        self.managed: collector.ManagedCollector | None = None
        self.held: Held | None = None
        self._draining = False
        self._doors = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, settings: Settings, stack: contextlib.AsyncExitStack) -> Sidecar:
        """Start everything; what was started is ended by the stack, last first.

        Raises:
            BindError: an address is taken.
            CollectorNotFound, CollectorError: there is no Collector, or it does not start.
        """
        http_socket = _listen(settings.http, semconv.ENV_HTTP_ENDPOINT.name, stack)
        health_socket = _listen(settings.health, semconv.ENV_HEALTH_ENDPOINT.name, stack)
        statsd_socket = None
        if settings.collector is None:
            statsd_socket = _listen(
                settings.statsd, semconv.ENV_STATSD_ENDPOINT.name, stack, socket.SOCK_DGRAM
            )
        telemetry = collector.free_loopback_address()
        metadata = TaskMetadata(settings.ecs_metadata_url)
        task = await metadata.attributes()
        task_id = str(task.get(semconv.AWS_ECS_TASK_ID, ""))
        own_folder = settings.data_shared and settings.collector is None
        folder = data_folder.own(settings.data_dir, task_id or None, shared=own_folder)
        stack.callback(folder.release, empty=False)
        told = await _with_layers(settings)
        environ = collector.environment(told, task_id, telemetry, settings.grpc, folder.path)
        target = (
            configuration.socket_target(environ) if settings.collector is None else str(settings.collector)
        )
        sidecar = cls(settings, metadata, CollectorClient(target), telemetry, folder)
        sidecar.enricher.task = {**settings.attributes, **task}
        stack.push_async_callback(sidecar.client.close)
        stack.push_async_callback(sidecar.prefect.close)
        stack.push_async_callback(metadata.close)
        grpc = grpc_server.create(settings, sidecar.intake)
        await _serve(
            health.routes(sidecar.problem, sidecar.numbers, sidecar.reasons_held), health_socket, stack
        )
        await sidecar._start_collector(environ, stack)
        await stack.enter_async_context(sidecar._doors)
        sidecar._doors.push_async_callback(grpc.stop, _CLOSE_SECONDS)
        await grpc.start()
        await _serve(http_server.routes(settings, sidecar.intake), http_socket, sidecar._doors)
        if statsd_socket is not None:
            receiver = address(environ, semconv.ENV_STATSD_ENDPOINT)
            door = await StatsdDoor.open(statsd_socket, sidecar.numbers, receiver)
            sidecar._doors.push_async_callback(door.close)
        stack.push_async_callback(sidecar._end_tasks)
        sidecar._spawn(sidecar._export_self_metrics())
        sidecar._spawn(sidecar.closer.watch())
        sidecar._spawn(sidecar.finished_runs.watch())
        _log.info("takes OTLP at grpc %s and http %s", settings.grpc, settings.http)
        return sidecar

    def _traces_taken(self, body: bytes, of_runs: bool) -> None:
        self.finished_runs.ended(self.open_spans.observe(body, of_runs=of_runs))

    def problem(self) -> str | None:
        """Tell why data cannot be taken and forwarded now; None while it can."""
        if self._draining:
            return "draining"
        if self.managed is not None:
            return self.managed.problem()
        return None

    def reasons_held(self) -> Mapping[str, str]:
        """Tell what is kept on disk since AWS refuses it: the reason by layer."""
        return {} if self.held is None else self.held.reasons

    async def drain(self) -> None:
        """Take data while the flow's container lives, have the queues emptied, print the accounts."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + self.settings.drain_seconds
        # What came in last must still get out: on Fargate the queues go with the task.
        last_call = deadline - min(_FLUSH_SECONDS, self.settings.drain_seconds / 2)
        self._draining = True
        _log.info("draining, for %g s at most", self.settings.drain_seconds)
        while loop.time() < last_call and await self._more_comes(started):
            await asyncio.sleep(_POLL_SECONDS)
        await self._doors.aclose()
        await self.closer.close_the_rest()
        await self.finished_runs.count_the_rest()
        if self.managed is not None:
            await self.deliveries.wait_until_drained(deadline)
            accounts.count(self.numbers, self.deliveries.total, self.reasons_held())
        await self._send_self_metrics()
        if self.managed is not None:
            await self._stop_collector(deadline)
        sys.stdout.write(json.dumps(accounts.of(self.numbers, self.deliveries.total)) + "\n")
        sys.stdout.flush()

    async def _stop_collector(self, deadline: float) -> None:
        """End the Collector once the last numbers are gone; an empty folder of its own goes with it.

        What a Collector has in a queue when it is ended stays there: the loop that
        an exporter feeds is closed first.
        """
        assert self.managed is not None, "asked for by its owner only"  # noqa: S101 - an invariant
        soon = asyncio.get_running_loop().time() + _LAST_NUMBERS_SECONDS
        empty = await self.deliveries.wait_until_drained(min(deadline, soon))
        await self.managed.stop()
        self.folder.release(empty=empty and self.settings.data_shared)

    async def _start_collector(self, environ: dict[str, str], stack: contextlib.AsyncExitStack) -> None:
        if self.settings.collector is not None:
            self.numbers.set(metrics.COLLECTOR_UP, 1)
            return
        program = configuration.find(environ)
        # Made before anything is waited for: from now on health says that it is starting.
        self.managed = collector.ManagedCollector(
            program, environ, self.client, self.numbers, self.deliveries.collector_restarted
        )
        stack.push_async_callback(self.managed.stop)
        self.held = Held(environ)
        await self.held.look()
        await self.managed.start(self.held.environ())
        self._spawn(self._read_deliveries())

    async def _more_comes(self, drain_started: float) -> bool:
        """Tell whether a sender lives, or segments of X-Ray SDKs are still on their way to our door."""
        if await self._senders_live(drain_started):
            return True
        return self.managed is not None and await self.deliveries.xray_sdk_pending()

    async def _senders_live(self, drain_started: float) -> bool:
        """Tell whether more data is to be expected: by ECS's word, else by whether any came lately."""
        others = await self.metadata.others_running()
        if others is not None:
            return others
        quiet_since = max(self.intake.last_request, drain_started)
        return self.intake.in_work > 0 or time.monotonic() - quiet_since < _QUIET_SECONDS

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read_deliveries(self) -> None:
        quota = RetryQuota(self.settings.retry_quota_seconds)
        while True:
            await asyncio.sleep(_DELIVERY_SECONDS)
            await self.deliveries.read()
            accounts.count(self.numbers, self.deliveries.total, self.reasons_held())
            now = asyncio.get_running_loop().time()
            if quota.running_out(self.deliveries.total, now) and self.managed is not None:
                _log.warning(
                    "AWS has taken nothing for %g s: the Collector is started anew, with its queues, before "
                    "its AWS SDK has used up its retries and gives up",
                    self.settings.retry_quota_seconds,
                )
                await self.managed.restart()
            if self._draining or self.held is None or self.managed is None:
                continue
            if await self.held.review(self.deliveries.total, now):
                await self.managed.restart(self.held.environ())

    async def _export_self_metrics(self) -> None:
        while True:
            await asyncio.sleep(self.settings.metric_interval_seconds)
            await self._send_self_metrics()

    async def _send_self_metrics(self) -> None:
        body, taken = self.numbers.otlp(self.enricher.task)
        with contextlib.suppress(Refusal):
            await self.client.export(METRICS, body, timeout=5)
            taken()


async def _with_layers(settings: Settings) -> Mapping[str, str]:
    """Return the environment, in which X-Ray's answer stands where the layer for traces is left to it."""
    if settings.collector is not None or not destination.is_asked_for(os.environ):
        return os.environ
    return await asyncio.to_thread(destination.with_picked, os.environ)


def _listen(
    address: Address,
    variable: str,
    stack: contextlib.AsyncExitStack,
    kind: socket.SocketKind = socket.SOCK_STREAM,
) -> socket.socket:
    """Take an address before anything else starts, so that a port in use is said at once."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = stack.enter_context(socket.socket(family, kind))
    try:
        if kind is socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        if kind is socket.SOCK_STREAM:
            listener.listen(128)
    except OSError as error:
        raise BindError(f"{variable}={address}: cannot listen there: {error.strerror}") from None
    return listener


async def _serve(
    routes: Mapping[tuple[str, str], Handler], listener: socket.socket, stack: contextlib.AsyncExitStack
) -> None:
    server = Server(routes)
    await server.start(listener)
    stack.push_async_callback(server.close, _CLOSE_SECONDS)
