"""Finds log lines that a process wrote to its own output and that no destination ever got.

The witness knows only what was sent. What a process has logged and never sent (it was killed,
it replaced itself by another program, its buffer was full) stands in its own output alone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# What all log formats of the pipeline have in common: Prefect's, logging.basicConfig's, plain ones.
_LOG_LINE: Final = re.compile(r"\b(INFO|WARNING|ERROR|CRITICAL)\b")


def log_lines(output: str) -> list[str]:
    """Return the text of each log line in a process's output, in order.

    Args:
        output: a line a record; dbt's JSON events count with their message. Lines that no logger
            wrote (progress bars, tracebacks) are left out.
    """
    lines = []
    for line in output.splitlines():
        if line.startswith("{"):
            message = _dbt_message(line)
            if message:
                lines.append(message)
        elif _LOG_LINE.search(line):
            lines.append(line)
    return lines


def unheard(output: str, messages: Iterable[str]) -> Counter[str]:
    """Return the log lines of a process that are not among the messages that arrived.

    Args:
        output: what the process wrote to stdout and stderr.
        messages: of the records that a destination has of it. Each stands for one line that
            contains it; the longest are tried first, so that a short one takes no longer one's line.
    """
    arrived = Counter(message.strip() for message in messages if message.strip())
    ordered = sorted(arrived, key=len, reverse=True)
    missing: Counter[str] = Counter()
    for line in log_lines(output):
        found = next((message for message in ordered if arrived[message] and message in line), None)
        if found is None:
            missing[line] += 1
        else:
            arrived[found] -= 1
    return missing


def _dbt_message(line: str) -> str | None:
    try:
        return str(json.loads(line)["info"]["msg"]).strip()
    except (ValueError, KeyError, TypeError):
        return None
