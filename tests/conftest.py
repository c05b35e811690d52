"""Fixtures that every tier uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import otlp_sink

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sink() -> Iterator[otlp_sink.OtlpSink]:
    """A real OTLP receiver on free loopback ports that keeps what it is sent."""
    yield from otlp_sink.serve()
