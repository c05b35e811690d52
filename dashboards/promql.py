"""How Prometheus is asked for our metrics.

A sample of a counter or histogram is what was added, not a running total
(``collector-config/metrics/prometheus.yaml``): sums are ``sum_over_time``, never ``rate``. A gauge is one
sample a load or run, which is stale after five minutes: it is looked for over a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.metrics import variables_of
from otel_prefect import prometheus_names, semconv

if TYPE_CHECKING:
    from collections.abc import Iterable

RANGE: Final = "$__range"
STEP: Final = "$__interval"
LONG: Final = "30d"
"""How far back what happens rarely is looked for; Prometheus keeps 15 days unless told otherwise."""
LABEL_OF: Final = {
    "flow": semconv.ANNOTATION_FLOW_NAME,
    "source": semconv.SOURCE,
    "stage": semconv.STAGE,
}


def series(metric: semconv.Metric, only: str = "", part: str = "") -> str:
    """Return the selector of a metric's series, narrowed by the dashboard's variables.

    Args:
        metric: it.
        only: more matchers, such as ``state="completed"``.
        part: ``bucket``, ``sum`` or ``count`` of a histogram.
    """
    name = prometheus_names.metric(metric) + (f"_{part}" if part else "")
    matchers = [f'{LABEL_OF[name]}=~"${name}"' for name in variables_of(metric)]
    inside = ",".join([*([only] if only else []), *matchers])
    return f"{name}{{{inside}}}" if inside else name


def added(  # noqa: PLR0913 - each by its name
    metric: semconv.Metric,
    window: str = RANGE,
    *,
    by: Iterable[str] = (),
    only: str = "",
    part: str = "",
    ago: str = "",
) -> str:
    """Return what was added to a counter in a window that ends ``ago`` before now."""
    return f"sum{_by(by)} (sum_over_time({series(metric, only, part)}[{window}]{_offset(ago)}))"


def newest(
    metric: semconv.Metric, window: str = RANGE, *, by: Iterable[str] = (), how: str = "sum", ago: str = ""
) -> str:
    """Return a gauge's newest values in a window, put together by ``how``."""
    return f"{how}{_by(by)} (last_over_time({series(metric)}[{window}]{_offset(ago)}))"


def largest(metric: semconv.Metric, window: str = RANGE, *, by: Iterable[str] = (), only: str = "") -> str:
    """Return the largest value of a gauge in a window: of times, the newest."""
    return f"max{_by(by)} (max_over_time({series(metric, only)}[{window}]))"


def age(metric: semconv.Metric, by: Iterable[str] = ()) -> str:
    """Return how many seconds ago the time was that a gauge holds."""
    return f"time() - {largest(metric, LONG, by=by)}"


def share(part: str, whole: str) -> str:
    """Return a part of a whole; 0, and not nothing, where the part has no series."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def none_is_zero(part: str, whole: str) -> str:
    """Return a number that is 0 where the whole was measured and the part was not seen."""
    return f"{part} or 0 * {whole}"


def quantile(metric: semconv.Metric, of: float, window: str = RANGE, *, by: Iterable[str] = ()) -> str:
    """Return a quantile of a histogram, as its buckets tell it."""
    buckets = added(metric, window, by=("le", *by), part="bucket")
    return f"histogram_quantile({of}, {buckets})"


def _by(labels: Iterable[str]) -> str:
    named = ", ".join(prometheus_names.label(label) for label in labels)
    return f" by ({named})" if named else ""


def _offset(ago: str) -> str:
    return f" offset {ago}" if ago else ""
