"""When the Collector is started anew before its AWS SDK has no retries left."""

from __future__ import annotations

from sidecar.delivery import Deliveries
from sidecar.retry_quota import RetryQuota

QUEUE, XRAY = ("traces", "otlp_grpc/loop-xray"), ("traces", "awsxray")


def waiting(sent: int = 0, queued: int = 100) -> Deliveries:
    return Deliveries(sent={XRAY: sent}, queued_bytes={QUEUE: queued})


def test_it_is_time_once_nothing_was_delivered_for_so_long_and_then_anew() -> None:
    quota = RetryQuota(180)
    told = [quota.running_out(waiting(), float(now)) for now in range(0, 400, 20)]
    assert [20 * number for number, over in enumerate(told) if over] == [180, 380]


def test_a_delivery_begins_the_time_anew() -> None:
    quota = RetryQuota(180)
    assert not quota.running_out(waiting(sent=0), 0)
    assert not quota.running_out(waiting(sent=1), 170)
    assert not quota.running_out(waiting(sent=1), 340)
    assert quota.running_out(waiting(sent=1), 350)


def test_nothing_that_waits_is_no_reason() -> None:
    quota = RetryQuota(180)
    assert not any(quota.running_out(waiting(queued=0), float(now)) for now in range(0, 1000, 10))
    assert not quota.running_out(waiting(), 1000)


def test_exporters_without_that_quota_are_left_alone() -> None:
    quota = RetryQuota(180)
    logs = Deliveries(queued_bytes={("logs", "awscloudwatchlogs"): 100})
    assert not any(quota.running_out(logs, float(now)) for now in range(0, 1000, 10))
