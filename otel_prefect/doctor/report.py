"""Shows what was found: a table for people, JSON for programs."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.doctor.findings import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_prefect.doctor.findings import Finding
    from otel_prefect.doctor.runner import Examined

_COLOURS: Final = {
    Status.RIGHT: "32",
    Status.NOTE: "33",
    Status.WRONG: "31;1",
    Status.SKIPPED: "2",
}
_NARROWEST: Final = 60
_WIDEST: Final = 110
_STATUS_WIDTH: Final = max(len(status.value) for status in Status)
_LONGEST_NAME: Final = 26


def is_well(examined: Iterable[Examined]) -> bool:
    """Tell whether nothing is wrong."""
    return not any(finding.status is Status.WRONG for each in examined for finding in each.findings)


def table(examined: Sequence[Examined], width: int, *, colour: bool = False) -> str:
    """Return one table: status, what was looked at, what was found; below a row what mends it.

    What mends is one line, however long: a terminal copies a line that it has wrapped as one, and a table's
    cell that was broken by us not.

    Args:
        examined: what was found.
        width: of the terminal, in characters.
        colour: whether the terminal shows colours.
    """
    findings = [finding for each in examined for finding in each.findings]
    name = min(max((len(each.what) for each in findings), default=0), _LONGEST_NAME)
    room = min(max(width, _NARROWEST), _WIDEST)
    lines = [line for each in findings for line in _row(each, name, room, colour=colour)]
    statements = _statements(findings)
    if len(statements) > 1:
        lines += ["", "All statements as one policy:", json.dumps(_policy(statements))]
    return "\n".join([*lines, "", _summary(findings)]) + "\n"


def _row(finding: Finding, name: int, width: int, *, colour: bool) -> list[str]:
    status = finding.status.value.ljust(_STATUS_WIDTH)
    if colour:
        status = f"\x1b[{_COLOURS[finding.status]}m{status}\x1b[0m"
    indent = _STATUS_WIDTH + 2 + name + 2
    said = textwrap.wrap(finding.said, width - indent, break_on_hyphens=False) or [""]
    what = finding.what
    head = f"{status}  {what.ljust(name)}  "
    lines = [f"{head}{said[0]}".rstrip()]
    if len(what) > name:  # too long for its column: what was found begins below it
        lines = [f"{status}  {what}", f"{'':{indent}}{said[0]}"]
    lines += [f"{'':{indent}}{line}" for line in said[1:]]
    lines += [f"{'':{_STATUS_WIDTH}}  → {mend}" for mend in _mends(finding)]
    return lines


def _mends(finding: Finding) -> list[str]:
    statement = [] if finding.statement is None else [json.dumps(dict(finding.statement))]
    return [*([finding.mend] if finding.mend else []), *statement]


def _summary(findings: Sequence[Finding]) -> str:
    counts = {status: sum(each.status is status for each in findings) for status in Status}
    told = [f"{counts[status]} {status.value}" for status in Status if counts[status]]
    if counts[Status.WRONG]:
        return f"Something is wrong: {', '.join(told)}."
    return f"Nothing is wrong: {', '.join(told) or 'nothing was looked at'}."


def as_json(examined: Sequence[Examined]) -> str:
    """Return everything as one JSON object, for programs.

    Its keys: ``well`` (bool), ``findings`` (a list: ``check``, ``what``, ``status``, ``said``, ``mend``,
    ``statement``), ``policy`` (one that allows all that was refused, or null), ``seconds`` by check.
    """
    findings = [
        {
            "check": each.check,
            "what": finding.what,
            "status": finding.status.value,
            "said": finding.said,
            "mend": finding.mend,
            "statement": None if finding.statement is None else dict(finding.statement),
        }
        for each in examined
        for finding in each.findings
    ]
    statements = _statements([finding for each in examined for finding in each.findings])
    document = {
        "well": is_well(examined),
        "findings": findings,
        "policy": _policy(statements) if statements else None,
        "seconds": {each.check: round(each.seconds, 3) for each in examined},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _statements(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return each statement once."""
    unique: list[dict[str, Any]] = []
    for finding in findings:
        if finding.statement is not None and dict(finding.statement) not in unique:
            unique.append(dict(finding.statement))
    return unique


def _policy(statements: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a policy of some statements, those of the same actions joined."""
    joined: dict[str, dict[str, Any]] = {}
    for each in statements:
        known = joined.setdefault(json.dumps(each["Action"]), {**each, "Resource": []})
        resources = each["Resource"]
        known["Resource"] += [resources] if isinstance(resources, str) else resources
    return {"Version": "2012-10-17", "Statement": list(joined.values())}
