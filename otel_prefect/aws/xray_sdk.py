"""Code that still uses ``aws_xray_sdk`` joins the trace of its flow run, with nothing changed in it.

A segment that is begun without a trace id of its own becomes a child of the OTel span that is current, else
of the span that started this process, else a root in the run's trace; its sampling decision is the trace's.
Segments and subsegments are annotated with the run's id. They go where they always went: to the X-Ray
daemon's address over UDP, which is the Collector's ``awsxray`` receiver here.

While a segment or subsegment is open, OTel has it for the current span: spans inside are its children and
share its sampling decision. A subsegment inside of a span is that span's child; since a segment's document
can only hold its own, it is sent by itself, as the SDK does with those of long segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import wrapt
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_prefect import ids, runs, semconv
from otel_prefect.guard import never_raises

if TYPE_CHECKING:
    from opentelemetry.context import Context

_MODULE = "aws_xray_sdk.core.recorder"
_BEGIN = ("begin_segment", "begin_subsegment", "begin_subsegment_without_sampling")
_END = ("end_segment", "end_subsegment")


class _Open(NamedTuple):
    """What is kept of a segment or subsegment while it is open; the SDK would send attributes of its own.

    Attributes:
        outside: OTel's context when it began.
        span_id: of the span that OTel has for it.
        parent: the SDK's parent, where an OTel span that stands between them is the parent instead.
    """

    outside: Context
    span_id: int
    parent: Any


_open: WeakKeyDictionary[Any, _Open] = WeakKeyDictionary()


def install() -> None:
    """Stand before the recorder of the X-Ray SDK, now or as soon as it is imported."""
    wrapt.register_post_import_hook(_wrap, _MODULE)


def _wrap(module: Any) -> None:
    recorder = getattr(module, "AWSXRayRecorder", None)
    # The asyncio recorder inherits all of these.
    if not all(hasattr(recorder, name) for name in (*_BEGIN, *_END, "get_trace_entity")):
        return
    wrappers = (_begin_segment, _begin_subsegment, _begin_subsegment, _end, _end)
    for name, wrapper in zip((*_BEGIN, *_END), wrappers, strict=True):
        wrapt.wrap_function_wrapper(module, f"AWSXRayRecorder.{name}", wrapper)


def _begin_segment(wrapped: Any, recorder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _leave(_current(recorder))  # the SDK forgets a segment that has not ended, and what is open in it
    # Positional arguments beyond the name are ids that the caller has chosen.
    if len(args) <= 1 and not kwargs.get("traceid"):
        name = args[0] if args else kwargs.get("name")
        kwargs = {**kwargs, **(_place(str(name or "")) or {}), **_chosen(kwargs)}
    segment = wrapped(*args, **kwargs)
    _annotate(segment)
    _enter(recorder, segment, None)
    return segment


def _begin_subsegment(wrapped: Any, recorder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    outer = _current(recorder)
    subsegment = wrapped(*args, **kwargs)
    _annotate(subsegment)
    _enter(recorder, subsegment, outer)
    return subsegment


def _end(wrapped: Any, recorder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    entity = _current(recorder)
    if wrapped.__name__ == "end_segment":
        entity = getattr(entity, "parent_segment", entity)
    alone = _take_out(entity)
    try:
        return wrapped(*args, **kwargs)
    finally:
        _leave(entity)
        if alone:
            _send(recorder, entity)


@never_raises(None)
def _current(recorder: Any) -> Any:
    """Return the entity that is open; None where there is none, without the SDK's complaint about it."""
    entities = getattr(recorder.context._local, "entities", None)  # noqa: SLF001 - all else complains
    return entities[-1] if entities else None


@never_raises(None)
def _enter(recorder: Any, entity: Any, outer: Any) -> None:
    """Make a segment or subsegment OTel's current span, and a span that stands outside of it its parent."""
    if entity is None or _current(recorder) is not entity:
        return  # the SDK is disabled, or misses a segment
    outside = context_api.get_current()
    current = trace.get_current_span(outside).get_span_context()
    parent = None
    if outer is not None and entity.sampled and _stands_between(current, outer):
        entity.parent_id = f"{current.span_id:016x}"
        parent = outer
    span = _span_context(entity, current)
    _open[entity] = _Open(outside, span.span_id, parent)
    context_api.attach(trace.set_span_in_context(NonRecordingSpan(span), outside))


def _stands_between(current: SpanContext, outer: Any) -> bool:
    """Tell whether the current span was begun inside of the entity that the SDK has open."""
    opened = _open.get(outer)
    if opened is None or not current.is_valid or current.span_id == opened.span_id:
        return False
    before = trace.get_current_span(opened.outside).get_span_context()
    return current.span_id != before.span_id and ids.xray_trace_id(current.trace_id) == outer.trace_id


def _span_context(entity: Any, current: SpanContext) -> SpanContext:
    if entity.sampled:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(ids.parse_xray_trace_id(entity.trace_id), int(entity.id, 16), False, flags)
    # One that is not sampled has no ids of its own. What is inside has it for a parent that is not sampled.
    random = RandomIdGenerator()
    trace_id = current.trace_id or random.generate_trace_id()
    return SpanContext(trace_id, random.generate_span_id(), False, TraceFlags(TraceFlags.DEFAULT))


@never_raises(None)
def _leave(entity: Any) -> None:
    """Give OTel back the span that was current before."""
    opened = None if entity is None else _open.pop(entity, None)
    if opened is not None and trace.get_current_span().get_span_context().span_id == opened.span_id:
        # Not `detach`, which complains where another asyncio task ends what one has begun.
        context_api.attach(opened.outside)


@never_raises(default=False)
def _take_out(entity: Any) -> bool:
    """Take a subsegment whose parent is a span out of its segment's document; tell whether it was."""
    opened = None if entity is None else _open.get(entity)
    if opened is None or opened.parent is None or any(child.in_progress for child in entity.subsegments):
        return False
    opened.parent.remove_subsegment(entity)
    return True


@never_raises(None)
def _send(recorder: Any, entity: Any) -> None:
    recorder.emitter.send_entity(entity)


def _chosen(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if value is not None}


@never_raises(None)
def _place(name: str) -> dict[str, Any] | None:
    """Return ``begin_segment``'s arguments for a segment of the current run; None outside of any."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        process = runs.of_process()
        origin = process.origin(process.current())
        if origin.parent is None:
            if origin.trace_id is None:
                return None
            sampled = _sampled(origin.trace_id, name)
            return {"traceid": ids.xray_trace_id(origin.trace_id), "sampling": int(sampled)}
        span = origin.parent
    return {
        "traceid": ids.xray_trace_id(span.trace_id),
        "parent_id": f"{span.span_id:016x}",
        "sampling": int(span.trace_flags.sampled),
    }


def _sampled(trace_id: int, name: str) -> bool:
    """Ask OTel's sampler, so that all of a trace is kept or none of it.

    The X-Ray SDK's own would keep one segment a second and 5 % of the rest.
    """
    sampler = getattr(trace.get_tracer_provider(), "sampler", None)
    if sampler is None:
        return True
    return bool(sampler.should_sample(None, trace_id, name).decision.is_sampled())


@never_raises(None)
def _annotate(entity: Any) -> None:
    run_id = runs.of_process().current().flow_run_id
    # None where the SDK's context is missing; a dummy where it is not sampled.
    if run_id is not None and entity is not None and entity.sampled:
        entity.put_annotation(semconv.ANNOTATION_FLOW_RUN_ID, str(run_id))
