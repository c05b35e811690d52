"""Makes whole the spans that Prefect makes of its runs: names, attempts, and how each run came out.

Prefect names a span after the run, ends it with the first attempt of a flow, never ends it where a task
timed out or was not to run, and does not tell a crash from a failure. All of that is mended here, and in
this module alone stands what depends on classes that Prefect does not document: its engines and the
``RunTelemetry`` that each of them has. They are looked at first. Where they are not as expected, Prefect's
own spans are left as they are, with one warning. It was written against Prefect 3.8.8.

Importing this module imports Prefect's engines. ``spans.tracing`` does so when Prefect itself asks
for the tracer of its runs, that is, when an engine begins its first run.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.propagators.textmap import Setter
from opentelemetry.trace import Status, StatusCode
from prefect import flow_engine, task_engine
from prefect.client.schemas.objects import StateType, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import Abort, Pause
from prefect.telemetry.run_telemetry import LABELS_TRACEPARENT_KEY, RunTelemetry

from otel_prefect import semconv
from otel_prefect.guard import never_raises
from otel_prefect.prefect import links_artifact
from otel_prefect.spans import error_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, Tracer
    from prefect.client.schemas.objects import State

_logger = logging.getLogger(__name__)

_FLOW_ENGINES: Final = (flow_engine.FlowRunEngine, flow_engine.AsyncFlowRunEngine)
_TASK_ENGINES: Final = (task_engine.SyncTaskRunEngine, task_engine.AsyncTaskRunEngine)
# What an engine calls when a run is over, however it came out, in `finally`.
_LAST_CALL: Final = {
    flow_engine.BaseFlowRunEngine: "_report_attempt_conclusion",
    task_engine.BaseTaskRunEngine: "log_finished_message",
}
_TELEMETRY_METHODS: Final = {
    "_start_span": ["self", "run", "parameters"],
    "record_exception": ["self", "exc"],
    "update_state": ["self", "new_state"],
    "update_run_name": ["self", "name"],
    "end_span_on_success": ["self"],
    "end_span_on_failure": ["self", "terminal_message"],
}
# Runs whose spans are remembered, so that what takes their results can be linked to them.
_REMEMBERED: Final = 4096

_lock = threading.Lock()
_installed = False
# The spans of the runs of this process, by the run's id.
_spans: OrderedDict[UUID, SpanContext] = OrderedDict()
# The attempt that is running of a run that is tried again, by the span id of that run.
_attempts: dict[int, SpanContext] = {}


def install() -> None:
    """Have Prefect's engines of this process make whole spans, from the next run on; done once.

    Where Prefect is not as expected, one warning says so and nothing is changed. Never raises.
    """
    global _installed  # noqa: PLW0603 - the one place that owns it
    with _lock:
        if _installed:
            return
        _installed = True
    _install()


@never_raises(None)
def _install() -> None:
    found = list(surprises())
    if found:
        _logger.warning(
            "this version of Prefect is not as expected (%s): its spans are left as it makes them, named by "
            "run and without the attempts of a retried flow",
            "; ".join(found),
        )
        return
    for engine, last_call in _LAST_CALL.items():
        _after(engine, "__post_init__", _replace_telemetry)
        _after(engine, last_call, _finish)
    _send_attempts_along()


def surprises() -> Iterator[str]:
    """Yield what of Prefect is not as this module needs it; nothing where all is well."""
    for name, parameters in _TELEMETRY_METHODS.items():
        yield from _unlike(RunTelemetry, name, parameters)
    yield from _without_fields(RunTelemetry, {"_tracer", "span", "_enabled"})
    for engine, last_call in _LAST_CALL.items():
        yield from _unlike(engine, "__post_init__", ["self"])
        yield from _unlike(engine, last_call, ["self"])
    for engines, fields, last_call in (
        (_FLOW_ENGINES, {"flow", "flow_run", "_telemetry"}, "_report_attempt_conclusion"),
        (_TASK_ENGINES, {"task", "task_run", "_telemetry"}, "log_finished_message"),
    ):
        for engine in engines:
            yield from _without_fields(engine, fields)
            code = getattr(inspect.unwrap(engine.initialize_run), "__code__", None)
            if code is None or last_call not in code.co_names:
                yield f"{engine.__name__}.initialize_run does not call {last_call}"


def _unlike(owner: type, method: str, parameters: list[str]) -> Iterator[str]:
    found = getattr(owner, method, None)
    if not callable(found) or list(inspect.signature(found).parameters) != parameters:
        yield f"{owner.__name__}.{method} does not take ({', '.join(parameters)})"


def _without_fields(owner: Any, names: set[str]) -> Iterator[str]:
    present = (
        {field.name for field in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else set()
    )
    missing = names - present
    if missing:
        yield f"{owner.__name__} has no {', '.join(sorted(missing))}"


def _after(owner: type, name: str, then: Callable[[Any], None]) -> None:
    """Have a method of no arguments call another function when it has returned."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(self: Any) -> Any:
        result = original(self)
        then(self)
        return result

    setattr(owner, name, method)


def _send_attempts_along() -> None:
    """Have a task that is sent to another process hang under the attempt of its flow, not beside it."""
    serialize = FlowRunContext.serialize

    @functools.wraps(serialize)
    def serialize_with_attempt(*args: Any, **kwargs: Any) -> dict[str, Any]:
        serialized = serialize(*args, **kwargs)
        _name_attempt(serialized)
        return serialized

    FlowRunContext.serialize = serialize_with_attempt  # type: ignore[method-assign]


@never_raises(None)
def _name_attempt(serialized: dict[str, Any]) -> None:
    labels = (serialized.get("flow_run") or {}).get("labels") or {}
    attempt = _under_attempt(propagate.extract({"traceparent": labels.get(LABELS_TRACEPARENT_KEY, "")}))
    if trace.get_current_span(attempt).get_span_context().is_valid:
        propagate.inject(labels, attempt, _LabelSetter())


class _LabelSetter(Setter[dict[str, Any]]):
    def set(self, carrier: dict[str, Any], key: str, value: str) -> None:
        if key == "traceparent":
            carrier[LABELS_TRACEPARENT_KEY] = value


@never_raises(None)
def _replace_telemetry(engine: Any) -> None:
    is_task = isinstance(engine, task_engine.BaseTaskRunEngine)
    work = engine.task if is_task else engine.flow
    engine._telemetry = WholeRunTelemetry(  # noqa: SLF001
        engine._telemetry,  # noqa: SLF001
        getattr(work, "name", None),
        _calling_task(engine) if is_task else None,
    )


def _calling_task(engine: Any) -> Any:
    """Return the task run that calls or submits the task of an engine, if one does.

    It has to be asked for now: when the span is started, Prefect's context says the task itself.
    """
    sent_along = (engine.context or {}).get("task_run_context") or {}
    current = TaskRunContext.get()
    return sent_along.get("task_run") or (current and current.task_run)


@never_raises(None)
def _finish(engine: Any) -> None:
    telemetry = engine._telemetry  # noqa: SLF001
    if isinstance(telemetry, WholeRunTelemetry):
        is_task = isinstance(engine, task_engine.BaseTaskRunEngine)
        telemetry.finish(engine.task_run if is_task else engine.flow_run)


class WholeRunTelemetry(RunTelemetry):
    """Prefect's telemetry of one execution of a run, which ends with the engine's own end.

    A method that Prefect calls does Prefect's part first or instead, and never raises.
    """

    _tracer: Any  # for a moment it is another

    def __init__(self, original: RunTelemetry, work: str | None, caller: Any) -> None:
        """Take the place of an engine's telemetry.

        Args:
            original: the one that Prefect has made.
            work: the name of the flow or task.
            caller: of a task run: the task run that it was called or submitted from.
        """
        super().__init__(_tracer=original._tracer, _enabled=original._enabled)  # noqa: SLF001 - of its own class
        self._work = work
        self._caller = caller
        self._run: Any = None
        self._message: str | None = None
        # The last exception of the user's code, and when it came.
        self._exception: tuple[BaseException, int] | None = None
        self._exception_of_attempt: BaseException | None = None
        # What the caller is handling, if it runs this in an `except` block: no exception of the run.
        self._of_caller = sys.exc_info()[1]
        # The attempt that runs or ran last: its number in all, when it began, and whether it is over.
        self._count = 0
        self._count_at_start = 0
        self._since: int | None = None
        self._attempt: Span | None = None

    # --- what Prefect calls -----------------------------------------------------------------

    def _start_span(self, run: Any, parameters: dict[str, Any] | None = None) -> tuple[str | None, Span]:
        tracer = self._tracer
        self._run = run
        # Prefect finds out the parent and the attributes; name and what is missing are added on the way.
        self._tracer = _Completing(tracer, self._described, self._parent_elsewhere)
        try:
            started = super()._start_span(run, parameters)
        finally:
            self._tracer = tracer
        _remember(run, started[1])
        _link(run, started[1])
        return started

    @never_raises(None)
    def update_run_name(self, name: str) -> None:
        """Note the run's own name; the span keeps that of the flow or task."""
        if self.span:
            self.span.set_attribute(semconv.PREFECT_RUN_NAME, name)
            self.span.set_attribute(_names(self._run).run_name, name)

    def record_exception(self, exc: BaseException) -> None:
        """Note an exception; of which attempt it is, the next state tells."""
        if exc is not self._exception_of_attempt:
            self._exception = (exc, time.time_ns())

    def update_state(self, new_state: State) -> None:
        """Add Prefect's event; begin and end attempts."""
        super().update_state(new_state)
        if self.span:
            self._follow(self.span, new_state)

    def end_span_on_success(self) -> None:
        """Leave the end to :meth:`finish`: hooks and tasks that still run belong to the run too."""

    def end_span_on_failure(self, terminal_message: str | None = None) -> None:
        """Note why a run failed, unless it is being tried again."""
        if self._exception_of_attempt is None:
            self._message = terminal_message
        self._exception_of_attempt = None

    def _in_flight(self) -> BaseException | None:
        """Return the exception that the engine is handling, or that is leaving it."""
        found = sys.exc_info()[1]
        return None if found is self._of_caller else found

    # --- attempts ---------------------------------------------------------------------------

    @never_raises(None)
    def _follow(self, span: Span, state: State) -> None:
        in_flight = self._in_flight()
        if state.type in _BAD and self._exception is None and in_flight is not None:
            self._exception = (in_flight, time.time_ns())  # Prefect does not tell of a time-out
        if state.type == StateType.RUNNING:
            if self._since is not None and state.name == "Retrying":
                self._end_attempt(span, state)  # a task that is tried again at once
            if self._since is None:
                self._begin_attempt(span)
        elif state.type == StateType.SCHEDULED and self._since is not None:
            self._end_attempt(span, state)

    def _begin_attempt(self, span: Span) -> None:
        self._since = time.time_ns()
        self._count += 1
        if self._count == self._count_at_start + 1:
            return  # the first: its span is made if it turns out not to be the only one
        span.set_attribute(_names(self._run).count, self._count)
        self._attempt = self._span_of_attempt(span, self._since)
        _attempts[span.get_span_context().span_id] = self._attempt.get_span_context()
        # Not detached: the engine itself puts the context back that was before the run.
        otel_context.attach(trace.set_span_in_context(self._attempt))

    def _end_attempt(self, span: Span, state: State) -> None:
        """End an attempt that will be followed by another."""
        # The task's engine has told the exception by now; the flow's engine is handling it.
        raised = self._exception[0] if self._exception else self._in_flight()
        attempt = self._attempt or self._span_of_attempt(span, self._since)
        if raised is not None:
            attempt.record_exception(raised)
        attempt.set_attribute(semconv.ERROR_TYPE, _error_type(raised, state.name))
        attempt.set_status(StatusCode.ERROR, str(raised or state.message or state.name))
        attempt.end()
        if self._exception is None:
            self._exception_of_attempt = raised  # it will still be told
        self._exception = self._attempt = self._since = None

    def _span_of_attempt(self, run_span: Span, start_time: int | None) -> Span:
        tracer: Tracer = self._tracer
        return tracer.start_span(
            f"attempt {self._count}",
            trace.set_span_in_context(run_span),
            attributes={
                semconv.PREFECT_RUN_ID: str(self._run.id),
                semconv.PREFECT_RUN_NAME: self._run.name,
                semconv.PREFECT_RUN_TYPE: semconv.RUN_TYPE_ATTEMPT,
                _names(self._run).count: self._count,
            },
            start_time=start_time,
        )

    # --- the beginning and the end ----------------------------------------------------------

    @never_raises(None)
    def _described(self) -> tuple[str, dict[str, Any]]:
        """Return the name of the run's span and the attributes that Prefect leaves out."""
        run, names = self._run, _names(self._run)
        self._count = self._count_at_start = run.run_count
        attributes = {
            names.name: self._work,
            names.run_name: run.name,
            names.count: run.run_count + 1,
        }
        if names is _FLOW:
            attributes |= {
                semconv.WORK_POOL_NAME: run.work_pool_name,
                semconv.WORK_QUEUE_NAME: run.work_queue_name,
                semconv.DEPLOYMENT_ID: run.deployment_id and str(run.deployment_id),
                # What a worker or runner has told the process; a subflow has no deployment.
                semconv.DEPLOYMENT_NAME: run.deployment_id
                and os.environ.get(semconv.ENV_PREFECT_DEPLOYMENT_NAME.name),
            }
        return f"{names.kind} {self._work}" if self._work else run.name, {
            key: value for key, value in attributes.items() if value is not None
        }

    @never_raises(None)
    def _parent_elsewhere(self) -> Context | None:
        """Return the parent of a task run that was sent to this process, by the labels that came along."""
        flow_run = getattr(FlowRunContext.get(), "flow_run", None)
        for run in (self._caller, flow_run):
            # Serialized, it may be a dictionary.
            labels = run.get("labels") if isinstance(run, dict) else getattr(run, "labels", None)
            found = self._trace_context_from_labels(labels)
            if found is not None:
                return found
        return None

    def finish(self, run: Any) -> None:
        """End the span of a run that is over, or that ends here to go on elsewhere.

        Args:
            run: with its last state.
        """
        span, self.span = self.span, None
        if span is None:
            return
        try:
            _attempts.pop(span.get_span_context().span_id, None)
            self._conclude(span, run)
        finally:
            # They hold the frames of the user's code.
            self._exception = self._exception_of_attempt = self._of_caller = None
            span.end()

    @never_raises(None)
    def _conclude(self, span: Span, run: Any) -> None:
        _link_inputs(span, run)
        state: State = run.state
        kind, name = state.type.value, state.name or state.type.value
        in_flight = self._in_flight()
        raised = self._exception[0] if self._exception else None
        if not state.is_final() and in_flight is not None:
            raised = raised or (None if isinstance(in_flight, _GOES_ON_ELSEWHERE) else in_flight)
            if _is_being_cancelled():
                kind, name = StateType.CANCELLED.value, "Cancelled"
        status = _status(kind, raised, self._message or state.message or name)
        for each in filter(None, (self._attempt, span)):
            if raised is not None:
                each.record_exception(raised, timestamp=self._exception[1] if self._exception else None)
            each.set_attributes({semconv.PREFECT_STATE_TYPE: kind, semconv.PREFECT_STATE_NAME: name})
            each.set_status(status)
        # Not of the last attempt too: it would count twice.
        if status.status_code is StatusCode.ERROR:
            span.set_attribute(semconv.ERROR_TYPE, _error_type(raised, name))
        if self._attempt is not None:
            self._attempt.end()


@never_raises(None)
def _link(run: Any, span: Span) -> None:
    if _names(run) is _FLOW:
        links_artifact.send_soon(run, span.get_span_context().trace_id)


_BAD: Final = (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
# A run that ends so is paused, suspended or taken over by another process.
_GOES_ON_ELSEWHERE: Final = (Pause, Abort, GeneratorExit)


def _error_type(raised: BaseException | None, state_name: str | None) -> str:
    return error_type.of_exception(raised) if raised is not None else str(state_name)


def _status(state_type: str, raised: BaseException | None, message: str) -> Status:
    if state_type == StateType.COMPLETED:
        return Status(StatusCode.OK)
    # SCHEDULED: the flow has failed and is to be started anew, by whoever starts it.
    if state_type in (*_BAD, StateType.SCHEDULED) or raised is not None:
        return Status(StatusCode.ERROR, message)
    return Status(StatusCode.UNSET)


@dataclasses.dataclass(frozen=True)
class _Names:
    """What is different between flows and tasks."""

    kind: str
    name: str
    run_name: str
    count: str


_FLOW: Final = _Names("flow", semconv.FLOW_NAME, semconv.FLOW_RUN_NAME, semconv.FLOW_RUN_COUNT)
_TASK: Final = _Names("task", semconv.TASK_NAME, semconv.TASK_RUN_NAME, semconv.TASK_RUN_COUNT)


def _names(run: Any) -> _Names:
    return _TASK if isinstance(run, TaskRun) else _FLOW


class _Completing:
    """Stands in for the tracer while Prefect starts a run's span: what Prefect leaves out is added."""

    def __init__(
        self,
        tracer: Tracer,
        describe: Callable[[], tuple[str, dict[str, Any]] | None],
        parent_elsewhere: Callable[[], Context | None],
    ) -> None:
        self._tracer = tracer
        self._describe = describe
        self._parent_elsewhere = parent_elsewhere

    def start_span(self, name: str, context: Context | None = None, attributes: Any = None) -> Span:
        described = self._describe()
        if described is not None:
            name, more = described
            attributes = {**(attributes or {}), **more}
        if context is None and not trace.get_current_span().get_span_context().is_valid:
            context = self._parent_elsewhere()
        return self._tracer.start_span(name, _under_attempt(context), attributes=attributes)


def _under_attempt(context: Context | None) -> Context | None:
    """Return a context with the running attempt in place of the run that it is of."""
    parent = None if context is None else trace.get_current_span(context).get_span_context()
    attempt = None if parent is None else _attempts.get(parent.span_id)
    if attempt is None:
        return context
    return trace.set_span_in_context(trace.NonRecordingSpan(attempt), context)


@never_raises(None)
def _remember(run: Any, span: Span) -> None:
    with _lock:
        _spans[run.id] = span.get_span_context()
        if len(_spans) > _REMEMBERED:
            _spans.popitem(last=False)


def _link_inputs(span: Span, run: Any) -> None:
    """Link a task run to the runs whose results it took; Prefect does so for futures only."""
    linked = {link.context.span_id for link in getattr(span, "links", ())}
    for name, inputs in (getattr(run, "task_inputs", None) or {}).items():
        if name == "__parents__":
            continue  # the task that it was called from
        for each in inputs:
            run_id = getattr(each, "id", None)
            source = None if run_id is None else _spans.get(run_id)
            if source is not None and source.span_id not in linked:
                linked.add(source.span_id)
                span.add_link(source, {semconv.PREFECT_INPUT_NAME: name})


def _is_being_cancelled() -> bool:
    """Tell whether Prefect's runner, which sets the state itself, has asked this process to stop."""
    listener = sys.modules.get("prefect._internal.control_listener")
    get_intent = getattr(listener, "get_intent", None)
    return get_intent is not None and get_intent() == "cancel"
