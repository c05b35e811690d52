"""The sidecar and its Collector need no privileges, and write to the data folder only."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import otlp, sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sidecar import RunningSidecar

TRACE, SPAN = "3c32c20299554b90b9365fbd34f1a6d5", "53995c3f42cd8ad8"
FOLDERS = ("home", "tmp", "work")
# As root, without any of root's capabilities: what others may not write, it may not either.
WITHOUT_PRIVILEGES = ("setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningSidecar]:
    """A sidecar without privileges, whose folders are all new and whose working folder cannot be written."""
    home, tmp, work = (tmp_path / name for name in FOLDERS)
    for folder in (home, tmp, work):
        folder.mkdir()
    work.chmod(0o555)
    variables = {
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "PYTHONPATH": str(sidecar.ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OTEL_PREFECT_TRACES": "otlp",
        "OTEL_PREFECT_OTLP_ENDPOINT": "127.0.0.1:1",
    }
    environ = sidecar.environment(tmp_path / "data", **variables)
    with sidecar.healthy(sidecar.launch(tmp_path, environ, unprivileged(), work)) as started:
        yield started


def unprivileged() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    assert shutil.which("setpriv"), "setpriv (util-linux) is needed to run this test as root"
    return WITHOUT_PRIVILEGES


def capabilities(pid: int) -> set[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split()[1] for line in lines if line.startswith(("CapEff", "CapPrm"))}


def files_open_to_write(pid: int) -> set[Path]:
    """Return the regular files that a process holds open to write, but for its standard streams."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            target = descriptor.readlink()
            info = (Path(f"/proc/{pid}/fdinfo") / descriptor.name).read_text()
            flags = int(next(line.split()[1] for line in info.splitlines() if line.startswith("flags")), 8)
            if int(descriptor.name) > 2 and target.is_file() and flags & (os.O_WRONLY | os.O_RDWR):
                found.add(target)
    return found


def test_it_needs_no_privileges_and_writes_to_its_data_folder_only(
    running: RunningSidecar, tmp_path: Path
) -> None:
    body = otlp.traces({"service.name": "flow"}, otlp.span("load", TRACE, SPAN)).SerializeToString()
    connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=20)
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    assert connection.getresponse().status == 200
    connection.close()
    pids = (running.process.pid, running.collector_pid())
    assert capabilities(pids[0]) | capabilities(pids[1]) == {"0" * 16}
    data = tmp_path / "data"
    written = files_open_to_write(pids[0]) | files_open_to_write(pids[1])
    assert written
    assert all(path.is_relative_to(data) for path in written), written
    assert [list((tmp_path / name).iterdir()) for name in FOLDERS] == [[], [], []]
