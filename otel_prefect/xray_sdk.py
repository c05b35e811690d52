"""Code that still uses ``aws_xray_sdk`` joins the trace of its flow run, with nothing changed in it.

A segment that is begun without a trace id of its own becomes a child of the OTel span that is current, else
of the span that started this process, else a root in the run's trace; its sampling decision is the trace's.
Segments and subsegments are annotated with the run's id. They go where they always went: to the X-Ray
daemon's address over UDP, which is the Collector's ``awsxray`` receiver here.
"""

from __future__ import annotations

from typing import Any

import wrapt
from opentelemetry import trace

from otel_prefect import ids, runs, semconv
from otel_prefect.guard import never_raises

_MODULE = "aws_xray_sdk.core.recorder"


def install() -> None:
    """Stand before the recorder of the X-Ray SDK, now or as soon as it is imported."""
    wrapt.register_post_import_hook(_wrap, _MODULE)


def _wrap(module: Any) -> None:
    recorder = getattr(module, "AWSXRayRecorder", None)
    # The asyncio recorder inherits both methods.
    if hasattr(recorder, "begin_segment") and hasattr(recorder, "begin_subsegment"):
        wrapt.wrap_function_wrapper(module, "AWSXRayRecorder.begin_segment", _begin_segment)
        wrapt.wrap_function_wrapper(module, "AWSXRayRecorder.begin_subsegment", _begin_subsegment)


def _begin_segment(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # Positional arguments beyond the name are ids that the caller has chosen.
    if len(args) <= 1 and not kwargs.get("traceid"):
        name = args[0] if args else kwargs.get("name")
        kwargs = {**kwargs, **(_place(str(name or "")) or {}), **_chosen(kwargs)}
    return _annotated(wrapped(*args, **kwargs))


def _begin_subsegment(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _annotated(wrapped(*args, **kwargs))


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


def _annotated(entity: Any) -> Any:
    _annotate(entity)
    return entity


@never_raises(None)
def _annotate(entity: Any) -> None:
    run_id = runs.of_process().current().flow_run_id
    # None where the SDK's context is missing; a dummy where it is not sampled.
    if run_id is not None and entity is not None and entity.sampled:
        entity.put_annotation(semconv.ANNOTATION_FLOW_RUN_ID, str(run_id))
