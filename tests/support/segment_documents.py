"""X-Ray's rules for segment documents, as its documentation has them.

https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html and
https://docs.aws.amazon.com/general/latest/gr/xray.html (limits).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MOST_BYTES: Final = 64 * 1024
MOST_ANNOTATIONS: Final = 50
_ID: Final = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_FLAG: Final = {"type": "boolean"}
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_SCALAR: Final = {"type": ["string", "number", "boolean"]}

_EXCEPTION: Final = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": _ID,
        "message": _TEXT,
        "type": _TEXT,
        "remote": _FLAG,
        "truncated": {"type": "integer"},
        "skipped": {"type": "integer"},
        "cause": _ID,
        "stack": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": _TEXT, "line": {"type": "integer"}, "label": _TEXT},
            },
        },
    },
}
_HTTP: Final = {
    "type": "object",
    "properties": {
        "request": {
            "type": "object",
            "properties": {
                "method": _TEXT,
                "url": _TEXT,
                "user_agent": _TEXT,
                "client_ip": _TEXT,
                "x_forwarded_for": _FLAG,
            },
        },
        "response": {
            "type": "object",
            "properties": {"status": {"type": "integer"}, "content_length": {"type": "integer"}},
        },
    },
}
_COMMON: Final = {
    "id": _ID,
    "name": {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        # Letters, numbers and whitespace of Unicode, and these.
        "pattern": r"^[\w\s.:/%&#=+\\\-@]+$",
    },
    "start_time": _NUMBER,
    "end_time": _NUMBER,
    "in_progress": _FLAG,
    "fault": _FLAG,
    "error": _FLAG,
    "throttle": _FLAG,
    "parent_id": _ID,
    "trace_id": {"type": "string", "pattern": "^1-[0-9a-f]{8}-[0-9a-f]{24}$"},
    "http": _HTTP,
    "sql": {"type": "object", "additionalProperties": _TEXT},
    "aws": {"type": "object"},
    "annotations": {
        "type": "object",
        "propertyNames": {"pattern": "^[A-Za-z0-9_]+$"},
        "additionalProperties": _SCALAR,
    },
    "metadata": {"type": "object", "additionalProperties": {"type": "object"}},
    "cause": {
        "oneOf": [
            _ID,
            {
                "type": "object",
                "properties": {
                    "working_directory": _TEXT,
                    "paths": {"type": "array"},
                    "exceptions": {"type": "array", "items": _EXCEPTION},
                },
            },
        ]
    },
    "subsegments": {"type": "array", "items": {"$ref": "#/$defs/subsegment"}},
    "precursor_ids": {"type": "array", "items": _ID},
    "namespace": {"enum": ["aws", "remote"]},
    "links": {"type": "array"},
}
_IN_PROGRESS: Final = {"required": ["in_progress"], "properties": {"in_progress": {"const": True}}}
# Ended, or in progress, and not both.
_ENDED: Final = {
    "oneOf": [
        {"required": ["end_time"], "not": _IN_PROGRESS},
        {**_IN_PROGRESS, "not": {"required": ["end_time"]}},
    ]
}
SCHEMA: Final = {
    "$defs": {
        "subsegment": {
            "type": "object",
            "required": ["id", "name", "start_time"],
            "properties": {**_COMMON, "type": {"const": "subsegment"}},
            "additionalProperties": False,
            **_ENDED,
        }
    },
    "type": "object",
    "required": ["id", "name", "start_time", "trace_id"],
    "properties": {
        **_COMMON,
        "type": {"const": "subsegment"},
        "service": {"type": "object"},
        "user": _TEXT,
        "origin": _TEXT,
        "resource_arn": _TEXT,
    },
    "additionalProperties": False,
    # A subsegment that is sent by itself says whose it is.
    "if": {"required": ["type"]},
    "then": {"required": ["parent_id"]},
    # A call that goes out is a subsegment; a segment has no namespace.
    "else": {"not": {"required": ["namespace"]}},
    **_ENDED,
}
_VALIDATOR: Final = jsonschema.Draft202012Validator(SCHEMA)


def problems(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what of a trace's documents is not as X-Ray has it, a line each; empty where all is well."""
    found = list(documents)
    known = {part["id"] for document in found for part in parts(document)}
    annotations = {
        key for document in found for part in parts(document) for key in part.get("annotations", {})
    }
    return [
        *(problem for document in found for problem in _of_one(document, known)),
        *([f"{len(annotations)} annotations"] if len(annotations) > MOST_ANNOTATIONS else []),
    ]


def parts(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a document and all subsegments in it."""
    waiting: list[Mapping[str, Any]] = [document]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += part.get("subsegments", ())


def _of_one(document: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    name = f"{document.get('name')} {document.get('id')}"
    for error in _VALIDATOR.iter_errors(document):
        yield f"{name}: {_path(error.absolute_path)}: {error.message[:300]}"
    size = len(json.dumps(document).encode())
    if size > MOST_BYTES:
        yield f"{name}: {size} bytes"
    if document.get("type") == "subsegment" and document.get("parent_id") not in known:
        yield f"{name}: an orphan"
    for part in parts(document):
        start, end = part.get("start_time"), part.get("end_time")
        if isinstance(start, float) and isinstance(end, float) and end < start:
            yield f"{name}: ends before it begins"


def _path(path: Sequence[Any]) -> str:
    return ".".join(map(str, path)) or "it"
