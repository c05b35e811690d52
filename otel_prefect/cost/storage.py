"""What buckets hold, from S3's daily storage metrics in CloudWatch, by region.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.cost import cloudwatch
from otel_prefect.cost.calls import Unread
from otel_prefect.cost.readings import Reading, Readings, largest

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

_DAY: Final = 86_400
# S3 writes a day's value in the course of the next one.
_LOOK_BACK_DAYS: Final = 3
_MOST: Final = 200


def read(client: Any, now: datetime, buckets: Collection[str] = ()) -> Readings:
    """Return the bytes that each bucket holds in each storage class, as of the newest value.

    Args:
        client: of CloudWatch.
        now: in UTC.
        buckets: only these; all of the region where there are none.
    """
    found = Readings()
    asked = cloudwatch.Asked(
        "AWS/S3", "BucketSizeBytes", "Average", _DAY, now - timedelta(days=_LOOK_BACK_DAYS), now
    )
    sizes: dict[tuple[str, ...], float] = {}
    try:
        for dimensions, values in cloudwatch.values(client, asked):
            bucket = dimensions.get("BucketName", "")
            if bucket and (not buckets or bucket in buckets) and values[0] >= 0:
                sizes[bucket, dimensions.get("StorageType", "")] = values[0]
    except Unread as error:
        found.problems.append(error.problem)
        return found
    for (bucket, storage_class), value in largest(sizes, _MOST).items():
        attributes = {semconv.BUCKET: bucket, semconv.STORAGE_CLASS: storage_class}
        found.numbers.append(Reading(semconv.METRIC_STORAGE, value, attributes))
    return found
