"""Copies a program's output to ours, and makes log records of it without holding the program up.

A thread for each stream does nothing but copy; what it has copied waits for one more thread, which makes the
records. A program that writes faster than that thread works is not slowed down: the records come later, and
beyond a bound the newest are dropped, which is said.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING, NamedTuple

from opentelemetry import _logs as logs_api
from opentelemetry import trace

from otel_prefect import runs, semconv
from otel_prefect.guard import never_raises
from otel_prefect.log import export as log_export
from otel_prefect.log.fields import Place
from otel_prefect.program.output import LineSplitter, parse
from otel_prefect.program.stack_traces import TraceGatherer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.trace import Span
    from opentelemetry.util.types import AnyValue

    from otel_prefect.program.dbt import DbtRun

_logger = logging.getLogger(__name__)

STREAMS = {1: "stdout", 2: "stderr"}

_CHUNK = 1024 * 1024
# Linux's F_SETPIPE_SZ; a pipe of 64 KiB is full before we are awake.
_SET_PIPE_SIZE = 1031
_USUAL_PIPE = 64 * 1024
# To wake up for every line costs ten times what copying it does: at most 250 times a second.
_GATHERING_SECONDS = 0.004
# Output that waits to become records: some seconds of a program that writes as fast as it can.
_BACKLOG_BYTES = 32 * 1024 * 1024
# The first lines of a trace wait so long for the rest.
_TRACE_SECONDS = 0.5
# After it was told that the time is up, the recorder counts what it has in hand. It may be waiting for a
# sidecar that is not there, though.
_SECONDS_TO_STOP = 0.5
# Records between two looks at whether they are sent; a quarter of what may wait in the SDK's queue.
_PACE = 4096
# By default a thread that computes is interrupted every 5 ms, and so long the copying would have to wait.
_SWITCH_SECONDS = 0.0005


class _Chunk(NamedTuple):
    """Output as it came.

    Attributes:
        stream: 1 or 2.
        data: empty at the stream's end.
        time: nanoseconds since 1970.
        after_gap: whether what came before it was dropped.
    """

    stream: int
    data: bytes
    time: int
    after_gap: bool


class _Backlog:
    """Output that waits to become log records. All methods may be called from any thread.

    Attributes:
        given_up: whether there is no time for more records.
    """

    def __init__(self) -> None:
        self.given_up = False
        self._chunks: deque[_Chunk] = deque()
        self._bytes = 0
        self._dropped_lines = 0
        self._gaps: set[int] = set()
        self._flooded: set[int] = set()
        self._changed = threading.Condition()

    def put(self, stream: int, data: bytes, *, flood: bool = False) -> None:
        """Add output, without waiting; drop it where too much is waiting already.

        Args:
            stream: 1 or 2.
            data: empty at the stream's end.
            flood: whether the program writes faster than it can be copied.
        """
        with self._changed:
            (self._flooded.add if flood else self._flooded.discard)(stream)
            if self.given_up or (data and self._bytes + len(data) > _BACKLOG_BYTES):
                self._dropped_lines += data.count(b"\n")
                self._gaps.add(stream)
                self._changed.notify_all()
                return
            self._chunks.append(_Chunk(stream, data, time.time_ns(), stream in self._gaps))
            self._gaps.discard(stream)
            self._bytes += len(data)
            self._changed.notify_all()

    def get(self, seconds: float | None) -> _Chunk | None:
        """Return the oldest, waiting for it; None where none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self.given_up, seconds)
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            self._bytes -= len(chunk.data)
            return chunk

    def wait_out_flood(self) -> None:
        """Wait while the program writes as fast as it can: whoever computes keeps the copying waiting."""
        if self._flooded:
            with self._changed:
                self._changed.wait_for(lambda: not self._flooded or self.given_up)

    def give_up(self) -> None:
        """Drop what waits, and all that comes."""
        with self._changed:
            self.given_up = True
            self._dropped_lines += sum(chunk.data.count(b"\n") for chunk in self._chunks)
            self._chunks.clear()
            self._changed.notify_all()

    def note_dropped(self, lines: int) -> None:
        """Count lines that were taken, and are no records."""
        with self._changed:
            self._dropped_lines += lines

    def dropped_lines(self) -> int:
        """Return how many lines have been dropped so far."""
        with self._changed:
            return self._dropped_lines


class Output:
    """The output of one program."""

    def __init__(
        self, name: str, span: Span, dbt: DbtRun | None, sources: Mapping[int, IO[bytes] | None]
    ) -> None:
        """Begin to copy.

        Args:
            name: of the program; the scope of its log records.
            span: of the program.
            dbt: is given dbt's events, if there is one.
            sources: the ends of its pipes: 1 → stdout, 2 → stderr.
        """
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._backlog = _Backlog()
        self._recorder = _Recorder(name, span, dbt, self._backlog, tuple(sources))
        self._pumps = [_Pump(source, target, self._backlog) for target, source in sources.items()]

    def finish(self, seconds_for_last_output: float, seconds_for_records: float) -> None:
        """Wait until all is copied and recorded, in bounded time, after the program has ended.

        Args:
            seconds_for_last_output: for what the program has left running with its output open.
            seconds_for_records: for making log records of what is there.
        """
        ends = time.monotonic() + seconds_for_last_output
        for pump in self._pumps:
            pump.join(max(0.0, ends - time.monotonic()))
            if pump.is_alive():
                self._backlog.put(pump.target, b"")
        self._recorder.join(seconds_for_records)
        self._backlog.give_up()
        self._recorder.join(_SECONDS_TO_STOP)
        dropped = self._backlog.dropped_lines()
        if dropped:
            _logger.warning(
                "%d lines of the program's output are missing among the log records: they came faster than "
                "records can be made. The output itself is whole",
                dropped,
            )


class _Pump(threading.Thread):
    """Copies one stream of the program to ours."""

    def __init__(self, source: IO[bytes] | None, target: int, backlog: _Backlog) -> None:
        super().__init__(daemon=True)
        assert source is not None, "the program was started without pipes"  # noqa: S101 - an invariant of ours
        self._pipe_size = _enlarged(source)
        self._source = source
        self.target = target
        self._backlog = backlog
        self.start()

    def run(self) -> None:
        while data := self._source.read(_CHUNK):
            try:
                _write_all(self.target, data)
            except OSError:
                # Nobody reads our output any more. Closing the pipe tells the program, as it would
                # have learned without us.
                self._source.close()
                break
            self._backlog.put(self.target, data, flood=len(data) >= self._pipe_size // 8)
            if len(data) < self._pipe_size // 2:
                time.sleep(_GATHERING_SECONDS)
        self._backlog.put(self.target, b"")


def _enlarged(pipe: IO[bytes]) -> int:
    """Make a pipe hold more, so that who writes to it need not wait for us; return what it holds."""
    # A user who is not root may have used up what all of its pipes may have.
    with contextlib.suppress(OSError):
        return fcntl.fcntl(pipe, _SET_PIPE_SIZE, _CHUNK)
    return _USUAL_PIPE


def _write_all(target: int, data: bytes) -> None:
    written = os.write(target, data)
    while written < len(data):
        written += os.write(target, memoryview(data)[written:])


@never_raises({})
def _identity(span: Span) -> dict[str, AnyValue]:
    return dict(log_export.identity(Place(runs.of_process().current(), span.get_span_context())))


class _Recorder(threading.Thread):
    """Makes a log record of each line, and one of each stack trace."""

    def __init__(
        self, name: str, span: Span, dbt: DbtRun | None, backlog: _Backlog, streams: tuple[int, ...]
    ) -> None:
        super().__init__(daemon=True)
        self._dbt = dbt
        self._backlog = backlog
        self._open = set(streams)
        self._splitters = {stream: LineSplitter() for stream in streams}
        self._gatherers = {stream: TraceGatherer() for stream in streams}
        self._logger = logs_api.get_logger(name)
        self._context = trace.set_span_in_context(span)
        identity = _identity(span)
        self._attributes = {stream: {**identity, semconv.LOG_STREAM: STREAMS[stream]} for stream in streams}
        self._emitted = 0
        self.start()

    def run(self) -> None:
        while self._open and not self._backlog.given_up:
            waits = any(gatherer.waits for gatherer in self._gatherers.values())
            chunk = self._backlog.get(_TRACE_SECONDS if waits else None)
            if chunk is None:
                for stream, gatherer in self._gatherers.items():
                    self._emit(stream, gatherer.flush(), time.time_ns())
            else:
                self._take(chunk)

    def _take(self, chunk: _Chunk) -> None:
        splitter, gatherer = self._splitters[chunk.stream], self._gatherers[chunk.stream]
        if chunk.after_gap or not chunk.data:
            self._gather(chunk, splitter.end())
            self._emit(chunk.stream, gatherer.flush(), chunk.time)
        self._gather(chunk, splitter.feed(chunk.data))
        if not chunk.data:
            self._open.discard(chunk.stream)

    def _gather(self, chunk: _Chunk, lines: Iterable[bytes]) -> None:
        gatherer = self._gatherers[chunk.stream]
        dropped = 0
        for line in lines:
            if self._backlog.given_up:
                dropped += 1
            else:
                self._emit(chunk.stream, gatherer.feed(line), chunk.time)
        self._backlog.note_dropped(dropped)

    def _emit(self, stream: int, records: Iterable[bytes], timestamp: int) -> None:
        for record in records:
            self._emit_one(stream, record, timestamp)

    @never_raises(None)
    def _emit_one(self, stream: int, record: bytes, timestamp: int) -> None:
        self._backlog.wait_out_flood()
        said = parse(record)
        if said is None:
            return
        severity = said.severity
        node = None
        if said.dbt_event is not None and self._dbt is not None:
            node = self._dbt.feed(said.dbt_event)
        self._logger.emit(
            logs_api.LogRecord(
                timestamp=timestamp,
                context=self._context if node is None else trace.set_span_in_context(node),
                severity_number=severity,
                severity_text=None if severity is None else severity.name,
                body=said.body,
                attributes={**said.attributes, **self._attributes[stream]},
            )
        )
        self._emitted += 1
        if self._emitted % _PACE == 0:
            # A queue that is full drops what it holds; this one is better kept waiting.
            flush = getattr(logs_api.get_logger_provider(), "force_flush", None)
            if flush is not None:
                flush()
