"""The folder of a sidecar's queues, which may stand beside those of other tasks, on EFS.

A task that is lost, with its host or by ``kill -9``, leaves its queues there. Whose sidecar lives is told by
a lock that ends with its process, on whatever machine (EFS has NFS 4.1's locks,
https://docs.aws.amazon.com/efs/latest/ug/mounting-fs-nfs-mount-settings.html). So what is left is sent by
one other, see ``left_behind``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
from dataclasses import dataclass, field
from itertools import count
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK: Final = "lock"
# Between a task and the number of its folder, where it needs another. Not in any task's id.
_AGAIN: Final = "+"


@dataclass
class DataFolder:
    """A folder that this process has to itself, as long as it lives.

    Attributes:
        path: where the Collector keeps its queues.
        owner: the task whose data it is.
    """

    path: Path
    owner: str
    _lock: IO[bytes] | None = field(default=None, repr=False)

    def release(self, *, empty: bool) -> None:
        """Let others have it; where nothing is left in it, it is removed. Done once.

        Args:
            empty: whether all that was in the queues has been sent.
        """
        lock, self._lock = self._lock, None
        if lock is None:
            return
        with lock:
            if empty:
                # While the lock is held: who takes it afterwards finds that the folder is gone.
                shutil.rmtree(self.path, ignore_errors=True)


def own(root: Path, task_id: str | None, *, shared: bool) -> DataFolder:
    """Return the folder of this task's queues.

    Args:
        root: the folder that was configured.
        task_id: of the ECS task; elsewhere the host's name and the process's id stand for it.
        shared: whether other tasks have the same root: then this task's is a folder in it.

    Raises:
        OSError: the folder cannot be made.
    """
    if not shared:
        return DataFolder(root, task_id or "")
    name = task_id or f"{socket.gethostname()}-{os.getpid()}"
    for attempt in count(1):
        # A sidecar that starts again in its task goes on with what it left, unless that is being sent.
        folder = root / (name if attempt == 1 else f"{name}{_AGAIN}{attempt}")
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder)
        if lock is not None:
            return DataFolder(folder, name, lock)
    raise AssertionError("there are no more numbers")


def left(root: Path) -> Iterator[DataFolder]:
    """Yield the folders whose sidecars live no more, one at a time, each to be released."""
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted(each for each in root.iterdir() if each.is_dir()):
            lock = _locked(folder) if (folder / _LOCK).is_file() else None
            if lock is not None:
                yield DataFolder(folder, folder.name.partition(_AGAIN)[0], lock)


def _locked(folder: Path) -> IO[bytes] | None:
    """Return a folder's lock, held until it is closed; None where another process holds it."""
    path = folder / _LOCK
    try:
        # Written to, since NFS gives an exclusive lock for no less.
        lock = path.open("ab")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = path.stat()
    except OSError:
        there = None
    if there is None or there.st_ino != os.fstat(lock.fileno()).st_ino:
        lock.close()  # held by another, or removed while it was waited for
        return None
    return lock
