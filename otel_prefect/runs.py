"""Which run, and which trace, whatever happens in this process belongs to.

Prefect's contexts know it inside of a flow or task, wherever Python's context variables reach. Elsewhere
(a plain thread, a container that is no flow) it is the run that the process has open, or the one that
it was started for.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from otel_prefect import environment, ids
from otel_prefect.prefect import context as prefect_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from opentelemetry.trace import SpanContext

    from otel_prefect.environment import Environment


# What the calling code was told by a message that it works on; None where it is the process's own work.
_joined: ContextVar[Environment | None] = ContextVar("otel_prefect_joined", default=None)


class Identity(NamedTuple):
    """The run that a span or log record belongs to; None where there is none."""

    flow_run_id: UUID | None
    task_run_id: UUID | None


class Origin(NamedTuple):
    """Where a span without a local parent comes from.

    Attributes:
        parent: the span that it becomes a child of.
        trace_id: where there is no parent: the trace that it becomes a root of.
    """

    parent: SpanContext | None
    trace_id: int | None


class Runs:
    """The flow runs that this process works for. All methods may be called from any thread."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        # Spans of the flow runs that are executing in this process, in the order of their start.
        self._open: dict[UUID, SpanContext] = {}

    @property
    def environment(self) -> Environment:
        """What the process was told at start; in a block of ``joined``, what that was told."""
        return _joined.get() or self._environment

    def started(self, span: SpanContext) -> None:
        """Note that this process has a span of its own: it stands between its parent and what it does."""
        self._environment = replace(self._environment, parent=span)

    def opened(self, flow_run_id: UUID, span: SpanContext) -> None:
        """Note that Prefect has started a flow run's span."""
        with self._lock:
            self._open.setdefault(flow_run_id, span)

    def closed(self, flow_run_id: UUID, span: SpanContext) -> None:
        """Note that a flow run's span has ended; another span of the same run changes nothing."""
        with self._lock:
            if self._open.get(flow_run_id) == span:
                del self._open[flow_run_id]

    def current(self) -> Identity:
        """Return the run that the calling code belongs to."""
        run = prefect_context.current_run()
        if run.flow_run_id is not None or run.task_run_id is not None:
            return Identity(*run)
        told = _joined.get()
        if told is not None:
            return Identity(told.flow_run_id, None)
        outermost = self._outermost()
        if outermost is not None:
            return Identity(outermost, None)
        return Identity(self.environment.flow_run_id, None)

    def origin(self, run: Identity) -> Origin:
        """Return where a span of ``run`` that has no local parent comes from.

        A flow run that is open is its own threads' parent. Otherwise the process's parent is, if it
        was given one; else the trace is the one that the process's run id makes, else the run's own.
        """
        span = None
        if run.flow_run_id is not None:
            with self._lock:
                span = self._open.get(run.flow_run_id)
        parent = span or self.environment.parent
        if parent is not None:
            return Origin(parent, None)
        if self.environment.trace_id is not None:
            return Origin(None, self.environment.trace_id)
        return Origin(None, None if run.flow_run_id is None else ids.trace_id(run.flow_run_id))

    def _outermost(self) -> UUID | None:
        """Return the first of the open runs where all are one pipeline, None where it cannot be told."""
        if not self._open:
            return None  # most often, and asked for every span and log record
        with self._lock:
            if len({span.trace_id for span in self._open.values()}) != 1:
                return None
            return next(iter(self._open))


@contextmanager
def joined(told: Environment) -> Iterator[None]:
    """Have the code of the block work for another run than the process does.

    Args:
        told: what a message said of the run that sent it.
    """
    token = _joined.set(told)
    try:
        yield
    finally:
        _joined.reset(token)


_lock = threading.RLock()
_process: Runs | None = None


def of_process() -> Runs:
    """Return the runs of this process; the environment is read at the first call."""
    global _process  # noqa: PLW0603 - the one place that owns it
    with _lock:
        if _process is None:
            # What reading warns of is a log record, whose fields ask here.
            _process = Runs(environment.Environment())
            _process = Runs(environment.read())
        return _process
