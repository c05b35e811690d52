"""What is unusual, on labelled years of loads in a real Prometheus."""

from __future__ import annotations

from bench import anomalies


def test_what_the_page_says_of_precision_and_recall_is_what_comes_out() -> None:
    score = anomalies.measure(anomalies.SEEDS)
    assert anomalies.table(score, anomalies.SEEDS) == anomalies.RESULTS.read_text()
    assert score.precision >= 0.9
    assert score.recall >= 0.8
