"""Calls of AWS: tried again for a bounded time, and what was refused told from what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_prefect.cost.readings import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The SDK's own mode that slows down where AWS throttles:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_ATTEMPTS: Final = 8
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 30
_MOST_PAGES: Final = 500
_DENIED: Final = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")
_LONGEST_WORDS: Final = 300


class Unread(Exception):  # noqa: N818 - a finding, which goes on as a metric
    """Raised where a call does not bring what it should.

    Args:
        problem: what went wrong.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.said)
        self.problem = problem


def client(service: str, region: str | None = None) -> Any:
    """Return a client of boto3 that tries again for a minute or two, and not for ever."""
    import boto3  # noqa: PLC0415 - of the extra `cli`
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
        user_agent_extra="otel-prefect-cost",
    )
    return boto3.client(service, region_name=region, config=config)


def ask(client_: Any, operation: str, **arguments: Any) -> Mapping[str, Any]:
    """Call an operation.

    Args:
        client_: of boto3.
        operation: as boto3 names it, ``get_cost_and_usage``.
        arguments: of the operation.

    Raises:
        Unread: AWS refuses it, cannot be reached, or there are no credentials.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    service = str(client_.meta.service_model.service_name)
    action = f"{client_.meta.service_model.signing_name}:{_operation(client_, operation)}"
    try:
        answer: Mapping[str, Any] = getattr(client_, operation)(**arguments)
    except ClientError as error:
        details = error.response.get("Error", {})
        code = str(details.get("Code", "unknown"))
        mend = f"allow {action} to the flow's role: " if code.startswith(_DENIED) else ""
        said = f"{action}: {mend}{code}: {details.get('Message', '')}"[:_LONGEST_WORDS]
        raise Unread(Problem(service, code, said)) from error
    except BotoCoreError as error:
        name = type(error).__name__
        raise Unread(Problem(service, name, f"{action}: {name}: {error}"[:_LONGEST_WORDS])) from error
    return answer


def pages(
    client_: Any, operation: str, mark: str = "NextToken", **arguments: Any
) -> Iterator[Mapping[str, Any]]:
    """Call an operation for all its pages.

    Args:
        client_: of boto3.
        operation: as boto3 names it.
        mark: what the operation calls that of the next page.
        arguments: of the operation.

    Raises:
        Unread: as :func:`ask`; or there are more pages than can be, such as one that names itself.
    """
    for _ in range(_MOST_PAGES):
        answer = ask(client_, operation, **arguments)
        yield answer
        following = answer.get(mark)
        if not following or following == arguments.get(mark):
            return
        arguments[mark] = following
    service = str(client_.meta.service_model.service_name)
    raise Unread(Problem(service, "too many pages", f"{operation}: more than {_MOST_PAGES} pages"))


def _operation(client_: Any, method: str) -> str:
    return str(client_.meta.method_to_api_mapping.get(method, method))
