"""What metrics and attributes are called in Prometheus, where the ``prometheus`` layers have written them.

The rules are those of the exporter (translation ``UnderscoreEscapingWithSuffixes``):
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_prefect.semconv import Metric

# Units that our metrics have; annotations in braces do not appear in names.
_UNITS: Final = {"s": "seconds", "By": "bytes", "MiBy": "mebibytes", "1": "ratio", "%": "percent"}
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9:]+")


def metric(declared: Metric) -> str:
    """Return a metric's name; a histogram's series have ``_bucket``, ``_sum`` and ``_count`` after it.

    Raises:
        KeyError: its unit is none that we know the suffix of.
    """
    words = [label(declared.name)]
    if not declared.unit.startswith("{"):
        unit = _UNITS[declared.unit]
        # A name that says it already is left, and a counter of 1 is no ratio.
        if unit not in words[0].split("_") and not (unit == "ratio" and declared.kind == "counter"):
            words.append(unit)
    if declared.kind == "counter":
        words.append("total")
    return "_".join(words)


def label(attribute: str) -> str:
    """Return the label that an attribute becomes."""
    return _NOT_IN_A_NAME.sub("_", attribute)
