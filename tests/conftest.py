"""Fixtures that every tier uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import otlp_sink

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


@pytest.fixture
def sink() -> Iterator[otlp_sink.OtlpSink]:
    """A real OTLP receiver on free loopback ports that keeps what it is sent."""
    yield from otlp_sink.serve()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have what a test has logged or printed be text that UTF-8 can hold, or no worker can report it."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections
    ]
    return report
