"""A network of the test's own, as a task of ECS has one: the ports that are written down are free in it."""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET: Final = 0x40000000  # sched.h


@contextmanager
def own_network() -> Iterator[None]:
    """Have the calling thread, and what it starts, be in a network that has a loopback and nothing else.

    Raises:
        PermissionError: only root may have one (CAP_SYS_ADMIN).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _checked(libc.unshare(_CLONE_NEWNET))
        try:
            subprocess.run(("ip", "link", "set", "lo", "up"), check=True)  # noqa: S607
            yield
        finally:
            _checked(libc.setns(before, _CLONE_NEWNET))
    finally:
        os.close(before)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
