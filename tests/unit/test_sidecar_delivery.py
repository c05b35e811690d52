"""What became of the data: read from the Collector, kept over its restarts, told in the accounts."""

from __future__ import annotations

from sidecar import accounts, metrics
from sidecar.delivery import Deliveries, parse
from sidecar.metrics import SelfMetrics

TEXT = """\
# HELP otelcol_exporter_sent_spans Number of spans successfully sent to destination.
# TYPE otelcol_exporter_sent_spans counter
otelcol_exporter_sent_spans{exporter="awsxray"} 120
otelcol_exporter_sent_spans{exporter="otlp_grpc/loop-xray"} 120
otelcol_exporter_send_failed_spans{exporter="awsxray"} 500
otelcol_exporter_send_failed_spans{exporter="otlp_grpc/loop-xray"} 3
otelcol_exporter_sent_log_records{exporter="awscloudwatchlogs"} 1e+03
otelcol_exporter_queue_size{data_type="traces",exporter="otlp_grpc/loop-xray"} 0
otelcol_exporter_queue_size{data_type="logs",exporter="awscloudwatchlogs"} 2048
otelcol_exporter_queue_capacity{data_type="logs",exporter="awscloudwatchlogs"} 2e+09
otelcol_process_uptime 3.2
"""


def test_sent_failed_and_queued_are_read_and_loops_are_no_destination() -> None:
    read = parse(TEXT)
    assert read.sent == {("traces", "awsxray"): 120, ("logs", "awscloudwatchlogs"): 1000}
    assert read.failed == {("traces", "otlp_grpc/loop-xray"): 3}
    assert read.queued_bytes == {("traces", "otlp_grpc/loop-xray"): 0, ("logs", "awscloudwatchlogs"): 2048}


def test_what_failed_behind_a_queue_is_not_given_up() -> None:
    """The queue before ``awsxray`` sends again what it failed to send."""
    assert ("traces", "awsxray") not in parse(TEXT).failed


def test_it_is_drained_when_every_queue_is_empty_loops_too() -> None:
    assert not parse(TEXT).drained
    assert parse(TEXT.replace("2048", "0")).drained
    assert not parse(TEXT.replace("2048", "0").replace('loop-xray"} 0', 'loop-xray"} 7')).drained


def test_two_collectors_in_a_row_add_up_and_the_queues_are_the_later_ones() -> None:
    first = Deliveries({("traces", "awsxray"): 5}, {}, {("traces", "x"): 100})
    second = Deliveries({("traces", "awsxray"): 7}, {("logs", "y"): 1}, {})
    assert first + second == Deliveries({("traces", "awsxray"): 12}, {("logs", "y"): 1}, {})


def test_the_accounts_tell_the_door_from_the_far_end() -> None:
    numbers = SelfMetrics()
    numbers.add(metrics.RECORDS, 123, signal="traces", outcome="accepted")
    numbers.add(metrics.RECORDS, 4, signal="logs", outcome="refused")
    assert accounts.of(numbers, parse(TEXT)) == {
        "event": "accounts",
        "accepted": {"traces": 123, "logs": 0, "metrics": 0},
        "refused": {"traces": 0, "logs": 4, "metrics": 0},
        "malformed": {"traces": 0, "logs": 0, "metrics": 0},
        "delivered": {"logs": {"awscloudwatchlogs": 1000}, "traces": {"awsxray": 120}},
        "given_up": {"traces": {"otlp_grpc/loop-xray": 3}},
        "left_on_disk": {"logs": {"awscloudwatchlogs": 2048}},
    }
