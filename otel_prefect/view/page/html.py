"""Writes the page: what is to be read stands in it as HTML, the spans as data for its scripts."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import __version__, ids, semconv
from otel_prefect.view import gaps
from otel_prefect.view.critical_path import critical_path
from otel_prefect.view.failures import failures
from otel_prefect.view.log_of_processes import around, by_process
from otel_prefect.view.page.data import data, kept
from otel_prefect.view.words import clock, duration, moment_utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_prefect.view.critical_path import Step
    from otel_prefect.view.execution import Execution, Span
    from otel_prefect.view.failures import Failure
    from otel_prefect.view.log_lines import Line

_FOLDER: Final = Path(__file__).parent
# In this order: each uses what those before it have.
_SCRIPTS: Final = ("model.js", "timeline.js", "rows.js", "details.js", "page.js")
_MOST_OPEN: Final = 5
_MOST_FAILURES: Final = 100
_MOST_FRAMES: Final = 12
_MOST_SHARES: Final = 12


def page(
    execution: Execution,
    lines: Sequence[Line],
    now: float | None = None,
    places: Mapping[str, str] | None = None,
) -> str:
    """Return the page.

    Args:
        execution: of one trace, with one span at least.
        lines: its log, by time.
        now: in seconds since 1970, for what is in progress; None: the last time that the trace knows.
        places: what shows it too, by name, with the address.
    """
    until = execution.until(now)
    path = critical_path(execution, until)
    here = kept(lines)
    style, script = _read("page.css"), _script()
    template = Template(_read("page.html"))
    return template.substitute(
        title=escape(_title(execution)),
        # Nothing is fetched, and only this script and this style are taken: it shows what others wrote.
        policy=f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'",
        style=style,
        head="".join(_head(execution, until, places or {}, len(lines) - len(here))),
        failures="".join(_failures(execution, lines)),
        stages=escape(" · ".join(_stages(execution, path))),
        shares="".join(_shares(execution, path)),
        data=_json(data(execution, path, here, until)),
        script=script,
        version=escape(__version__),
    )


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _script() -> str:
    return "\n(() => {\n'use strict';\n" + "\n".join(_read(name) for name in _SCRIPTS) + "})();\n"


def _digest(text: str) -> str:
    """Return what a policy calls a text by: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: Any) -> str:
    """Return JSON that ends no script element, whatever is in it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


# --- the head -----------------------------------------------------------------------------------


def _title(execution: Execution) -> str:
    first = execution.first
    return f"{execution.state}: {first.name} {first.attributes.get(semconv.PREFECT_RUN_NAME) or ''}".strip()


def _head(
    execution: Execution, until: float, places: Mapping[str, str], lines_left_out: int
) -> Iterator[str]:
    first = execution.first
    yield (
        f'<h1><span class="state {_class(first)}">{escape(execution.state)}</span> {escape(first.name)} '
        f'<span class="run">{escape(str(first.attributes.get(semconv.PREFECT_RUN_NAME) or ""))}</span></h1>'
    )
    facts = {
        "took" if not execution.in_progress else "so far": duration(until - execution.start),
        "began": moment_utc(execution.start),
        "flow run": str(first.attributes.get(semconv.RECORD_FLOW_RUN_ID) or ""),
        "X-Ray": ids.xray_trace_id(int(execution.trace_id, 16)),
    }
    said = (
        f'<div><dt>{name}</dt><dd class="{name}">{escape(value)}</dd></div>'
        for name, value in facts.items()
        if value
    )
    yield f'<dl class="facts">{"".join(said)}</dl>'
    if places:
        links = (
            f'<a href="{escape(address)}" rel="noreferrer">{escape(name)}</a>'
            for name, address in places.items()
        )
        yield f'<p class="places">{" ".join(links)}</p>'
    yield from (_note(f"Incomplete: {note}.") for note in execution.incomplete())
    if lines_left_out:
        yield _note(
            f"Of the log, {lines_left_out:,} lines are not here; warnings, errors and the last others are."
        )


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _class(span: Span) -> str:
    return span.status.value.replace(" ", "-")


# --- what failed --------------------------------------------------------------------------------


def _failures(execution: Execution, lines: Sequence[Line]) -> Iterator[str]:
    found = failures(execution)
    if found:
        yield "<h2>What failed</h2>"
    said = by_process(execution, lines) if found else {}
    lasting = [failure for failure in found if not failure.recovered]
    yield from (_failure(execution, failure, said) for failure in lasting[:_MOST_OPEN])
    yield from _folded("more", execution, lasting[_MOST_OPEN:], said)
    yield from _folded("recovered", execution, [each for each in found if each.recovered], {})


def _folded(
    how: str, execution: Execution, found: Sequence[Failure], said: Mapping[str, Sequence[Line]]
) -> Iterator[str]:
    if found:
        yield f"<details><summary>{len(found)} {how}</summary>"
        yield from (_failure(execution, each, said) for each in found[:_MOST_FAILURES])
        left = len(found) - _MOST_FAILURES
        yield (_note(f"And {left:,} more, in the run below.") if left > 0 else "") + "</details>"


def _failure(execution: Execution, failure: Failure, said: Mapping[str, Sequence[Line]]) -> str:
    return "".join(_failure_parts(execution, failure, said))


def _failure_parts(
    execution: Execution, failure: Failure, said: Mapping[str, Sequence[Line]]
) -> Iterator[str]:
    span = failure.span
    process = execution.process(span)
    yield f'<article class="failure{" recovered" if failure.recovered else ""}">'
    yield (
        f'<h3>{escape(process.label)} <span class="under">▸</span> {escape(span.name)} '
        f'<button type="button" class="go" data-span="{escape(span.id)}">show it</button></h3>'
    )
    yield f'<p class="said">{escape(failure.said)}{"".join(_badges(failure))}</p>'
    for caught in span.exceptions[:1]:
        if caught.stack:
            yield f"<pre>{escape(chr(10).join(caught.stack[-_MOST_FRAMES:]))}</pre>"
    near = around(said.get(process.id, ()), span.until(execution.end))
    if near:
        yield '<table class="log"><caption>its log at that time (UTC)</caption>'
        yield from (_line(line) for line in near)
        yield "</table>"
    yield "</article>"


def _badges(failure: Failure) -> Iterator[str]:
    if failure.count > 1:
        yield f' <span class="badge">{failure.count} times</span>'
    if failure.was_killed:
        yield ' <span class="badge">closed by the sidecar</span>'
    if failure.recovered:
        yield ' <span class="badge">recovered</span>'


def _line(line: Line) -> str:
    return (
        f'<tr class="{escape(line.level.lower())}"><td>{clock(line.time)}</td>'
        f"<td>{escape(line.level)}</td><td>{escape(line.message)}</td></tr>"
    )


# --- where the time went ------------------------------------------------------------------------


def _stages(execution: Execution, path: Sequence[Step]) -> Iterator[str]:
    for each in gaps.stages(execution, path)[:_MOST_SHARES]:
        yield f"{each.stage} {duration(each.seconds)} ({each.share:.0%})"


def _shares(execution: Execution, path: Sequence[Step]) -> Iterator[str]:
    for each in gaps.shares(execution, path)[:_MOST_SHARES]:
        waiting = f" <em>{escape(each.waiting)}</em>" if each.waiting else ""
        yield (
            f"<tr><td>{escape(each.process)}</td><td>{escape(each.name)}{waiting}</td>"
            f"<td>{duration(each.seconds)}</td><td>{each.share:.0%}</td>"
            f'<td><meter value="{each.share:.3f}" aria-hidden="true"></meter></td></tr>'
        )
