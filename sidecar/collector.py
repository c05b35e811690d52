"""Starts the Collector, watches it, starts it again when it dies, and stops it last."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import signal
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.collector import start as configuration
from sidecar import metrics, queue_size, tether
from sidecar.settings import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from sidecar.forward import CollectorClient
    from sidecar.metrics import SelfMetrics

_log = logging.getLogger("sidecar.collector")

START_SECONDS: Final = 20.0
_FIRST_BACK_OFF_SECONDS, _LONGEST_BACK_OFF_SECONDS = 0.2, 10.0
# Where the sidecar is told to end with its Collector.
GIVE_UP_DEATHS: Final = 5
# A Collector that lived so long starts anew without back-off, and its deaths are counted anew.
_SETTLED_SECONDS = 30.0
# With the drain's 25 s this is under ECS's default stopTimeout of 30 s. What is left stays on disk.
_STOP_SECONDS = 4.0
_REMEMBERED_LINES = 40
_LONGEST_WORDS = 1000
_GO_LOG_LINE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
# Secrets that only the sidecar needs.
_NOT_FOR_THE_COLLECTOR = (
    semconv.ENV_PREFECT_API_URL.name,
    semconv.ENV_PREFECT_API_KEY.name,
    semconv.ENV_PREFECT_API_AUTH_STRING.name,
    semconv.ENV_PREFECT_CLIENT_CUSTOM_HEADERS.name,
)


class CollectorError(RuntimeError):
    """Raised when the Collector cannot be started; the text has its own last words."""


def environment(
    environ: Mapping[str, str], task_id: str | None, telemetry: Address, door: Address | None, data_dir: Path
) -> dict[str, str]:
    """Return the Collector's environment.

    Args:
        environ: the sidecar's.
        task_id: of the ECS task: the log stream, where none is set.
        telemetry: where the Collector shows its own metrics.
        door: where the sidecar takes OTLP/gRPC: segments of X-Ray SDKs go there too. None where it takes
            nothing: then the Collector takes none of those either, on ports that nobody knows.
        data_dir: folder of the queues.
    """
    own = dict(environ)
    for name in _NOT_FOR_THE_COLLECTOR:
        own.pop(name, None)
    # Two sidecars may share a network, and so the names of abstract sockets: on a laptop, in bridge mode.
    own[semconv.ENV_COLLECTOR_SOCKET.name] = f"otel-prefect-{os.getpid()}-{secrets.token_hex(4)}"
    own[semconv.ENV_COLLECTOR_METRICS_PORT.name] = str(telemetry.port)
    own[semconv.ENV_DATA_DIR.name] = str(data_dir)
    # The sidecar's own door takes what comes, see sidecar.statsd.
    own[semconv.ENV_STATSD_ENDPOINT.name] = str(free_loopback_address(socket.SOCK_DGRAM))
    own |= _without_door() if door is None else {semconv.ENV_XRAY_SDK_TARGET.name: str(_reachable(door))}
    if task_id and not own.get(semconv.ENV_LOG_STREAM.name):
        own[semconv.ENV_LOG_STREAM.name] = task_id
    if not own.get(semconv.ENV_QUEUE_BYTES.name):
        queues = len(configuration.layers(own)) + 1  # one is that of the X-Ray SDKs
        own[semconv.ENV_QUEUE_BYTES.name] = str(queue_size.of_each(data_dir / "queue", queues))
    return configuration.environment(own)


def _reachable(door: Address) -> Address:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - an address to translate, not to bind
    return Address(everywhere.get(door.host, door.host), door.port)


def _without_door() -> dict[str, str]:
    names = (semconv.ENV_XRAY_UDP_ENDPOINT, semconv.ENV_XRAY_PROXY_ENDPOINT)
    return {variable.name: str(free_loopback_address()) for variable in names}


class ManagedCollector:
    """The Collector's process.

    Args:
        program: the Collector.
        environ: its environment, see :func:`environment`.
        client: reaches its receiver; tells when it is ready.
        numbers: count starts, and show whether it is up.
        on_restart: called before it is started again.
    """

    def __init__(
        self,
        program: Path,
        environ: Mapping[str, str],
        client: CollectorClient,
        numbers: SelfMetrics,
        on_restart: Callable[[], None],
    ) -> None:
        self._program = program
        self._environ = dict(environ)
        self._client = client
        self._numbers = numbers
        self._on_restart = on_restart
        self._last_lines: deque[str] = deque(maxlen=_REMEMBERED_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._given_up = asyncio.Event()
        self._wanted = False  # its end is: it is no death
        self._why = ""
        self.deaths = 0
        self.ready = False

    async def start(self, environ: Mapping[str, str] | None = None) -> None:
        """Start it, and go on watching it once it takes data.

        Args:
            environ: in place of the environment that it was made with.

        Raises:
            CollectorError: it ended, or took no data within START_SECONDS.
        """
        if environ is not None:
            self._environ = dict(environ)
        await self._start_once()
        self._watcher = asyncio.create_task(self._watch())

    def problem(self) -> str | None:
        """Tell why it takes no data now; None while it does."""
        if self.ready:
            return None
        if self.deaths == 0:
            return "the Collector is starting"
        return f"the Collector ended {self.deaths} times in a row; last: {self._why}"

    async def restart(self, environ: Mapping[str, str] | None = None) -> None:
        """End it; the watcher starts it again at once, and it goes on with its queues.

        Args:
            environ: its new environment; None leaves it as it is.
        """
        if environ is not None:
            self._environ = dict(environ)
        if self._process is None or self._process.returncode is not None:
            return  # it is being started as it is
        self._set_ready(False)
        self._wanted = True
        await self._end(_STOP_SECONDS)

    async def wait_given_up(self) -> None:
        """Wait until it ended GIVE_UP_DEATHS times in a row."""
        await self._given_up.wait()

    async def stop(self, timeout: float = _STOP_SECONDS) -> None:
        """End it: by SIGTERM, so that it flushes; by SIGKILL after ``timeout`` seconds."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        self._set_ready(False)
        await self._end(timeout)

    async def _start_once(self) -> None:
        self._numbers.add(metrics.COLLECTOR_STARTS, 1)
        self._last_lines.clear()
        arguments = configuration.arguments(self._environ)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), str(self._program), *arguments,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for the sidecar, which stops it last
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read_stderr(self._process))
        ready = asyncio.create_task(self._client.ready(START_SECONDS))
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and ready.result():
                self._set_ready(True)
                return
            exited = ended.done()
            await self._end(timeout=1)
            what = f"ended with exit code {self._process.returncode}" if exited else "took no data in time"
            raise CollectorError(f"the Collector {what}: {self._last_words()}")
        finally:
            ready.cancel()
            ended.cancel()

    async def _watch(self) -> None:
        """Start it again whenever it ends."""
        loop = asyncio.get_running_loop()
        back_off = _FIRST_BACK_OFF_SECONDS
        started = loop.time()
        while True:
            assert self._process is not None, "watched only after it was started"  # noqa: S101 - an invariant
            code = await self._process.wait()
            self._set_ready(False)
            if loop.time() - started > _SETTLED_SECONDS:
                back_off, self.deaths = _FIRST_BACK_OFF_SECONDS, 0
            if self._wanted:
                self._wanted = False
            else:
                self._note_death(code, back_off)
                await asyncio.sleep(back_off)
                back_off = min(back_off * 2, _LONGEST_BACK_OFF_SECONDS)
            started = loop.time()
            self._on_restart()
            try:
                await self._start_once()
            except (CollectorError, OSError) as error:
                _log.error("%s", error)

    def _note_death(self, code: int, back_off: float) -> None:
        self.deaths += 1
        self._why = f"exit code {code}: {self._last_words()}"
        _log.error("the Collector ended (%s); starting it again in %.1f s", self._why, back_off)
        if self.deaths >= GIVE_UP_DEATHS:
            self._given_up.set()

    async def _end(self, timeout: float) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), timeout)
            except asyncio.TimeoutError:
                _log.error(
                    "the Collector did not end in %.0f s and is killed; its queues are on disk", timeout
                )
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        """Pass its log lines on as they are, and remember the last for an error of ours."""
        assert process.stderr is not None, "it was started with a pipe"  # noqa: S101 - an invariant
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # longer than the reader's limit: thrown away up to there
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._last_lines.append(text)
            if self.ready:
                sys.stderr.write(text + "\n")

    def _last_words(self) -> str:
        """Return what it said last, in one line: an error if there is one, else the last line."""
        return last_words(self._last_lines)

    def _set_ready(self, ready: bool) -> None:
        self.ready = ready
        self._numbers.set(metrics.COLLECTOR_UP, int(ready))


def last_words(lines: Iterable[str]) -> str:
    """Return the last error in a Collector's log as one line; its last line where there is none.

    Before its logger is there it writes plain text, an error over several lines (``Error: …``); afterwards
    a JSON object a line.
    """
    words, plain_error = "it said nothing", False
    found = False
    for line in lines:
        entry = _json_object(line)
        if entry is not None:
            plain_error = False
            if entry.get("level") in ("error", "fatal", "dpanic", "panic"):
                words, found = " ".join(str(entry[key]) for key in ("msg", "error") if entry.get(key)), True
            elif not found:
                words = line
        elif line.startswith(("Error:", "panic:", "fatal error:")):
            words, found, plain_error = line, True, True
        elif _GO_LOG_LINE.match(line):  # says the same once more
            plain_error = False
        elif plain_error:
            words += " " + line.strip()
        elif not found and line:
            words = line
    return words[:_LONGEST_WORDS].strip()


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def free_loopback_address(kind: socket.SocketKind = socket.SOCK_STREAM) -> Address:
    """Return a loopback address on which nothing listens now, of TCP or UDP."""
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", probe.getsockname()[1])
