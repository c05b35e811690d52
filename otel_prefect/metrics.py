"""What only the pipeline knows of its tables: rows, bytes, freshness, completeness, and their columns.

::

    from otel_prefect import metrics

    metrics.loaded("orders", rows=1_200, size=34_567, expected_rows=1_250, newest=last_order_at)
    metrics.schema("orders", {"order_id": "bigint", "amount": "decimal(10,2)"})

Everything else is OpenTelemetry's own metrics API, which works in each process that the library has set up.
A value that cannot be is not recorded: ``pipeline.values.refused`` counts it and one warning says which.
Nothing here raises, and where nothing was set up nothing happens.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import time
from datetime import datetime, timezone
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import schemas, semconv
from otel_prefect.guard import never_raises, warn_once
from otel_prefect.instruments import instrument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_prefect.semconv import Metric

__all__ = ["loaded", "schema"]

_logger = logging.getLogger(__name__)

_SCOPE: Final = "otel_prefect.metrics"
# Clocks of two machines differ; a time that is further ahead than that is wrong.
_AHEAD_SECONDS: Final = 300
# Whole numbers beyond this are not exact as the doubles that destinations keep.
_LARGEST: Final = 2**53

# Forms that this process has seen, where no store is set.
_seen: dict[str, dict[str, str]] = {}


@never_raises(None)
def loaded(  # noqa: PLR0913 - the facts of a load, all by keyword
    table: str,
    *,
    rows: int,
    size: int | None = None,
    expected_rows: int | None = None,
    newest: datetime | None = None,
    source: str | None = None,
) -> None:
    """Record that a table has been loaded.

    Args:
        table: its name, one of few: each is a series of its own.
        rows: how many were loaded, 0 or more.
        size: bytes that were loaded.
        expected_rows: how many there should have been; what was loaded against it is the completeness.
        newest: until when the data goes, such as the last order's time; without a zone it is taken as UTC.
        source: that the data is of; without it the process's ``SOURCE``.
    """
    attributes = {semconv.TABLE: table, **({} if source is None else {semconv.SOURCE: source})}
    if not _taken(semconv.METRIC_TABLE_ROWS, table, rows, _not_a_count(rows)):
        return  # whatever came with it is of a load that cannot have been
    instrument(semconv.METRIC_TABLE_ROWS, _SCOPE).add(rows, attributes)
    instrument(semconv.METRIC_TABLE_LOADED, _SCOPE).set(time.time(), attributes)
    if size is not None and _taken(semconv.METRIC_TABLE_SIZE, table, size, _not_a_count(size)):
        instrument(semconv.METRIC_TABLE_SIZE, _SCOPE).add(size, attributes)
    if expected_rows is not None:
        completeness = semconv.METRIC_TABLE_COMPLETENESS
        possible = _taken(completeness, table, expected_rows, _not_a_count(expected_rows))
        if possible and expected_rows > 0:  # of none expected nothing can be missing
            instrument(completeness, _SCOPE).set(rows / expected_rows, attributes)
    if newest is not None and _taken(semconv.METRIC_TABLE_NEWEST, table, newest, _not_a_time(newest)):
        instrument(semconv.METRIC_TABLE_NEWEST, _SCOPE).set(_seconds(newest), attributes)


@never_raises([])
def schema(table: str, columns: Mapping[str, Any]) -> list[schemas.Change]:
    """Compare a table's columns with its last known form, and keep them as that.

    Each column that was added, removed or retyped is counted in ``pipeline.table.schema_changes``, and one
    warning in the log has them all. The last known form stands where ``OTEL_PREFECT_SCHEMAS`` says; without
    it, only what this process has seen is known.

    Args:
        table: its name.
        columns: each column's type, as text or as anything whose ``str`` is its name: ``dict(frame.dtypes)``
            of pandas and Spark.

    Returns:
        The changes; none at the first time, or where the last form cannot be read.
    """
    now = {str(column): str(kind) for column, kind in columns.items()}
    before, keep = _last_form(table)
    if before == now:
        return []
    keep(now)
    if before is None:
        return []
    found = schemas.changes(before, now)
    for change in found:
        attributes = {semconv.TABLE: table, semconv.CHANGE: change.kind}
        instrument(semconv.METRIC_SCHEMA_CHANGES, _SCOPE).add(1, attributes)
    _logger.warning("table %s: %s", table, "; ".join(map(_told, found)))
    return found


def _told(change: schemas.Change) -> str:
    if change.kind == "retyped":
        return f"column {change.column} is {change.now}, was {change.before}"
    return f"column {change.column} ({change.now or change.before}) was {change.kind}"


def _last_form(table: str) -> tuple[dict[str, str] | None, Any]:
    """Return a table's last known form, and what keeps another."""
    where = os.environ.get(semconv.ENV_SCHEMAS.name, "").strip()
    kept = schemas.store(where)
    if kept is None:
        return _seen.get(table), functools.partial(_seen.__setitem__, table)
    try:
        return kept.read(table), functools.partial(_write, kept, where, table)
    except Exception as error:  # whatever S3 or a disk has to say
        # Not written over: what cannot be read now may be there.
        warn_once(
            _logger,
            "%s=%s cannot be read: %s; changes of tables are not seen",
            semconv.ENV_SCHEMAS.name,
            where,
            error,
        )
        return None, lambda _: None


def _write(kept: schemas.Store, where: str, table: str, form: dict[str, str]) -> None:
    try:
        kept.write(table, form)
    except Exception as error:  # as above
        warn_once(
            _logger,
            "%s=%s cannot be written: %s; changes of tables are told again",
            semconv.ENV_SCHEMAS.name,
            where,
            error,
        )


def _taken(metric: Metric, table: str, value: object, problem: str | None) -> bool:
    """Tell whether a value is to be recorded; where it is not, count it and say so once."""
    if problem is None:
        return True
    instrument(semconv.METRIC_REFUSED, _SCOPE).add(1, {semconv.TABLE: table, semconv.REASON: problem})
    warn_once(_logger, "%s of table %s: %r is not recorded: %s", metric.name, table, value, problem)
    return False


def _not_a_count(value: object) -> str | None:
    """Tell what is wrong with a number of rows or bytes; None where nothing is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return "no number"
    number = float(value)
    if not math.isfinite(number):
        return "not finite"
    if number < 0:
        return "negative"
    return "too large" if number > _LARGEST else None


def _not_a_time(value: object) -> str | None:
    """Tell what is wrong with the time of data; None where nothing is."""
    if not isinstance(value, datetime):
        return "no time"
    seconds = _seconds(value)
    if seconds > time.time() + _AHEAD_SECONDS:
        return "in the future"
    return "negative" if seconds < 0 else None


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
