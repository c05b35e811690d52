"""What a span says it failed with, in few words of few values: OpenTelemetry's ``error.type``.

Of runs, programs, jobs and dbt's nodes only: errors are counted by it.
https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/
"""

from __future__ import annotations


def of_exception(error: BaseException) -> str:
    """Return an exception's class, with its module where it is not built in: as ``exception.type`` has it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def of_exit(code: object) -> str:
    """Return what an exit code says; for Python's ``SystemExit`` it may be a message, which is code 1."""
    return f"exit {code if isinstance(code, int) else 1}"
