"""What program a Python process runs, and whether that is Prefect's own or Ray's, by its command line."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def program(command_line: Sequence[str] | None = None) -> str:
    """Return what a Python interpreter was asked to run, without folder and ending; empty for code as text.

    Args:
        command_line: interpreter and arguments; the process's own where it is None.
    """
    arguments = iter((sys.orig_argv if command_line is None else command_line)[1:])
    for argument in arguments:
        if argument == "-m":
            return next(arguments, "")
        if argument in ("-c", "-"):
            return ""
        if argument in ("-W", "-X"):
            next(arguments, "")
        elif not argument.startswith("-"):
            return PurePath(argument).stem
    return ""


def is_module(command_line: Sequence[str] | None = None) -> bool:
    """Tell whether a module is run, as ``python -m`` does, and no file.

    Args:
        command_line: interpreter and arguments; the process's own where it is None.
    """
    own = sys.orig_argv if command_line is None else command_line
    name = program(own)
    return bool(name) and name in own and own[own.index(name) - 1] == "-m"


def is_prefects_own(command_line: Sequence[str] | None = None) -> bool:
    """Tell whether a process is Prefect's engine, worker, server or command line.

    Args:
        command_line: interpreter and arguments; the process's own where it is None.
    """
    name = program(command_line)
    return name == "prefect" or name.startswith("prefect.") or is_prefect_server(command_line)


def is_ray_worker(command_line: Sequence[str] | None = None) -> bool:
    """Tell whether a process is one in which Ray runs tasks.

    Args:
        command_line: interpreter and arguments; the process's own where it is None.
    """
    own = sys.orig_argv if command_line is None else command_line
    # `ray._private.services.start_raylet` has the raylet start it so.
    return any(PurePath(argument).parts[-2:] == ("workers", "default_worker.py") for argument in own)


def is_prefect_server(command_line: Sequence[str] | None = None) -> bool:
    """Tell whether a process is a Prefect server, one that a flow has started for itself too.

    Args:
        command_line: interpreter and arguments; the process's own where it is None.
    """
    own = sys.orig_argv if command_line is None else command_line
    # https://docs.prefect.io/v3/api-ref/cli/server; the other is what it starts in turn
    # (`SubprocessASGIServer` in prefect.server.api.server).
    started = program(own) == "prefect" and "server" in own and "start" in own
    return started or any(argument.startswith("prefect.server") for argument in own)
