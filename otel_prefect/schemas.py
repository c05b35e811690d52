"""The last known form of tables: which columns of which types each had, kept beside the pipeline.

One JSON object a table, ``{"column": "type"}``, in a folder or under a prefix in S3. Who loads a table is its
only writer; two at once leave the later one's form, and each tells what changed against what it has read.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, str]


class Change(NamedTuple):
    """What became of one column.

    Attributes:
        kind: ``added``, ``removed`` or ``retyped``.
        column: its name.
        before: its type as last known; None where it was not there.
        now: its type; None where it is gone.
    """

    kind: str
    column: str
    before: str | None
    now: str | None


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[Change]:
    """Return how a table's columns differ, by the columns' names; their order is no difference."""
    found = []
    for column in sorted(before.keys() | now.keys()):
        was, is_now = before.get(column), now.get(column)
        if was != is_now:
            kind = "added" if was is None else "removed" if is_now is None else "retyped"
            found.append(Change(kind, column, was, is_now))
    return found


class Store(Protocol):
    """Where forms are kept."""

    def read(self, table: str) -> Schema | None:
        """Return a table's last known form; None where there is none. Raises where it cannot be told."""

    def write(self, table: str, schema: Schema) -> None:
        """Keep a table's form. Raises where that cannot be done; then the one before is still there."""


def store(where: str) -> Store | None:
    """Return the store that ``OTEL_PREFECT_SCHEMAS`` names; None where it is empty."""
    if not where:
        return None
    if where.startswith("s3://"):
        bucket, _, prefix = where.removeprefix("s3://").partition("/")
        return _Bucket(bucket, prefix.strip("/"))
    return _Folder(Path(where))


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, table: str) -> Schema | None:
        try:
            return _parsed((self._path / _file(table)).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, table: str, schema: Schema) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        # Beside it and then in its place: a process that is killed leaves the old one or the new one.
        handle, name = tempfile.mkstemp(dir=self._path, suffix=".new")
        with os.fdopen(handle, "wb") as file:
            file.write(_text(schema))
        Path(name).replace(self._path / _file(table))


class _Bucket:
    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._made: Any = None

    def read(self, table: str) -> Schema | None:
        client = self._client()
        try:
            answer = client.get_object(Bucket=self._bucket, Key=self._prefix + _file(table))
        except client.exceptions.NoSuchKey:
            return None
        return _parsed(answer["Body"].read())

    def write(self, table: str, schema: Schema) -> None:
        self._client().put_object(
            Bucket=self._bucket,
            Key=self._prefix + _file(table),
            Body=_text(schema),
            ContentType="application/json",
        )

    def _client(self) -> Any:
        if self._made is None:
            import boto3  # noqa: PLC0415 - only where S3 is asked
            from botocore.config import Config  # noqa: PLC0415

            # A load does not wait for long because of its description.
            patience = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})
            self._made = boto3.client("s3", config=patience)
        return self._made


def _file(table: str) -> str:
    return f"{quote(table, safe='')}.json"


def _text(schema: Schema) -> bytes:
    return json.dumps(schema, ensure_ascii=False, indent=1).encode()


def _parsed(text: bytes) -> Schema:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("not a JSON object of columns and their types")
    return found
