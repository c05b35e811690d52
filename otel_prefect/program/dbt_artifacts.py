"""The files that dbt leaves in its target folder: what became of each node, and what each node is.

Formats: https://docs.getdbt.com/reference/artifacts/run-results-json and .../manifest-json. Only what this
project uses is read, and nothing is taken for granted of it: other versions of dbt write other keys.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_logger = logging.getLogger(__name__)

# A manifest of 2,000 models has some 20 MB, and takes ten times that while it is read.
_LARGEST_BYTES = 64 * 1024 * 1024
# The clock of a file system may be a tick behind the one that we read.
_CLOCK_TICK_NANOSECONDS = 50_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# The key's default is used by all but a few projects; there is no YAML parser in the library for them.
_TARGET_PATH = re.compile(r"^target-path:\s*[\"']?([^\"'#\n]+?)[\"']?\s*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What became of one node.

    Attributes:
        unique_id: of the node: ``model.shop.orders``.
        status: success, error, fail, warn, pass, skipped, no-op or partial success.
        message: dbt's or the database's; of a failure, why.
        rows_affected: rows that the database says it has written; None where it says nothing.
        failures: rows that a test found at fault.
        thread: dbt's name of the thread that ran it.
        seconds: by phase, ``compile`` and ``execute``.
        started: nanoseconds since 1970; None where it did not run.
        ended: nanoseconds since 1970.
    """

    unique_id: str
    status: str
    message: str | None = None
    rows_affected: int | None = None
    failures: int | None = None
    thread: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    started: int | None = None
    ended: int | None = None


@dataclass(frozen=True)
class NodeFacts:
    """What the manifest says of one node.

    Attributes:
        name: of the node.
        path: of its file in the project.
        materialized: table, view, incremental, …
        tags: of the node.
        tests: for a test: the node that it tests.
        column: for a test of one column: which.
        depends_on: the nodes that it reads.
    """

    name: str | None = None
    path: str | None = None
    materialized: str | None = None
    tags: tuple[str, ...] = ()
    tests: str | None = None
    column: str | None = None
    depends_on: tuple[str, ...] = ()


def target_folder(program: Sequence[str], environ: Mapping[str, str] | None = None) -> Path:
    """Return where dbt writes its files, as dbt itself finds it.

    ``--target-path``, else ``DBT_TARGET_PATH``, else ``target-path`` of ``dbt_project.yml``, else
    ``target``; relative to ``--project-dir``, else ``DBT_PROJECT_DIR``, else the nearest folder upwards that
    has a ``dbt_project.yml``.

    Args:
        program: dbt and its arguments.
        environ: the environment; the process's own where it is None.
    """
    variables = os.environ if environ is None else environ
    given = _option(program, "--project-dir") or variables.get("DBT_PROJECT_DIR")
    project = Path(given) if given else _project_folder(Path.cwd())
    target = (
        _option(program, "--target-path")
        or variables.get("DBT_TARGET_PATH")
        or _configured(project / "dbt_project.yml")
    )
    return project / (target or "target")


def results(folder: Path, since: int, invocation_id: str | None) -> list[Result] | None:
    """Return what became of each node of an invocation; None where the file is not this invocation's.

    Args:
        folder: dbt's target folder.
        since: nanoseconds since 1970; a file that is older is an earlier run's.
        invocation_id: dbt's id of the run, where its output has told it.
    """
    file = _json(folder / "run_results.json", since)
    if file is None:
        return None
    written_by = _dict(file.get("metadata")).get("invocation_id")
    if invocation_id is not None and written_by != invocation_id:
        return None
    entries = file.get("results")
    return (
        [result for entry in entries if (result := read_result(entry))] if isinstance(entries, list) else []
    )


def facts(folder: Path, since: int) -> dict[str, NodeFacts]:
    """Return what the manifest says: unique id → facts. Empty where there is none of this run.

    Args:
        folder: dbt's target folder.
        since: see ``results``.
    """
    file = _json(folder / "manifest.json", since) or {}
    nodes = {**_dict(file.get("nodes")), **_dict(file.get("unit_tests"))}
    return {unique_id: _facts(_dict(node)) for unique_id, node in nodes.items()}


def read_result(entry: object, unique_id: str | None = None) -> Result | None:
    """Return a result out of ``run_results.json``, or out of a ``NodeFinished`` event, which is much alike.

    Args:
        entry: the parsed JSON.
        unique_id: of the node, where the entry does not say it.
    """
    values = _dict(entry)
    unique_id = text(values.get("unique_id")) or unique_id
    status = text(values.get("status"))
    if unique_id is None or status is None:
        return None
    phases = list(_phases(values.get("timing", values.get("timing_info"))))
    return Result(
        unique_id=unique_id,
        status=status.lower(),
        message=text(values.get("message")),
        rows_affected=_whole(_dict(values.get("adapter_response")).get("rows_affected")),
        failures=_whole(values.get("failures", values.get("num_failures"))),
        thread=text(values.get("thread_id", values.get("thread"))),
        seconds={name: (ended - started) / 1e9 for name, started, ended in phases},
        started=min((started for _, started, _ in phases), default=None),
        ended=max((ended for _, _, ended in phases), default=None),
    )


def nanoseconds(value: object) -> int | None:
    """Return a time as dbt writes it, without a zone or with Z and always UTC, as nanoseconds since 1970."""
    if not isinstance(value, str) or not value:
        return None
    try:
        time = datetime.fromisoformat(value.removesuffix("Z"))
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def text(value: object) -> str | None:
    """Return a value if it is text and not empty."""
    return value if isinstance(value, str) and value else None


def _phases(timing: object) -> Iterator[tuple[str, int, int]]:
    for entry in timing if isinstance(timing, list) else ():
        values = _dict(entry)
        name = text(values.get("name"))
        started, ended = nanoseconds(values.get("started_at")), nanoseconds(values.get("completed_at"))
        if name and started and ended:
            yield name, started, ended


def _facts(node: Mapping[str, Any]) -> NodeFacts:
    depends_on = _dict(node.get("depends_on")).get("nodes")
    return NodeFacts(
        name=text(node.get("name")),
        path=text(node.get("original_file_path")),
        materialized=text(_dict(node.get("config")).get("materialized")),
        tags=_texts(node.get("tags")),
        tests=text(node.get("attached_node")),
        column=text(node.get("column_name")),
        depends_on=_texts(depends_on),
    )


def _json(path: Path, since: int) -> dict[str, Any] | None:
    """Return a file's content; None where it is missing, older, not JSON or too large to be read."""
    try:
        stat = path.stat()
        if stat.st_mtime_ns < since - _CLOCK_TICK_NANOSECONDS:
            return None
        if stat.st_size > _LARGEST_BYTES:
            _logger.warning(
                "%s has %d MB and is not read: spans of dbt's nodes say less", path, stat.st_size >> 20
            )
            return None
        return _dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None


def _project_folder(start: Path) -> Path:
    return next((one for one in (start, *start.parents) if (one / "dbt_project.yml").is_file()), start)


def _configured(project_file: Path) -> str | None:
    try:
        found = _TARGET_PATH.search(project_file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    # A template is dbt's to render.
    return found[1].strip() if found and "{" not in found[1] else None


def _option(program: Sequence[str], name: str) -> str | None:
    for position, argument in enumerate(program):
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
        if argument == name and position + 1 < len(program):
            return program[position + 1]
    return None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _whole(value: object) -> int | None:
    """Return a count; some databases answer text, and -1 where they do not know."""
    try:
        number = int(float(value)) if isinstance(value, str | int | float) else -1
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 2**63 else None
