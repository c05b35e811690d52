"""Child processes that never outlive the run that started them.

A `Processes` owns everything that it started: each child is the leader of its own
process group, writes to its own log file, and is stopped when the owner is closed,
whether the run ended well, raised, or was interrupted. What a child has started itself
goes with it, as in a container: even in a session of its own (Prefect's engine is) it
carries the child's mark in its environment.
"""

from __future__ import annotations

import itertools
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType, TracebackType

LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.05
_TAIL_LINES = 12

# Below those that Linux gives to who connects (net.ipv4.ip_local_port_range, from 32768): nobody gets such a
# port by chance before its server starts, or while that starts again; nor does who connects to it meanwhile
# get it as its own, connected to itself. Each process begins at a random place and gives none twice.
_PORTS = range(12_000, 32_000)
_first_port = random.randrange(len(_PORTS))  # noqa: S311 - no secret
_next_ports = itertools.cycle((*_PORTS[_first_port:], *_PORTS[:_first_port]))

_MARK = "DEMO_PROCESS"
# A process that is just forking may be missed by one look.
_LOOKS = 5

# What would lead a child to the user's own accounts, servers or telemetry instead of the stand-ins.
_FOREIGN_PREFIXES = ("AWS_", "OTEL_", "PREFECT_", "DBT_")
_FOREIGN_NAMES = ("OTELCOL_BIN", "TRACEPARENT", "SOURCE", "STAGE", "LOG_CORRELATION_ID")
_KEPT_NAMES = ("AWS_CA_BUNDLE",)

# Loopback is never behind a proxy, whatever the environment says: use this for stand-ins.
direct = build_opener(ProxyHandler({}))


class StartError(Exception):
    """Raised when a part does not come up; the text names it and ends with the tail of its own log."""


@dataclass
class Process:
    """A child process that was started by a `Processes`.

    Attributes:
        name: what people call it, for messages.
        pid: its process id, which is also the id of its process group.
        log: the file that takes its stdout and stderr.
        grace: seconds between SIGTERM and SIGKILL when it is stopped.
        mark: what its environment, and that of all that it starts, is known by.
    """

    name: str
    pid: int
    log: Path
    grace: float
    mark: str
    _popen: subprocess.Popen[bytes] = field(repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def exit_code(self) -> int | None:
        """Return how it ended (a negative signal number where a signal ended it), None while it runs."""
        if self._popen.returncode is not None:
            return self._popen.returncode
        # WNOWAIT leaves the zombie in place: as long as it is there, its process group id cannot
        # be given to anybody else, so stop() can safely signal the whole group.
        with self._lock:
            if self._popen.returncode is not None:
                return self._popen.returncode
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def wait(self, timeout: float) -> int | None:
        """Wait up to ``timeout`` seconds for its end; return what `exit_code` then returns."""
        deadline = time.monotonic() + timeout
        while (code := self.exit_code()) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return code

    def terminate(self) -> None:
        """Ask it, and it alone, to end (SIGTERM); its own children are its own business."""
        if self.exit_code() is None:
            os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> int:
        """End it: SIGTERM, then after ``grace`` seconds SIGKILL; what it leaves behind is killed at once.

        Returns:
            Its exit code, as `exit_code` gives it. Stopping twice is harmless.
        """
        self.terminate()
        self.wait(self.grace)
        with self._lock:
            if self._popen.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                _kill_marked(self.mark)
                self._popen.wait()
        return self._popen.returncode

    def log_tail(self) -> str:
        """Return the last lines of its log, for a message."""
        lines = self.log.read_text(errors="replace").rstrip().splitlines()[-_TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"


class Processes:
    """Owner of child processes; use it in a ``with`` statement.

    Safe to use from several threads, so that parts can be started side by side.

    Args:
        log_folder: takes a file ``NAME.log`` for each process; made where it is missing.
    """

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._started: list[Process] = []
        self._lock = threading.Lock()
        self._closed = False

    def start(  # noqa: PLR0913 - each is one plain fact about the child, and all but two have defaults
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: Callable[[], bool] | None = None,
        timeout: float = 60.0,
        grace: float = 10.0,
    ) -> Process:
        """Start a process and wait until it is ready.

        Args:
            name: for messages, and of its log file.
            command: the program and its arguments; no shell.
            env: its whole environment; `environment` with nothing added where it is None.
            cwd: the folder that it runs in.
            ready: asked about 20 times a second whether the process can be used; None: at once.
            timeout: seconds that it may take to become ready.
            grace: seconds that it may take to end after SIGTERM.

        Returns:
            The running process.

        Raises:
            StartError: it cannot be started, ended before it was ready, or was not ready in time.
        """
        self._log_folder.mkdir(parents=True, exist_ok=True)
        log = self._log_folder / f"{name.replace(' ', '-')}.log"
        process = self._spawn(name, command, environment() if env is None else env, cwd, log, grace)
        began = time.monotonic()
        while ready is not None and not ready():
            seconds = time.monotonic() - began
            code = process.exit_code()
            if code is not None:
                raise StartError(
                    f"{name} did not start: it ended with code {code} after {seconds:.1f} s. "
                    f"Its log {log} ends:\n{process.log_tail()}"
                )
            if self._closed:
                raise StartError(f"{name} was not waited for: everything is being stopped")
            if seconds > timeout:
                process.stop()
                raise StartError(
                    f"{name} did not start: it was not ready within {timeout:.0f} s. "
                    f"Its log {log} ends:\n{process.log_tail()}"
                )
            time.sleep(_POLL_SECONDS)
        return process

    def run(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], visible: bool = False
    ) -> None:
        """Run a process to its end.

        Args:
            name: for messages, and of its log file.
            command: the program and its arguments; no shell.
            env: its whole environment.
            visible: have it write to this process's own terminal instead of its log.

        Raises:
            StartError: it cannot be started, or ended with another exit code than 0.
        """
        self._log_folder.mkdir(parents=True, exist_ok=True)
        log = self._log_folder / f"{name.replace(' ', '-')}.log"
        process = self._spawn(name, command, env, None, log, 5.0, visible=visible)
        while (code := process.wait(1.0)) is None:
            if self._closed:
                raise StartError(f"{name} was not waited for: everything is being stopped")
        if code != 0:
            tail = "" if visible else f" Its log {log} ends:\n{process.log_tail()}"
            raise StartError(f"{name} ended with code {code}.{tail}")

    def _spawn(  # noqa: PLR0913, PLR0917 - as start()
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | None,
        log: Path,
        grace: float,
        *,
        visible: bool = False,
    ) -> Process:
        # Signals are held so that none can fall between the start and the entry into the list.
        with signals_held(), self._lock:
            if self._closed:
                raise StartError(f"{name} was not started: everything is being stopped")
            mark = uuid4().hex
            try:
                with log.open("wb") as output:
                    popen = subprocess.Popen(
                        list(command),
                        env={**env, _MARK: mark},
                        cwd=cwd,
                        stdin=subprocess.DEVNULL,
                        stdout=None if visible else output,
                        stderr=None if visible else subprocess.STDOUT,
                        start_new_session=True,
                    )
            except OSError as error:
                raise StartError(f"{name} did not start: {shlex.join(command)}: {error}") from error
            process = Process(name, popen.pid, log, grace, mark, popen)
            self._started.append(process)
            return process

    def close(self) -> None:
        """Stop everything that was started, the last one first; nothing can be started afterwards."""
        with signals_held():
            with self._lock:
                self._closed = True
                started = list(reversed(self._started))
            # All are asked at once, so that the whole takes as long as the slowest.
            stopping = [threading.Thread(target=process.stop) for process in started]
            for thread in stopping:
                thread.start()
            for thread in stopping:
                thread.join()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _kill_marked(mark: str) -> None:
    """Kill every process that carries a mark; where there is no ``/proc`` none is found."""
    wanted = f"{_MARK}={mark}".encode()
    for _ in range(_LOOKS):
        found = False
        for folder in Path("/proc").glob("[0-9]*"):
            # The handle is taken first: it stays with the process whose environment is then read,
            # whoever gets the pid after it.
            with suppress(OSError), _handle(int(folder.name)) as handle:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    found = True
        if not found:
            return


@contextmanager
def _handle(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back while the block runs, and deliver them after it.

    For the few lines that must not be cut in half. Python delivers signals to its main
    thread only, so elsewhere there is nothing to hold. Handlers are swapped rather than
    signals blocked, because a child would inherit the blocked signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        held.append(number)

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for handled, handler in before.items():
            signal.signal(handled, handler)
        for number in held:
            signal.raise_signal(number)


def environment(additions: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for a child that leads it to nothing but the stand-ins.

    Args:
        additions: variables that are set over the inherited ones.

    Returns:
        This process's environment without the user's own AWS, OpenTelemetry, Prefect and dbt
        settings and without proxies for loopback, this Python's programs first on ``PATH``, with
        ``additions``.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_NAMES or not (name.startswith(_FOREIGN_PREFIXES) or name in _FOREIGN_NAMES)
    }
    return {
        **kept,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath))),
        "NO_PROXY": f"{LOOPBACK},localhost",
        "no_proxy": f"{LOOPBACK},localhost",
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        **(additions or {}),
    }


def free_port(first: int = 0, last: int = 0, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of loopback that is free now.

    Args:
        first: the lowest port to try; 0 for any.
        last: the highest port to try.
        kind: ``SOCK_STREAM`` for TCP, ``SOCK_DGRAM`` for UDP.

    Raises:
        StartError: every port of the range is taken.
    """
    ports = range(first, last + 1) if first else itertools.islice(_next_ports, len(_PORTS))
    for port in ports:
        with socket.socket(type=kind) as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    where = f"between {first} and {last}" if first else f"between {_PORTS[0]} and {_PORTS[-1]}"
    raise StartError(f"no port of {LOOPBACK} is free {where}; end what holds them")


def answers(url: str, status: int = 200) -> Callable[[], bool]:
    """Return a check for `Processes.start`: whether a GET of ``url`` is answered with ``status``."""

    def check() -> bool:
        try:
            with direct.open(url, timeout=2) as response:
                return bool(response.status == status)
        except HTTPError as error:
            return error.code == status
        except (URLError, OSError):
            return False

    return check


def listens(port: int) -> Callable[[], bool]:
    """Return a check for `Processes.start`: whether a TCP port of loopback takes connections."""

    def check() -> bool:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            return False
        return True

    return check
