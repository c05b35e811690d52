"""Nothing of ours reaches users' code."""

from __future__ import annotations

import logging

import pytest

from otel_prefect import guard


def test_a_failure_gives_the_default_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    @guard.never_raises(7)
    def broken() -> int:
        raise RuntimeError("a defect")

    with caplog.at_level(logging.WARNING):
        assert [broken(), broken()] == [7, 7]
    assert len(caplog.records) == 1
    assert "a defect" in caplog.text


def test_an_interrupt_passes() -> None:
    @guard.never_raises(None)
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
