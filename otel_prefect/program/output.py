"""Turns the bytes that a program writes into log records: lines, their levels, their JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber

from otel_prefect import semconv
from otel_prefect.log import fields as log_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.util.types import AnyValue

MAX_LINE_BYTES = 64 * 1024
"""A longer line becomes several records: CloudWatch takes 256 KB an event, JSON escapes can grow a line."""

_MAX_ATTRIBUTES = 32
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

_LEVELS = {
    "trace": SeverityNumber.TRACE,
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "notice": SeverityNumber.INFO2,
    "warn": SeverityNumber.WARN,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "severe": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
    "fatal": SeverityNumber.FATAL,
}
# Numbers of pino and bunyan, the JSON loggers that write a level as one.
_NUMERIC_LEVELS = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
_LEVEL_KEYS = ("level", "levelname", "severity", "log.level", "lvl")
_MESSAGE_KEYS = ("message", "msg", "event", "log", "text")

_WORDS = "|".join(_LEVELS)
# In upper case as a word of its own; or in any case in brackets, as `level=…`, or first before a colon.
_LEVEL_IN_TEXT = re.compile(
    rf"\b(?P<upper>{_WORDS.upper()})\b"
    rf"|(?i:\[(?P<bracket>{_WORDS})\]|\blevel=\"?(?P<logfmt>{_WORDS})\b|^(?P<start>{_WORDS}):)"
)
# The exception's own line in a stack trace; a class without Error or the like in its name is not told from
# other words, unless it has a module before it.
_EXCEPTION = re.compile(
    r"(?:Exception in thread \S+ |Uncaught |Unhandled exception\. |panic: )?"
    r"(?P<type>[A-Za-z_][\w$]*(?:\.[\w$]+)+|[A-Za-z_][\w$]*(?:Exception|Error|Throwable|Exit|Interrupt))"
    r"(?::\s+(?P<message>.*))?$"
)
# A level stands at the beginning of a line; further on the word is part of what is said.
_WHERE_LEVELS_STAND = 120


@dataclass(frozen=True)
class Line:
    """What one line says.

    Attributes:
        body: its message.
        severity: its level; None where none can be recognised.
        attributes: what else a JSON line holds: its plain values, at most 32. Of a stack trace, its
            exception.
        dbt_event: where the line is an event of ``dbt --log-format json``: all of it.
    """

    body: str
    severity: SeverityNumber | None = None
    attributes: Mapping[str, AnyValue] = field(default_factory=dict)
    dbt_event: Mapping[str, Any] | None = field(default=None, compare=False)


class LineSplitter:
    """Cuts a stream of bytes into lines, each at most ``MAX_LINE_BYTES`` long."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that are complete now, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield from _pieces(line.removesuffix(b"\r"))
        while len(self._rest) >= MAX_LINE_BYTES:
            yield self._rest[:MAX_LINE_BYTES]
            self._rest = self._rest[MAX_LINE_BYTES:]

    def end(self) -> Iterator[bytes]:
        """Yield what follows the last line end."""
        rest, self._rest = self._rest, b""
        yield from _pieces(rest)


def _pieces(line: bytes) -> Iterator[bytes]:
    for start in range(0, len(line), MAX_LINE_BYTES):
        yield line[start : start + MAX_LINE_BYTES]


def parse(line: bytes) -> Line | None:
    """Return what a line, or a stack trace of several, says; None for one with nothing but space.

    Bytes that are not UTF-8 become U+FFFD; colours of a terminal are taken out.
    """
    text = _ANSI.sub("", line.decode("utf-8", errors="replace")).rstrip()
    if not text.strip():
        return None
    if "\n" in text:
        return _parse_trace(text)
    if text.startswith("{"):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return _parse_text(text)
        return _parse_json(parsed, text)
    return _parse_text(text)


def _parse_text(text: str) -> Line:
    found = _LEVEL_IN_TEXT.search(text[:_WHERE_LEVELS_STAND])
    word = next((group for group in found.groups() if group), "") if found else ""
    return Line(text, _LEVELS.get(word.lower()))


def _parse_json(parsed: dict[str, Any], text: str) -> Line:
    info = parsed.get("info")
    if isinstance(info, dict) and isinstance(info.get("msg"), str):
        return _parse_dbt(info, parsed)
    body = next((parsed[key] for key in _MESSAGE_KEYS if isinstance(parsed.get(key), str)), text)
    level_key = next((key for key in _LEVEL_KEYS if key in parsed), None)
    attributes = {
        key: value
        for key, value in parsed.items()
        if _is_plain(value) and key not in (*_MESSAGE_KEYS, level_key, *log_fields.FIELDS)
    }
    return Line(
        body, _severity(parsed.get(level_key or "")), dict(list(attributes.items())[:_MAX_ATTRIBUTES])
    )


def _parse_trace(text: str) -> Line:
    """Read a stack trace: an error, unless the line of the log above it has another level."""
    exception = _exception_of(text.split("\n"))
    attributes: dict[str, AnyValue] = {}
    if exception is not None:
        attributes[semconv.EXCEPTION_TYPE] = exception["type"]
        if exception["message"]:
            attributes[semconv.EXCEPTION_MESSAGE] = exception["message"]
    return Line(text, _parse_text(text).severity or SeverityNumber.ERROR, attributes)


def _exception_of(lines: list[str]) -> re.Match[str] | None:
    """Return the exception that ended it: Python writes it last, others write it first."""
    is_python = any("Traceback (" in line for line in lines)
    ordered = reversed(lines) if is_python else lines
    return next((found for line in ordered if (found := _EXCEPTION.match(line))), None)


def _parse_dbt(info: dict[str, Any], event: dict[str, Any]) -> Line:
    """Read one event of ``dbt --log-format json``; its schema is dbt_common's ``EventInfo``."""
    data = event.get("data")
    node = data.get("node_info") if isinstance(data, dict) else None
    named = {
        semconv.DBT_EVENT: info.get("name"),
        semconv.DBT_INVOCATION_ID: info.get("invocation_id"),
        semconv.DBT_NODE_ID: node.get("unique_id") if isinstance(node, dict) else None,
    }
    attributes = {key: value for key, value in named.items() if isinstance(value, str) and value}
    return Line(_ANSI.sub("", info["msg"]), _severity(info.get("level")), attributes, event)


def _severity(level: object) -> SeverityNumber | None:
    if isinstance(level, int):
        level = _NUMERIC_LEVELS.get(level)
    return _LEVELS.get(level.lower()) if isinstance(level, str) else None


def _is_plain(value: object) -> bool:
    # OTLP's integers have 64 bits; NaN and infinities, which Python reads from JSON, are doubles.
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str | float)
