"""Spans land in the trace of their flow run, and each of them says which run it is of."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanKind, Tracer

# The API's own helper for a context manager that also decorates coroutines; a plain one would not.
from opentelemetry.util._decorator import _agnosticcontextmanager

from otel_prefect import ids, semconv
from otel_prefect.guard import never_raises
from otel_prefect.runs import Identity, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.trace import Link
    from opentelemetry.util.types import Attributes, AttributeValue

    from otel_prefect.runs import Runs

# The trace that the next root span of this thread is to get; set while that span is being made.
_trace_of_root: ContextVar[int | None] = ContextVar("otel_prefect_trace_of_root", default=None)

_NO_ORIGIN = Origin(None, None)


def provider(resource: Resource, runs: Runs, id_generator: IdGenerator | None = None) -> TracerProvider:
    """Return a TracerProvider whose root spans belong to the process's runs.

    Sampler and limits are those of the standard ``OTEL_*`` variables. It does not shut itself down at
    exit: ``otel_prefect.lifecycle`` does, in bounded time.

    Args:
        resource: of every span.
        runs: of the process.
        id_generator: gives the ids of spans, and of traces that are no run's.
    """
    made = TracerProvider(
        resource=resource, shutdown_on_exit=False, id_generator=id_generator or RandomIdGenerator()
    )
    adopt(made, runs)
    return made


def adopt(provider: TracerProvider, runs: Runs) -> None:
    """Teach a TracerProvider, ours or one that the user has set up, which run its spans belong to.

    Tracers that were taken from it before keep making root spans of their own; their spans are marked
    all the same.
    """
    # The SDK's own annotation is narrower than the argument it takes.
    provider.id_generator = RunIdGenerator(provider.id_generator)  # type: ignore[assignment]
    get_tracer = provider.get_tracer
    # Prefect asks for its tracer anew for every run of a flow or task.
    prefects: dict[str, Tracer] = {}

    def get_run_tracer(*args: Any, **kwargs: Any) -> Tracer:
        if not args or args[0] != semconv.PREFECT_SCOPE:
            return RunTracer(get_tracer(*args, **kwargs), runs, (args, kwargs))
        _complete_prefects_spans()
        wanted = repr((args, kwargs))  # attributes among them cannot be hashed
        made = prefects.get(wanted)
        if made is None:
            made = prefects[wanted] = RunTracer(get_tracer(*args, **kwargs), runs, (args, kwargs))
        return made

    # An attribute of the instance, since a user's provider cannot be replaced by one of another class.
    provider.get_tracer = get_run_tracer  # type: ignore[method-assign]
    provider.add_span_processor(RunSpanProcessor(runs))


class RunIdGenerator(IdGenerator):
    """Gives a root span the trace id of its flow run, and leaves all other ids to another generator."""

    def __init__(self, otherwise: IdGenerator) -> None:
        self._otherwise = otherwise

    def generate_span_id(self) -> int:
        """Return a new 64-bit span id."""
        return self._otherwise.generate_span_id()

    def generate_trace_id(self) -> int:
        """Return the 128-bit trace id of the run whose root span is being made, else a new one."""
        of_run = _trace_of_root.get()
        return self._otherwise.generate_trace_id() if of_run is None else of_run

    def is_trace_id_random(self) -> bool:
        """Say that the last 56 bits are random: those of UUID versions 4 and 7 are (RFC 9562)."""
        return self._otherwise.is_trace_id_random()


class RunTracer(Tracer):
    """Finds the parent or the trace of a span that would be the root of a trace of its own."""

    def __init__(self, tracer: Tracer, runs: Runs, made_of: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        """Stand before a tracer.

        Args:
            tracer: the SDK's.
            runs: of the process.
            made_of: what the provider was given to make it.
        """
        self._tracer = tracer
        self._runs = runs
        self._made_of = made_of

    def __getattr__(self, name: str) -> Any:
        # What the SDK's tracer has beyond the API, some instrumentations look at.
        return getattr(self._tracer, name)

    def __reduce__(self) -> tuple[Any, ...]:
        # Flows are pickled for other processes, with the tracer that stands beside them in a module. There
        # it is that process's own. The API's tracer can be pickled, so without us such a flow works.
        return _tracer_of_process, self._made_of

    def start_span(  # noqa: PLR0913, PLR0917 - the signature is the API's
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """Start a span, see ``opentelemetry.trace.Tracer.start_span``."""
        if trace.get_current_span(context).get_span_context().is_valid:
            return self._tracer.start_span(
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
            )
        origin = self._origin(attributes)
        if origin.parent is not None:
            context = trace.set_span_in_context(NonRecordingSpan(origin.parent), context)
        token = _trace_of_root.set(origin.trace_id)
        try:
            return self._tracer.start_span(
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
            )
        finally:
            _trace_of_root.reset(token)

    @_agnosticcontextmanager
    def start_as_current_span(  # noqa: PLR0913, PLR0917 - the signature is the API's
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[trace.Span]:
        """Start a span and make it current, see ``opentelemetry.trace.Tracer.start_as_current_span``."""
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        with trace.use_span(
            span,
            end_on_exit=end_on_exit,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        ) as current:
            yield current

    @never_raises(_NO_ORIGIN)
    def _origin(self, attributes: Attributes) -> Origin:
        return self._runs.origin(_own_run(attributes, self._runs) or self._runs.current())


def _tracer_of_process(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tracer:
    return trace.get_tracer_provider().get_tracer(*args, **kwargs)


@never_raises(None)
def _complete_prefects_spans() -> None:
    # Imported here: it imports Prefect's engines, of which one is asking.
    from otel_prefect.prefect import runs as prefect_runs  # noqa: PLC0415

    prefect_runs.install()


class RunSpanProcessor(SpanProcessor):
    """Sets the ids of the flow run and task run on every span at its start."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    @never_raises(None)
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Mark the span; note the start of a flow run."""
        attributes = _plain(span.attributes)
        own = _own_run(attributes, self._runs)
        run = own or self._run_of(parent_context)
        found = {semconv.RECORD_FLOW_RUN_ID: run.flow_run_id, semconv.TASK_RUN_ID: run.task_run_id}
        # All at once: the SDK takes a lock for each call.
        span.set_attributes(
            {
                key: ids.show_uuid(value)
                for key, value in found.items()
                if value is not None and key not in attributes
            }
        )
        if own is not None and _is_flow_run(attributes) and own.flow_run_id is not None:
            self._runs.opened(own.flow_run_id, span.get_span_context())

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Do nothing: nothing waits here."""
        return True  # what is not true keeps the next processor from flushing

    @never_raises(None)
    def on_end(self, span: ReadableSpan) -> None:
        """Note the end of a flow run."""
        attributes = _plain(span.attributes)
        context = span.get_span_context()
        if context is not None and _is_flow_run(attributes):
            own = _own_run(attributes, self._runs)
            if own is not None and own.flow_run_id is not None:
                self._runs.closed(own.flow_run_id, context)

    def _run_of(self, parent_context: Context | None) -> Identity:
        """Return the run of a span that is not a run's own.

        The parent comes first: a span that is started in another thread with an explicit parent is of
        that parent's run.
        """
        parent = _plain(getattr(trace.get_current_span(parent_context), "attributes", None))
        flow_run_id = _uuid(parent.get(semconv.RECORD_FLOW_RUN_ID))
        current = self._runs.current()
        if flow_run_id is None or flow_run_id == current.flow_run_id:
            task_run_id = current.task_run_id or _uuid(parent.get(semconv.TASK_RUN_ID))
            return Identity(current.flow_run_id, task_run_id)
        return Identity(flow_run_id, _uuid(parent.get(semconv.TASK_RUN_ID)))


def _plain(attributes: Any) -> dict[str, AttributeValue]:
    """Return a span's attributes as a dict: the SDK's mapping raises inside for each key that is missing."""
    return attributes.copy() if attributes else {}


def _own_run(attributes: Mapping[str, AttributeValue] | None, runs: Runs) -> Identity | None:
    """Return the run that a span *is*, by the attributes that Prefect gives to the spans it makes.

    None for all other spans. At the start of a flow's span Prefect's contexts still say its caller,
    so the attribute is the only source (``prefect.telemetry.run_telemetry``).
    """
    if not attributes:
        return None
    run_id = _uuid(attributes.get(semconv.PREFECT_RUN_ID))
    if run_id is None:
        return None
    if _is_flow_run(attributes):
        return Identity(run_id, None)
    if attributes.get(semconv.PREFECT_RUN_TYPE) != "task":
        return None  # an attempt is not a run of its own
    # A task run's span carries no flow run id; it is started inside of its flow's context.
    return Identity(runs.current().flow_run_id, run_id)


def _is_flow_run(attributes: Mapping[str, AttributeValue] | None) -> bool:
    return attributes is not None and attributes.get(semconv.PREFECT_RUN_TYPE) == "flow"


def _uuid(value: object) -> UUID | None:
    return ids.read_uuid(value) if isinstance(value, str) else None
