"""Keeps the lines of a stack trace together, and with the line of the log that they belong to.

Known are the traces of Python (chained ones and exception groups too), of the JVM, JavaScript and .NET, whose
frames begin with ``at``, and of Go. What only may become a trace, such as ``ValueError: …`` on a line of its
own, waits for the next line; so does a line with a level of WARN or worse, which loggers write before the
trace. Whoever feeds lines decides for how long: ``flush`` ends the waiting.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TRACE_BYTES = 64 * 1024
"""A longer trace becomes several records, as a longer line does."""

_PYTHON = re.compile(rb"\s*(?P<group>\+ Exception Group )?Traceback \(most recent call last\):")
_CHAINED = re.compile(
    rb"During handling of the above exception, another|The above exception was the direct cause"
)
_HEAD = re.compile(
    rb"Exception in thread "
    rb"|(?:Uncaught |Unhandled exception\. )?[A-Za-z_][\w.$]*(?:Exception|Error|Throwable)\b"
)
_FRAME = re.compile(
    rb"\s+at \S|\s*\.\.\. \d+ (?:more|common frames omitted)|\s*(?:Caused by|Suppressed): |\s+--- End of "
)
_GO = re.compile(rb"(?:panic|fatal error): ")
_GO_MORE = re.compile(rb"\s|goroutine |created by |exit status |\[signal |[\w./*()\[\]]+\(.*\)$")
_LEVEL = re.compile(rb"\b(?:WARN|WARNING|ERROR|SEVERE|CRITICAL|FATAL)\b|\blevel=\"?(?:warn|error|fatal)")
# All that the above can begin with, in one search: most lines of most programs are none of it.
_ANYTHING = re.compile(rb"Traceback|Exception|Error|Throwable|panic: |fatal error: |" + _LEVEL.pattern)
_WHERE_LEVELS_STAND = 120


class _State(Enum):
    """What the last of the lines that wait is."""

    LEVEL = auto()  # a line of a log
    HEAD = auto()  # what may be the first line of a trace with `at`
    AT = auto()  # a frame of such a trace
    PYTHON = auto()  # a line of a traceback, above its last one
    GROUP = auto()  # the same of an exception group, all of which is indented
    RAISED = auto()  # the last line of a traceback: the exception
    CHAINED = auto()  # what Python writes between two tracebacks
    GO = auto()


class TraceGatherer:
    """Takes lines, gives records: lines as they came, and stack traces with line ends in them."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0
        self._state: _State | None = None
        self._is_trace = False

    @property
    def waits(self) -> bool:
        """Whether there are lines whose continuation may be yet to come."""
        return bool(self._lines)

    def feed(self, line: bytes) -> Iterator[bytes]:
        """Yield the records that are complete now that this line has come."""
        if self._state is None and not _ANYTHING.search(line):
            yield line
            return
        state = _continued(self._state, line)
        if state is None:
            yield from self.flush()
            state = _begun(line)
        if state is None:
            yield line
            return
        if self._size + len(line) > MAX_TRACE_BYTES:
            is_trace = self._is_trace
            yield from self.flush()
            self._is_trace = is_trace
        self._state = state
        self._is_trace |= state not in {_State.LEVEL, _State.HEAD}
        self._lines.append(line)
        self._size += len(line) + 1

    def flush(self) -> Iterator[bytes]:
        """Yield what waits: one record where it is a trace, else each line as it came."""
        lines, is_trace = self._lines, self._is_trace
        self._lines, self._size, self._state, self._is_trace = [], 0, None, False
        if is_trace:
            yield b"\n".join(lines).rstrip()
        else:
            yield from lines


def _begun(line: bytes) -> _State | None:
    """Return the state that a line begins by itself; None where it is a line like any other."""
    python = _PYTHON.match(line)
    if python:
        return _State.GROUP if python["group"] else _State.PYTHON
    if _GO.match(line):
        return _State.GO
    if line.startswith(b"{"):
        return None  # JSON holds its trace itself
    if _LEVEL.search(line, 0, _WHERE_LEVELS_STAND):
        return _State.LEVEL
    return _State.HEAD if _HEAD.match(line) else None


def _continued(state: _State | None, line: bytes) -> _State | None:
    """Return the state after a line that belongs to those that wait; None where it does not."""
    return None if state is None else _AFTER[state](line)


def _after_level(line: bytes) -> _State | None:
    begun = _begun(line)
    return _after_head(line) or (None if begun is _State.LEVEL else begun)


def _after_head(line: bytes) -> _State | None:
    return _State.AT if _FRAME.match(line) else None


def _after_frame(line: bytes) -> _State | None:
    return _State.AT if _FRAME.match(line) or _is_indented(line) else None


def _after_python(line: bytes) -> _State | None:
    if not line.strip():
        return None
    return _State.PYTHON if _is_indented(line) else _State.RAISED


def _after_group(line: bytes) -> _State | None:
    return _State.GROUP if _is_indented(line) else None


def _after_raised(line: bytes) -> _State | None:
    if _CHAINED.match(line):
        return _State.CHAINED
    return _State.RAISED if not line.strip() or _is_indented(line) else None


def _after_chained(line: bytes) -> _State | None:
    return _begun(line) if _PYTHON.match(line) else None if line.strip() else _State.CHAINED


def _after_go(line: bytes) -> _State | None:
    return _State.GO if not line.strip() or _GO_MORE.match(line) else None


def _is_indented(line: bytes) -> bool:
    return line[:1] in {b" ", b"\t"} and not line.isspace()


_AFTER = {
    _State.LEVEL: _after_level,
    _State.HEAD: _after_head,
    _State.AT: _after_frame,
    _State.PYTHON: _after_python,
    _State.GROUP: _after_group,
    _State.RAISED: _after_raised,
    _State.CHAINED: _after_chained,
    _State.GO: _after_go,
}
