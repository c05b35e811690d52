"""Takes StatsD lines, and passes on to the Collector those that mean something; the others are counted.

The Collector's receiver adds them up, but does not say what it leaves out, takes a negative count from the
sum, has two changes of a gauge where DogStatsD means two values, and makes a label of a container's id.

Protocols: https://github.com/statsd/statsd/blob/master/docs/metric_types.md and
https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/, without events, service checks and sets.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import socket
import time
from typing import TYPE_CHECKING, Final

from sidecar import metrics

if TYPE_CHECKING:
    from sidecar.metrics import SelfMetrics
    from sidecar.settings import Address

_log = logging.getLogger("sidecar")

AGGREGATION_SECONDS: Final = 2.0
"""How long the Collector adds up before it sends; what it has then is lost if it is ended before."""
_COUNTER, _GAUGE = b"c", b"g"
_TYPES: Final = frozenset({_COUNTER, _GAUGE, b"ms", b"h", b"d"})
_NUMBER: Final = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
# Beyond it whole numbers are no longer told apart, and a time in ms or a size in bytes is none.
_LARGEST: Final = 2.0**53
_LONGEST_NAME: Final = 255
_SHOWN: Final = 80
# Of a container, not of a measurement: a label of each would be a series of each.
_ORIGIN: Final = (b"c:", b"e:", b"card:")
# The kernel keeps what comes while we do something else; it gives less where net.core.rmem_max says so.
_BUFFER_BYTES: Final = 4 * 1024 * 1024


class NoMeasurement(Exception):  # noqa: N818 - a finding on what others send
    """Raised for a line that is not passed on; the text is the reason, one of a few."""


class StatsdDoor(asyncio.DatagramProtocol):
    """The sidecar's UDP port for StatsD.

    Args:
        numbers: count the lines.
        collector: where the Collector's receiver listens.
    """

    def __init__(self, numbers: SelfMetrics, collector: Address) -> None:
        self._numbers = numbers
        self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._sender.connect((collector.host, collector.port))  # or it would not be told that nobody listens
        self._said: set[str] = set()
        self._last_line = -math.inf

    @classmethod
    async def open(cls, listener: socket.socket, numbers: SelfMetrics, collector: Address) -> StatsdDoor:
        """Take what comes to a bound socket; it is closed with the door."""
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        loop = asyncio.get_running_loop()
        _, door = await loop.create_datagram_endpoint(lambda: cls(numbers, collector), sock=listener)
        return door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what closes the socket."""
        self._transport = transport

    def datagram_received(self, data: bytes, _: object) -> None:
        """Pass on the lines of a packet, in one packet."""
        lines = []
        for line in data.split(b"\n"):
            if not line.strip():
                continue
            try:
                lines.append(checked(line.rstrip(b"\r")))
            except NoMeasurement as error:
                self._refuse(str(error), line)
        if lines:
            self._pass_on(b"\n".join(lines), sum(line.count(b"\n") + 1 for line in lines))

    def error_received(self, _: Exception) -> None:
        """Leave it: a socket that only receives has no error to tell of."""

    async def close(self) -> None:
        """Take no more, and wait until the Collector has sent what was passed on to it."""
        self._transport.close()
        self._sender.close()
        left = self._last_line + AGGREGATION_SECONDS * 1.2 - time.monotonic()
        await asyncio.sleep(max(left, 0))

    def _pass_on(self, packet: bytes, lines: int) -> None:
        try:
            self._sender.send(packet)
        except OSError:
            self._numbers.add(metrics.STATSD_REFUSED, lines, reason="not sent")
            return
        self._last_line = time.monotonic()
        self._numbers.add(metrics.STATSD_LINES, lines)

    def _refuse(self, reason: str, line: bytes) -> None:
        self._numbers.add(metrics.STATSD_REFUSED, 1, reason=reason)
        if reason in self._said:
            return
        self._said.add(reason)
        _log.warning(
            "StatsD: a line is left out (%s): %r; more like it are counted in %s",
            reason,
            line[:_SHOWN].partition(b"|#")[0].decode(errors="replace"),  # tags may hold what is private
            metrics.STATSD_REFUSED.name,
        )


def checked(line: bytes) -> bytes:
    """Return a line as the Collector's receiver takes it: several, where it has several values.

    Args:
        line: ``name:value|type``, with ``|@rate``, ``|#tag:value,…`` and ``|Ttimestamp`` if there are any.

    Raises:
        NoMeasurement: it is none, or its value cannot be.
    """
    head, *parts = line.split(b"|")
    name, colon, values = head.partition(b":")
    if line.startswith((b"_e{", b"_sc|")):
        raise NoMeasurement("event or service check")
    if not parts or not colon or not 0 < len(name) <= _LONGEST_NAME or not _is_text(line):
        raise NoMeasurement("no line of StatsD")
    kind, *more = parts
    if kind not in _TYPES:
        raise NoMeasurement("unknown type")
    kept = [part for part in more if not part.startswith(_ORIGIN)]
    rate = _rate_of(kept, kind)
    tail = b"|".join([kind, *kept])
    return b"\n".join(each for value in values.split(b":") for each in _lines(name, value, kind, rate, tail))


def _is_text(line: bytes) -> bool:
    try:
        return line.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _rate_of(parts: list[bytes], kind: bytes) -> float:
    """Return the sample rate, 1 where there is none; check the other parts too."""
    rate = 1.0
    for part in parts:
        if part.startswith(b"@"):
            if not _NUMBER.fullmatch(part[1:]) or not 0 < (rate := float(part[1:])) <= 1:
                raise NoMeasurement("sample rate")
        elif part.startswith(b"#"):
            if any(tag.startswith(b":") for tag in part[1:].split(b",")):
                raise NoMeasurement("tag without a name")
        elif not (part[:1] == b"T" and part[1:].isdigit() and kind in (_COUNTER, _GAUGE)):
            raise NoMeasurement("no line of StatsD")
    return rate


def _lines(name: bytes, value: bytes, kind: bytes, rate: float, tail: bytes) -> list[bytes]:
    if not _NUMBER.fullmatch(value):
        raise NoMeasurement("no number")
    number = float(value)
    if abs(number) / rate > _LARGEST:
        raise NoMeasurement("absurd number")
    if kind != _GAUGE and number < 0:
        raise NoMeasurement("negative")
    line = b"%s:%s|%s" % (name, value.lstrip(b"+"), tail)
    if kind != _GAUGE:
        return [line]
    if value.startswith(b"+"):
        raise NoMeasurement("change of a gauge")
    # To the receiver a sign is a change, so the way to a value below zero leads over zero.
    return [b"%s:0|%s" % (name, tail), line] if value.startswith(b"-") else [line]
