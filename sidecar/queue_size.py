"""How many bytes a queue may hold, so that the disk is never full: then new data is refused in time.

A queue that is full refuses. A disk that is full is worse: the Collector's storage (bbolt) must write to read
and to delete, so it can neither take new data nor get rid of the old.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 2_000_000_000
# bbolt's files were measured at 1.1 times what they hold with requests of 50 KB, 3.1 times with 91 bytes.
_FILE_TO_CONTENT: Final = 4


def of_each(folder: Path, queues: int) -> int:
    """Return how many bytes each queue may hold.

    Args:
        folder: of the queues; it need not be there yet.
        queues: how many share the disk.

    Returns:
        An equal share of what is free on the disk or taken by the queues already, LARGEST at most.

    Raises:
        OSError: the disk cannot be asked.
    """
    there = folder
    while not there.exists():
        there = there.parent
    disk = os.statvfs(there)
    files = folder.iterdir() if folder.is_dir() else ()
    own = sum(file.stat().st_blocks * 512 for file in files)
    return min(LARGEST, (disk.f_bavail * disk.f_frsize + own) // (_FILE_TO_CONTENT * max(queues, 1)))
