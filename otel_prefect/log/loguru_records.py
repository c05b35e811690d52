"""Records of loguru carry the fields of the run and go out over OTLP, once.

The fields are in the record's ``extra``, for formats as ``{extra[flow_run_id]}`` and for ``serialize=True``;
what the code has bound itself wins. A record goes out where a handler's level asks for it.

A sink of ours would not outlive the ``logger.remove()`` that most programs begin with, nor a patcher of ours
their ``logger.configure``. So it is done where loguru gives a record to a handler.
"""

from __future__ import annotations

from typing import Any

import wrapt

from otel_prefect.guard import never_raises
from otel_prefect.log import export as log_export
from otel_prefect.log import fields as log_fields
from otel_prefect.log import records as log_records

_MODULE = "loguru._handler"
# In the record, beside its `extra`: a record comes once for each handler.
_SEEN = "otel_prefect"


def install() -> None:
    """Stand before loguru's handlers, now or as soon as it is imported."""
    wrapt.register_post_import_hook(_wrap, _MODULE)


def _wrap(module: Any) -> None:
    if hasattr(getattr(module, "Handler", None), "emit"):
        wrapt.wrap_function_wrapper(module, "Handler.emit", _emit)
        log_export.loguru_is_used = True


def _emit(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if args:
        _take(args[0])
    with log_export.handing_on(log_export.LOGURU):
        return wrapped(*args, **kwargs)


@never_raises(None)
def _take(record: dict[str, Any]) -> None:
    if _SEEN in record:
        return
    record[_SEEN] = True
    place = log_fields.current_place()
    attributes = log_records.values(
        (name, value) for name, value in record["extra"].items() if name not in log_fields.FIELDS
    )
    record["extra"] = {**log_fields.words(place).shown, **record["extra"]}
    if not log_export.is_new_to(log_export.LOGURU):
        return
    if record["exception"] is not None and record["exception"].value is not None:
        error = record["exception"]
        attributes |= log_records.exception_attributes(error.value, error.traceback)
    made = log_records.record_of(
        place,
        int(record["time"].timestamp() * 1e9),
        record["level"].no,
        log_records.text(record["message"]),
        attributes,
    )
    log_export.send(record["name"] or log_export.LOGURU, made)
