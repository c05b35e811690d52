"""What a container that this process starts must be told, so that it joins the run's trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_prefect import ids, runs, semconv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import SpanContext


def propagation_env(*, source: str | None = None, stage: str | None = None) -> dict[str, str]:
    """Return the environment variables that make a child process part of the current run.

    Args:
        source: the data source that the child loads; this process's own ``SOURCE`` where it is None.
        stage: the stage that the child is; left out where it is None, since it is not this process's.

    Returns:
        ``PREFECT_FLOW_RUN_ID``, ``LOG_CORRELATION_ID``, ``SOURCE``, ``STAGE`` and ``TRACEPARENT``, those
        of them that are known; empty outside of a run.
    """
    process = runs.of_process()
    told = process.environment
    run = process.current()
    run_id = None if run.flow_run_id is None else str(run.flow_run_id)
    values = {
        semconv.ENV_FLOW_RUN_ID: run_id,
        semconv.ENV_LOG_CORRELATION_ID: told.log_correlation_id or run_id,
        semconv.ENV_SOURCE: source or told.source,
        semconv.ENV_STAGE: stage,
        semconv.ENV_TRACEPARENT: _traceparent(process),
    }
    return {variable.name: value for variable, value in values.items() if value}


def container_overrides(
    *containers: str,
    source: str | None = None,
    stage: str | None = None,
    overrides: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return ``containerOverrides`` for ``ecs.run_task`` that carry the current run into its containers.

    What the caller has set stays: variables in ``overrides`` are never replaced. Nothing that is passed
    in is changed.

    Args:
        *containers: names of containers in the task definition.
        source: see ``propagation_env``.
        stage: see ``propagation_env``.
        overrides: ``containerOverrides`` to start from, of these or other containers; each of them
            gets the variables too.

    Raises:
        ValueError: neither containers nor overrides are given, or an override has no name.
    """
    if not containers and not overrides:
        raise ValueError("container_overrides() needs the name of at least one container")
    merged = {_name(override): dict(override) for override in overrides}
    for name in containers:
        merged.setdefault(name, {"name": name})
    variables = propagation_env(source=source, stage=stage)
    return [with_environment(override, variables) for override in merged.values()]


def with_environment(
    override: Mapping[str, Any], variables: Mapping[str, str], *, key: str = "environment"
) -> dict[str, Any]:
    """Return a container override with variables added to those that it sets itself.

    Args:
        override: of a container.
        variables: name → value.
        key: under which an override holds its variables; ``env`` in Kubernetes.
    """
    environment = list(override.get(key) or ())
    present = {entry.get("name") for entry in environment}
    added = [{"name": name, "value": value} for name, value in variables.items() if name not in present]
    return {**override, key: [*environment, *added]}


def _name(override: Mapping[str, Any]) -> str:
    name = override.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"a container override needs the container's name: {override!r}")
    return name


def xray_trace_header() -> str | None:
    """Return where the calling code is, as ``X-Amzn-Trace-Id`` says it; None outside of a run.

    Its form: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader.
    With the run's id alone there is no parent in it, and the decision to sample is the receiver's.
    """
    process = runs.of_process()
    span = _span(process)
    if span is not None:
        parent = f"{span.span_id:016x}"
        return (
            f"Root={ids.xray_trace_id(span.trace_id)};Parent={parent};Sampled={int(span.trace_flags.sampled)}"
        )
    trace_id = process.origin(process.current()).trace_id
    return None if trace_id is None else f"Root={ids.xray_trace_id(trace_id)}"


def _traceparent(process: runs.Runs) -> str | None:
    span = _span(process)
    if span is None:
        return None
    carrier: dict[str, str] = {}
    context = trace.set_span_in_context(trace.NonRecordingSpan(span))
    TraceContextTextMapPropagator().inject(carrier, context)
    return carrier.get("traceparent")


def _span(process: runs.Runs) -> SpanContext | None:
    """Return the current span, else the one that a root span would be a child of."""
    span = trace.get_current_span().get_span_context()
    return span if span.is_valid else process.origin(process.current()).parent
