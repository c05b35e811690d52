"""What this process was told about itself: by its environment, or by the arguments of its Glue job."""

from __future__ import annotations

import logging
import math
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_prefect import ids, semconv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from opentelemetry.trace import SpanContext

_logger = logging.getLogger(__name__)

# The variables that Glue can pass as job arguments, which a job finds on its command line as
# `--NAME value`: https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-calling.html
_ARGUMENTS = (
    semconv.ENV_FLOW_RUN_ID,
    semconv.ENV_LOG_CORRELATION_ID,
    semconv.ENV_SOURCE,
    semconv.ENV_STAGE,
    semconv.ENV_TRACEPARENT,
)


@dataclass(frozen=True)
class Environment:
    """What a process of a pipeline knows of itself at start.

    Attributes:
        flow_run_id: the run that it works for.
        log_correlation_id: the id that the user's own log search goes by; the run's where none is set.
        source: the data source that it loads.
        stage: the stage of the pipeline.
        parent: the span that started it.
    """

    flow_run_id: UUID | None = None
    log_correlation_id: str | None = None
    source: str | None = None
    stage: str | None = None
    parent: SpanContext | None = None

    @property
    def trace_id(self) -> int | None:
        """The trace that this process is part of: its parent's, else the one that the run's id makes."""
        if self.parent is not None:
            return self.parent.trace_id
        return None if self.flow_run_id is None else ids.trace_id(self.flow_run_id)


def read(environ: Mapping[str, str] | None = None, argv: Sequence[str] | None = None) -> Environment:
    """Read the identity of this process.

    What stands on the command line as ``--NAME value`` or ``--NAME=value`` wins over the environment:
    it was said for this run, the environment may be the machine's.
    An id or a TRACEPARENT that is malformed is ignored with a warning that shows it.

    Args:
        environ: the environment; the process's own where it is None.
        argv: the command line; the process's own where it is None.
    """
    values = dict(os.environ if environ is None else environ)
    values.update(_arguments(argv))
    run_id = _flow_run_id(values)
    correlation = _text(values, semconv.ENV_LOG_CORRELATION_ID)
    return Environment(
        flow_run_id=run_id,
        log_correlation_id=correlation or (str(run_id) if run_id else None),
        source=_text(values, semconv.ENV_SOURCE),
        stage=_text(values, semconv.ENV_STAGE),
        parent=_parent(values),
    )


def seconds(variable: semconv.Variable, environ: Mapping[str, str] | None = None) -> float:
    """Read a duration; one that is not a number of seconds is ignored with a warning that shows it.

    Args:
        variable: whose default is a number of seconds.
        environ: the environment; the process's own where it is None.
    """
    text = (os.environ if environ is None else environ).get(variable.name, "").strip()
    try:
        value = float(text or variable.default)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and value >= 0:
        return value
    _logger.warning(
        "%s=%r is not a number of seconds, %s is used instead", variable.name, text, variable.default
    )
    return float(variable.default)


def flag(variable: semconv.Variable, environ: Mapping[str, str] | None = None) -> bool:
    """Read a truth value; one that is neither ``true`` nor ``false`` is ignored with a warning that shows it.

    Args:
        variable: whose default is one of the two.
        environ: the environment; the process's own where it is None.
    """
    text = (os.environ if environ is None else environ).get(variable.name, "").strip()
    value = text.lower() or variable.default
    if value not in ("true", "false"):
        _logger.warning(
            "%s=%r is neither true nor false, %s is used instead", variable.name, text, variable.default
        )
        value = variable.default
    return value == "true"


def _command_line() -> list[str]:
    # `sys.argv` may be another program's by the time we look (Glue runs scripts in-process), and it
    # is not set yet where `opentelemetry-instrument` loads us; `sys.orig_argv` is there from the start.
    return [*sys.orig_argv, *getattr(sys, "argv", [])]


def named_arguments(argv: Sequence[str] | None = None) -> dict[str, str]:
    """Return what stands on the command line as ``--NAME value`` or ``--NAME=value``, by name.

    Args:
        argv: the command line; the process's own where it is None.
    """
    words = _command_line() if argv is None else argv
    found: dict[str, str] = {}
    for position, argument in enumerate(words):
        option, equals, value = argument.partition("=")
        if not option.startswith("--"):
            continue
        if equals:
            found[option[2:]] = value
        elif position + 1 < len(words):
            found[option[2:]] = words[position + 1]
    return found


def _arguments(argv: Sequence[str] | None) -> dict[str, str]:
    names = {variable.name for variable in _ARGUMENTS}
    return {name: value for name, value in named_arguments(argv).items() if name in names}


def _text(values: Mapping[str, str], variable: semconv.Variable) -> str | None:
    return values.get(variable.name, "").strip() or None


def _flow_run_id(values: Mapping[str, str]) -> UUID | None:
    for variable in (semconv.ENV_FLOW_RUN_ID, semconv.ENV_PREFECT_FLOW_RUN_ID):
        text = _text(values, variable)
        if text is None:
            continue
        try:
            return ids.parse_flow_run_id(text)
        except ValueError as error:
            _logger.warning("%s is ignored: %s", variable.name, error)
    return None


def _parent(values: Mapping[str, str]) -> SpanContext | None:
    text = _text(values, semconv.ENV_TRACEPARENT)
    if text is None:
        return None
    carrier = {"traceparent": text, "tracestate": values.get("TRACESTATE", "")}
    extracted = TraceContextTextMapPropagator().extract(carrier)
    context = trace.get_current_span(extracted).get_span_context()
    if context.is_valid:
        return context
    _logger.warning(
        "%s is ignored: %r is not a W3C traceparent (00-32 hex digits-16 hex digits-2 hex digits)",
        semconv.ENV_TRACEPARENT.name,
        text,
    )
    return None
