"""Text and JSON log lines by which one flow run can be found.

``basic_config()`` is ``logging.basicConfig`` with the run in every line::

    2026-03-01 03:00:12,345 [flow_run_id=3c32c202-…] ERROR ingest.load: no such table

Each field of ``otel_prefect.log.fields.FIELDS`` can be used in any format string of any handler once
``basic_config`` has been called or the library is configured.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import IO, Any, Literal

from otel_prefect import semconv
from otel_prefect.log import fields as log_fields
from otel_prefect.log import records as log_records

TEXT_FORMAT = "%(asctime)s [flow_run_id=%(flow_run_id)s] %(levelname)s %(name)s: %(message)s"


def basic_config(
    *,
    format: Literal["text", "json"] = "text",  # noqa: A002 - as in logging.basicConfig
    level: int | str = logging.INFO,
    stream: IO[str] | None = None,
    force: bool = False,
) -> None:
    """Write the root logger's records as lines that carry the flow run id.

    As with ``logging.basicConfig``, nothing happens where the root logger has handlers, unless ``force``.

    Args:
        format: ``text`` for ``TEXT_FORMAT``, ``json`` for one JSON object a line (see ``JsonFormatter``).
        level: of the root logger, a number or a name.
        stream: where to; stderr where it is None.
        force: remove the root logger's handlers first.

    Raises:
        ValueError: the format is neither ``text`` nor ``json``.
    """
    if format not in ("text", "json"):
        raise ValueError(f"format={format!r} is not known: 'text' and 'json' are")
    log_fields.install()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=force)


class TextFormatter(logging.Formatter):
    """``TEXT_FORMAT``, or a format of your own; a record without the fields shows ``unknown``."""

    def __init__(self, fmt: str = TEXT_FORMAT, datefmt: str | None = None) -> None:
        super().__init__(fmt, datefmt, defaults=log_fields.UNKNOWN)


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Keys: ``timestamp`` (UTC, ISO 8601 with microseconds), ``level``, ``logger``, ``message``, the
    fields of ``log_fields.FIELDS``, the record's extras, and for an exception ``exception.type``,
    ``exception.message`` and ``exception.stacktrace``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        own: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="microseconds"
            ),
            "level": record.levelname,
            "logger": record.name,
            "message": log_records.message(record),
        }
        fields = {name: str(record.__dict__.get(name, semconv.UNKNOWN)) for name in log_fields.FIELDS}
        return json.dumps(
            log_records.extras(record) | log_records.exception(record) | fields | own, ensure_ascii=False
        )
