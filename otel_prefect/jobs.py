"""A job whose start nobody can put a command before: Glue's, and the driver of a Spark application.

Glue gives a script neither environment variables nor a command line of the user's choice; all that reaches it
are job arguments. So its code asks for telemetry itself, with ``with otel_prefect.job():``.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from otel_prefect import configuration, environment, propagation, semconv
from otel_prefect.guard import never_raises
from otel_prefect.spans import error_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.trace import Span

# What Glue itself puts on the command line of every job:
# https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-calling.html
_GLUE_NAME, _GLUE_RUN_ID = "JOB_NAME", "JOB_RUN_ID"


@contextmanager
def job(name: str | None = None) -> Iterator[Span]:
    """Set up telemetry as the environment and the job's arguments say, and make the block a span of the run.

    Arguments ``--OTEL_… value`` are taken as variables where the environment has none of that name, so a
    Glue job can be told where to send (``--OTEL_EXPORTER_OTLP_ENDPOINT``). At the end of the block all is
    sent, for at most ``OTEL_PREFECT_FLUSH_SECONDS``: put all of the job's work into it. Exceptions of the
    block pass unchanged, and so does its exit.

    Args:
        name: of the job; Glue's ``--JOB_NAME`` where it is None, else the script's.

    Yields:
        The span, for attributes of the job's own. Where nothing could be set up it does nothing.
    """
    arguments = environment.named_arguments()
    _adopt_variables(arguments)
    name = name or arguments.get(_GLUE_NAME) or PurePath(sys.argv[0]).stem or "job"
    shutdown = configuration.configure("otel_prefect.job", service_name=name)
    attributes = {semconv.JOB_NAME: name, semconv.GLUE_JOB_RUN_ID: arguments.get(_GLUE_RUN_ID)}
    tracer = trace.get_tracer(semconv.PROGRAM_SCOPE)
    try:
        with tracer.start_as_current_span(
            f"job {name}", attributes={key: value for key, value in attributes.items() if value}
        ) as span:
            try:
                yield span
            except SystemExit as exit_:
                if exit_.code not in {None, 0}:
                    span.set_attribute(semconv.ERROR_TYPE, error_type.of_exit(exit_.code))
                    span.set_status(Status(StatusCode.ERROR, f"exit code {exit_.code}"))
                raise
            except BaseException as error:
                span.set_attribute(semconv.ERROR_TYPE, error_type.of_exception(error))
                raise
    finally:
        if shutdown is not None:
            shutdown.finish()


def spark_conf(*, source: str | None = None, stage: str | None = None) -> dict[str, str]:
    """Return Spark properties that make executors, and a driver in a cluster, part of the current run.

    For ``SparkConf().setAll(…)`` or ``--conf`` of ``spark-submit``. Executors need it for Python functions
    that log or trace; those that Spark has already started are not reached.

    Args:
        source: see ``propagation_env``.
        stage: see ``propagation_env``.

    Returns:
        ``spark.executorEnv.…`` and ``spark.yarn.appMasterEnv.…`` for each of the run's variables, see
        https://spark.apache.org/docs/latest/configuration.html#runtime-environment.
    """
    variables = propagation.propagation_env(source=source, stage=stage)
    return {
        f"spark.{where}.{name}": value
        for where in ("executorEnv", "yarn.appMasterEnv")
        for name, value in variables.items()
    }


@never_raises(None)
def _adopt_variables(arguments: Mapping[str, str]) -> None:
    for name, value in arguments.items():
        if name.startswith("OTEL_"):
            os.environ.setdefault(name, value)
