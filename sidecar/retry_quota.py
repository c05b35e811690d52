"""Tells when the Collector has to be started anew, since its AWS SDK is about to run out of retries.

The AWS SDK in the exporters for X-Ray and for CloudWatch's metrics has a quota of a hundred retries without
a success. After that the exporter takes throttling for its own mistake and drops what it has: after 353 s in
which every call was throttled, as measured. A Collector that is started anew begins with a full quota, and
with what is in its queues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sidecar.delivery import Deliveries

# An exporter on the AWS SDK's quota, by the queue before it.
_EXPORTERS: Final = {
    ("traces", "otlp_grpc/loop-xray"): ("traces", "awsxray"),
    ("metrics", "otlp_grpc/loop-emf"): ("metrics", "awsemf"),
}


class RetryQuota:
    """Follows how long exporters have delivered nothing of what waits for them.

    Args:
        seconds: without a success after which the Collector is to be started anew.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Since when nothing was delivered, and how much had been by then.
        self._since: dict[tuple[str, str], tuple[float, int]] = {}

    def running_out(self, deliveries: Deliveries, now: float) -> bool:
        """Tell whether an exporter's time is up; after that it is counted anew.

        Args:
            deliveries: what the Collector says, over all of its starts.
            now: in seconds, by a clock that does not jump.
        """
        over = False
        for queue, exporter in _EXPORTERS.items():
            sent = deliveries.sent.get(exporter, 0)
            since, sent_then = self._since.get(queue, (now, sent))
            if not deliveries.queued_bytes.get(queue) or sent != sent_then:
                since = now
            self._since[queue] = (since, sent)
            over = over or now - since >= self._seconds
        if over:
            self._since.clear()
        return over
