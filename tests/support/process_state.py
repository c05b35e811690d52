"""Gives a test an identity of its own instead of that of the process that runs the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_prefect import environment, runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

RUN_ID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE_ID = 0x3C32C20299554B90B9365FBD34F1A6D5
XRAY_TRACE_ID = "1-3c32c202-99554b90b9365fbd34f1a6d5"
PARENT_SPAN_ID = 0xB7AD6B7169203331
TRACEPARENT = f"00-{TRACE_ID:032x}-{PARENT_SPAN_ID:016x}-01"


def told(
    monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str] | None = None, argv: Sequence[str] = ()
) -> runs.Runs:
    """Make this process one that was started with ``environ`` and ``argv``, until the test ends."""
    process = runs.Runs(environment.read(environ or {}, argv))
    monkeypatch.setattr(runs, "_process", process)
    return process
