"""Rotel's processor of traces: adds to each Resource the attributes that it does not have.

Rotel runs this file in a Python of its own, which knows nothing of this repository: the attributes come as
JSON in ``BENCH_ATTRIBUTES``.
"""

import json
import os

from rotel_sdk.open_telemetry.common.v1 import AnyValue, KeyValue  # type: ignore[import-not-found]

_ATTRIBUTES = json.loads(os.environ["BENCH_ATTRIBUTES"])


def process_spans(resource_spans):  # type: ignore[no-untyped-def]  # the name that rotel looks for
    """Complete the Resource of one ``ResourceSpans``."""
    attributes = resource_spans.resource.attributes
    present = {attribute.key for attribute in attributes}
    for key, value in _ATTRIBUTES.items():
        if key not in present:
            attributes.append(KeyValue(key, AnyValue(value)))
