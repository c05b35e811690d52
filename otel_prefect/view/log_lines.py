"""The log records of an execution, as lines that people read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import ids, semconv
from otel_prefect.view import log_group
from otel_prefect.view.words import process_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z", re.ASCII)


@dataclass(frozen=True)
class Line:
    """A log record.

    Attributes:
        time: seconds since 1970.
        level: such as ``ERROR``.
        service: name of the process.
        message: its text, without the fields around it.
        span_id: of the span in which it was said, where it was in one.
        fields: all that came with it.
    """

    time: float
    level: str
    service: str
    message: str
    span_id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The process, as its spans are labelled: the service, with its source where it names one."""
        return process_label(self.service, self.fields.get(semconv.SOURCE))


def of_cloudwatch(logs: Any, group: str, trace_id: str, start: float, end: float) -> tuple[list[Line], int]:
    """Return an execution's lines, by time, and how many more there are at most.

    Args:
        logs: a client of boto3, as ``log_group.events`` needs it.
        group: the log group.
        trace_id: 32 hex digits. All records of a run have X-Ray's form of it, those outside of spans too, and
            those of the runs that it has started.
        start: seconds since 1970.
        end: the same.

    Raises:
        otel_prefect.view.insights.Unanswered: Insights has not answered.
        botocore.exceptions.ClientError: it is refused, or there is no such group.
        botocore.exceptions.BotoCoreError: CloudWatch cannot be reached, or there are no credentials.
    """
    key, value = semconv.XRAY_TRACE_ID, ids.xray_trace_id(int(trace_id, 16))
    texts, left_out = log_group.events(logs, group, (key, value), start, end)
    # What is of another run is left out here too: a group may have what is no JSON of ours.
    found = [line for line in lines(texts) if line.fields.get(key) == value]
    return sorted(found, key=lambda line: line.time), left_out


def lines(texts: Iterable[str]) -> Iterator[Line]:
    """Yield the records among texts; what is none is left out.

    Args:
        texts: JSON objects, as the layer ``cloudwatch`` writes them.
    """
    for text in texts:
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            continue
        line = of_record(record) if isinstance(record, dict) else None
        if line is not None:
            yield line


def of_record(record: Mapping[str, Any]) -> Line | None:
    """Return a record as a line; None where it says no time.

    Args:
        record: as the layers ``cloudwatch`` and ``opensearch`` write it.
    """
    time = seconds(str(record.get("timestamp")))
    if time is None:
        return None
    message = record.get("message", "")
    span_id = record.get(semconv.RECORD_SPAN_ID)
    return Line(
        time=time,
        level=str(record.get("level", "")),
        service=str(record.get("service", "")),
        message=message if isinstance(message, str) else json.dumps(message),
        span_id=span_id if isinstance(span_id, str) and span_id else None,
        fields=record,
    )


def seconds(text: str) -> float | None:
    """Return a time such as ``2026-11-25T14:24:27.5Z`` in seconds since 1970; None where it is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    try:
        whole = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return whole.timestamp() + float(f"0{found[2] or ''}")
