from __future__ import annotations

import pytest

from otel_prefect.view import words


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1024 * 1024, "1 MiB"), (5 * 2**40, "5.12e+03 GiB")],
)
def test_sizes_have_three_digits(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.0000"), (0.000005, "< $0.0001"), (0.0042, "$0.0042"), (0.01, "$0.01"), (12.345, "$12.35")],
)
def test_money_is_told_to_a_hundredth_of_a_cent(amount: float, text: str) -> None:
    assert words.dollars(amount) == text


def test_times_of_the_day_are_to_the_millisecond() -> None:
    assert words.clock(1_795_616_667.0429) == "14:24:27.042"
    assert words.clock(1_795_616_667.0429, day=True) == "2026-11-25 14:24:27.042"
