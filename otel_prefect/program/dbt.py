"""Every model, test, seed and snapshot that dbt runs is a span under the span of ``otel-prefect run``.

With ``--log-format json`` dbt says on its output when a node starts and ends; a span is open for so long, and
the node's log records are in it. How many rows a node wrote, and why it failed, stands in
``run_results.json``, which dbt writes at its end: spans end then, with the node's own time. (At
``--log-level debug`` the output has that too, and each span ends with its node.) With text output, all comes
from the file.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.trace import Status, StatusCode

from otel_prefect import semconv
from otel_prefect.guard import never_raises
from otel_prefect.program import dbt_artifacts
from otel_prefect.program.dbt_artifacts import NodeFacts, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

_TESTS = frozenset({"test", "unit_test"})
_FAILED = frozenset({"error", "fail", "runtime error", "partial success"})
# `dbt.artifacts.schemas.results.NodeStatus`; while a node is under way it is started, compiling or executing.
_FINAL = _FAILED | {"success", "warn", "skipped", "pass", "no-op"}
_LONGEST_MESSAGE = 4096
_NAMES_DBT = re.compile(r"\bdbt\b")


@dataclass
class _Node:
    """A node that has been seen.

    Attributes:
        unique_id: ``model.shop.orders``.
        span: open until ``ended``.
        result: what is known of its end by now; None while it runs.
        finished: nanoseconds since 1970.
        ended: whether the span has ended.
    """

    unique_id: str
    span: Span
    result: Result | None = None
    finished: int | None = None
    ended: bool = False

    @property
    def resource_type(self) -> str:
        return self.unique_id.partition(".")[0]


class DbtRun:
    """Makes spans of what one program says of dbt's nodes. All methods may be called from any thread."""

    def __init__(self, program: Sequence[str], span: Span) -> None:
        """Prepare for the program's first line.

        Args:
            program: which may be dbt, or start it.
            span: of the program.
        """
        self._folder = dbt_artifacts.target_folder(program)
        self._may_be_dbt = any(_NAMES_DBT.search(argument) for argument in program)
        self._began = time.time_ns()
        self._invocation: str | None = None
        self._parent = trace.set_span_in_context(span)
        self._nodes: dict[str, _Node] = {}
        self._lock = threading.Lock()
        self._tracer = trace.get_tracer(semconv.DBT_SCOPE)
        meter = metrics.get_meter(semconv.DBT_SCOPE)
        self._tests, self._finished = (
            meter.create_counter(metric.name, metric.unit, metric.meaning)
            for metric in (semconv.METRIC_DBT_TESTS, semconv.METRIC_DBT_NODES)
        )

    @never_raises(None)
    def feed(self, event: Mapping[str, Any]) -> Span | None:
        """Take one event of ``--log-format json``.

        Returns:
            The span of the node that it is about; None where it is about none.
        """
        info, data = _dict(event.get("info")), _dict(event.get("data"))
        node_info = _dict(data.get("node_info"))
        unique_id = dbt_artifacts.text(node_info.get("unique_id"))
        with self._lock:
            self._note_invocation(dbt_artifacts.text(info.get("invocation_id")))
            if unique_id is None:
                return None
            node = self._node(unique_id, node_info, dbt_artifacts.text(info.get("thread")))
            if node is None:
                return None
            _set(node.span, {semconv.DBT_TEST_NODE: dbt_artifacts.text(data.get("attached_node"))})
            status = str(node_info.get("node_status")).lower()
            if status in _FINAL and node.result is None:
                node.result = Result(
                    unique_id,
                    status,
                    failures=data.get("num_failures") if isinstance(data.get("num_failures"), int) else None,
                )
                node.finished = dbt_artifacts.nanoseconds(
                    node_info.get("node_finished_at")
                ) or dbt_artifacts.nanoseconds(info.get("ts"))
            if info.get("name") == "NodeFinished":
                self._end(node, dbt_artifacts.read_result(data.get("run_result"), unique_id), NodeFacts())
            elif info.get("name") == "RunResultError" and node.result is not None:
                message = dbt_artifacts.text(data.get("msg"))
                node.result = Result(
                    unique_id, node.result.status, message=message, failures=node.result.failures
                )
            return node.span

    @never_raises(None)
    def finish(self) -> None:
        """End the spans of all nodes: the program has ended."""
        with self._lock:
            self._finish_invocation()

    def _note_invocation(self, invocation: str | None) -> None:
        if invocation is None or invocation == self._invocation:
            return
        # `dbt seed && dbt build`: the second has yet to write its file over the first one's.
        if self._invocation is not None:
            self._finish_invocation()
        self._invocation = invocation
        self._may_be_dbt = True

    def _node(self, unique_id: str, node_info: Mapping[str, Any], thread: str | None) -> _Node | None:
        known = self._nodes.get(unique_id)
        if known is not None:
            return known
        started = dbt_artifacts.nanoseconds(node_info.get("node_started_at"))
        if started is None:
            return None
        node = self._start(unique_id, started, dbt_artifacts.text(node_info.get("node_name")))
        relation = dbt_artifacts.text(_dict(node_info.get("node_relation")).get("relation_name"))
        _set(
            node.span,
            {
                semconv.DBT_THREAD: thread,
                semconv.DBT_NODE_PATH: dbt_artifacts.text(node_info.get("node_path")),
                semconv.DBT_NODE_MATERIALIZED: dbt_artifacts.text(node_info.get("materialized")),
                semconv.DBT_NODE_RELATION: relation,
            },
        )
        return node

    def _start(self, unique_id: str, started: int, name: str | None) -> _Node:
        resource_type, _, rest = unique_id.partition(".")
        name = name or rest.partition(".")[2] or rest
        span = self._tracer.start_span(
            f"{resource_type} {name}",
            context=self._parent,
            start_time=started,
            attributes={
                semconv.DBT_NODE_ID: unique_id,
                semconv.DBT_NODE_NAME: name,
                semconv.DBT_NODE_TYPE: resource_type,
            },
        )
        node = self._nodes[unique_id] = _Node(unique_id, span)
        _set(span, {semconv.DBT_INVOCATION_ID: self._invocation})
        return node

    def _finish_invocation(self) -> None:
        results, facts = self._artifacts(self._folder)
        for unique_id, result in results.items():
            if unique_id not in self._nodes:
                started = result.started or time.time_ns()
                node = self._start(unique_id, started, facts.get(unique_id, NodeFacts()).name)
                node.finished = result.ended or started
        for node in self._nodes.values():
            if not node.ended:
                self._end(node, results.get(node.unique_id), facts.get(node.unique_id, NodeFacts()))
        self._nodes.clear()

    def _artifacts(self, folder: Path) -> tuple[dict[str, Result], dict[str, NodeFacts]]:
        """Return what this invocation's files say; nothing where none has been written."""
        found = dbt_artifacts.results(folder, self._began, self._invocation) if self._may_be_dbt else None
        if found is None:
            return {}, {}
        return {result.unique_id: result for result in found}, dbt_artifacts.facts(folder, self._began)

    def _end(self, node: _Node, result: Result | None, facts: NodeFacts) -> None:
        """End a node's span with all that is known of it."""
        if node.ended:
            return
        node.ended = True
        said = result or node.result
        self._describe(node, facts)
        if said is None:
            node.span.set_attribute(semconv.ERROR_TYPE, "not ended")
            node.span.set_status(Status(StatusCode.ERROR, "dbt ended before this node did"))
            node.span.end()
            return
        message = (said.message or "")[:_LONGEST_MESSAGE]
        _set(
            node.span,
            {
                semconv.DBT_STATUS: said.status,
                semconv.DBT_MESSAGE: message or None,
                semconv.DBT_ROWS_AFFECTED: said.rows_affected,
                semconv.DBT_FAILURES: said.failures if node.resource_type in _TESTS else None,
                semconv.DBT_THREAD: said.thread,
                semconv.DBT_COMPILE_DURATION: said.seconds.get("compile"),
                semconv.DBT_EXECUTE_DURATION: said.seconds.get("execute"),
            },
        )
        if said.status in _FAILED:
            node.span.set_attribute(semconv.ERROR_TYPE, f"{node.resource_type} {said.status}")
            node.span.set_status(Status(StatusCode.ERROR, message or said.status))
        node.span.end(node.finished or said.ended)
        self._count(node.resource_type, said.status)

    def _describe(self, node: _Node, facts: NodeFacts) -> None:
        _set(
            node.span,
            {
                semconv.DBT_NODE_PATH: facts.path,
                semconv.DBT_NODE_MATERIALIZED: facts.materialized,
                semconv.DBT_NODE_TAGS: facts.tags or None,
                semconv.DBT_TEST_NODE: facts.tests,
                semconv.DBT_TEST_COLUMN: facts.column,
            },
        )
        for upstream in facts.depends_on:
            if upstream in self._nodes:
                node.span.add_link(self._nodes[upstream].span.get_span_context())

    def _count(self, resource_type: str, status: str) -> None:
        self._finished.add(1, {semconv.DBT_NODE_TYPE: resource_type, semconv.STATUS: status})
        if resource_type in _TESTS:
            self._tests.add(1, {semconv.STATUS: status})


def _set(span: Span, attributes: Mapping[str, AttributeValue | None]) -> None:
    span.set_attributes({key: value for key, value in attributes.items() if value is not None})


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
