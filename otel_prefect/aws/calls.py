"""What a flow starts through boto3 joins its trace, with nothing about it in the flow's code.

The calls that start something, or send something to where it is worked on, get the run added before they
leave: as variables where what is started has an environment (``aws_tasks``), as attributes and trace headers
where it is a message or an invocation (``aws_messages``). The caller's own values always stay, and so does
everything the caller passed in: changes are made to copies. A call that AWS finds fault with is made again as
the caller wrote it. ``OTEL_PREFECT_PROPAGATE`` names the services; empty, it turns this off. aiobotocore,
which sends its calls another way, is not covered.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any

import wrapt

from otel_prefect import propagation, semconv
from otel_prefect.aws import messages as aws_messages
from otel_prefect.aws import tasks as aws_tasks
from otel_prefect.guard import never_raises, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_logger = logging.getLogger(__name__)

# What services answer to a request that they took nothing of, because of what is in it.
_REFUSALS = frozenset(
    {
        "BatchRequestTooLong",
        "ClientException",
        "InvalidInputException",
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterException",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "InvalidRequestContentException",
        "MessageTooLong",
        "RequestEntityTooLarge",
        "RequestTooLargeException",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)


def install() -> None:
    """Stand before botocore's calls, now or as soon as it is imported."""
    services = _services()
    if services:
        wrapt.register_post_import_hook(functools.partial(_wrap, services), "botocore.client")


def _services() -> frozenset[str]:
    """Return the services that are wanted; an unknown one is ignored with a warning that shows it."""
    variable = semconv.ENV_PROPAGATE
    names = os.environ.get(variable.name, variable.default).split(",")
    wanted = {name.strip() for name in names} - {""}
    known = {service for service, _ in _CALLS}
    for name in sorted(wanted - known):
        _logger.warning("%s: %r is ignored, %s are known", variable.name, name, ", ".join(sorted(known)))
    return frozenset(wanted & known)


def _wrap(services: frozenset[str], module: Any) -> None:
    def make_api_call(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(args) != 2 or kwargs:
            return wrapped(*args, **kwargs)
        operation, params = args
        changed = _with_run(services, client, operation, params)
        if changed is None:
            return wrapped(operation, params)
        try:
            return wrapped(operation, changed)
        except Exception as error:
            if not _is_refusal(error):
                raise
            refusal = error
        # Whatever is at fault: what the user asked for must not fail because of what we added.
        answer = wrapped(operation, params)
        warn_once(
            _logger,
            "AWS refuses %s with the run's ids (%s) and takes it without them: "
            "what it starts will not be in the trace",
            operation,
            refusal,
        )
        return answer

    # Not one of botocore's documented places, but the one that its instrumentations use: the events
    # have no client to look a task definition up with.
    if hasattr(getattr(module, "BaseClient", None), "_make_api_call"):
        wrapt.wrap_function_wrapper(module, "BaseClient._make_api_call", make_api_call)


def _is_refusal(error: Exception) -> bool:
    """Tell whether a call had no effect because of what is in it; botocore itself refuses some."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", "")).rpartition(".")[2] in _REFUSALS
    return type(error).__name__ == "ParamValidationError"


@never_raises(None)
def _with_run(
    services: frozenset[str], client: Any, operation: str, params: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the parameters with the run's variables, None where they are to be left alone."""
    service = client.meta.service_model.service_name
    add = _CALLS.get((service, operation))
    if add is None or service not in services:
        return None
    variables = propagation.propagation_env()
    return add(client, params, variables) if variables else None


_CALLS: dict[
    tuple[str, str], Callable[[Any, Mapping[str, Any], Mapping[str, str]], dict[str, Any] | None]
] = {
    ("batch", "SubmitJob"): aws_tasks.submit_job,
    ("ecs", "RunTask"): aws_tasks.run_task,
    ("events", "PutEvents"): aws_messages.put_events,
    ("glue", "StartJobRun"): aws_tasks.start_job_run,
    ("lambda", "Invoke"): aws_messages.invoke,
    ("sns", "Publish"): aws_messages.publish,
    ("sns", "PublishBatch"): aws_messages.publish_batch,
    ("sqs", "SendMessage"): aws_messages.send_message,
    ("sqs", "SendMessageBatch"): aws_messages.send_message_batch,
    ("stepfunctions", "StartExecution"): aws_messages.start_execution,
    ("stepfunctions", "StartSyncExecution"): aws_messages.start_execution,
}
