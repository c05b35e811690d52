"""The flow run id is the trace id.

A Prefect flow run id is a UUID, 128 bits, and so is a W3C trace id. X-Ray writes
the same 128 bits as ``1-8 hex-24 hex``
(https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-traceids).
"""

from __future__ import annotations

import re
from functools import lru_cache
from uuid import UUID

_FLOW_RUN_ID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_XRAY_TRACE_ID = re.compile(r"1-([0-9a-fA-F]{8})-([0-9a-fA-F]{24})")


def parse_flow_run_id(text: str) -> UUID:
    """Read a flow run id as a user or Prefect writes it.

    Args:
        text: 32 hex digits, with or without the hyphens of a UUID.

    Returns:
        The id. All versions are taken: Prefect uses 4 and 7.

    Raises:
        ValueError: it is not a UUID, or it is all zeros, which W3C forbids as a trace id.
    """
    if not _FLOW_RUN_ID.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a flow run id: 32 hex digits in the form of a UUID are needed")
    run_id = UUID(text.strip())
    if run_id.int == 0:
        raise ValueError(f"{text!r} is not a flow run id: all zeros is not a valid trace id")
    return run_id


@lru_cache(512)
def read_uuid(text: str) -> UUID | None:
    """Return the id that a span or log record carries as text; None where it is none.

    Kept for the ids of late, since spans and records of one run come in thousands.
    """
    try:
        return UUID(text)
    except ValueError:
        return None


@lru_cache(512)
def show_uuid(value: UUID) -> str:
    """Return an id as text, kept as above."""
    return str(value)


def trace_id(flow_run_id: UUID) -> int:
    """Return the 128-bit W3C trace id of a flow run."""
    return flow_run_id.int


def trace_id_of(flow_run_id: str) -> str:
    """Return the trace id of a flow run as 32 hex digits.

    Raises:
        ValueError: as ``parse_flow_run_id``.
    """
    return f"{trace_id(parse_flow_run_id(flow_run_id)):032x}"


def flow_run_id(trace_id: int) -> UUID:
    """Return the flow run id that a 128-bit trace id was made from.

    Raises:
        ValueError: the number does not fit into 128 bits.
    """
    return UUID(int=trace_id)


def made_at(flow_run_id: UUID) -> float | None:
    """Return when an id was made, in seconds since 1970; None where it is not of version 7, which says so.

    https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7
    """
    return (flow_run_id.int >> 80) / 1000 if flow_run_id.version == 7 else None


def xray_trace_id(trace_id: int) -> str:
    """Return the ``1-…`` string by which X-Ray knows a 128-bit trace id."""
    digits = f"{trace_id:032x}"
    return f"1-{digits[:8]}-{digits[8:]}"


def parse_xray_trace_id(text: str) -> int:
    """Return the 128-bit trace id behind X-Ray's ``1-…`` string.

    Raises:
        ValueError: it is not of that form.
    """
    match = _XRAY_TRACE_ID.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an X-Ray trace id: 1-, 8 hex digits, -, 24 hex digits are needed")
    return int(match[1] + match[2], 16)
