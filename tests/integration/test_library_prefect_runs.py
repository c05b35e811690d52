"""Prefect's own spans, in each way in which Prefect runs code, on a real server: whole and in one trace."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from demo import prefect_server
from demo.processes import Processes
from tests.support import prefect_flows
from tests.support.collector import wait_for
from tests.support.prefect_flows import Spans, exceptions, state, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.prefect_server import PrefectServer
    from tests.support.otlp_sink import OtlpSink

SERVE = """
from prefect import serve
from situations import inner, suspends, waits
serve(*(flow.to_deployment("nightly") for flow in (inner, suspends, waits)), pause_on_shutdown=False)
"""
TASK_WORKER = """
from prefect.task_worker import serve
from situations import background
serve(background)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server on a free port, with a database of its own."""
    folder = tmp_path_factory.mktemp("prefect")
    with Processes(folder / "logs") as processes:
        yield prefect_server.start(processes, folder / "home")


def spans_of(
    server: PrefectServer, sink: OtlpSink, flow: str, exit_code: int = 0, file: str = "situations.py"
) -> Spans:
    """Run a flow as a script; all of it has to be one trace, of the run's id."""
    done = prefect_flows.run(server, sink, file, flow)
    assert done.returncode == exit_code, done.stderr
    assert "failed; your program is not affected" not in done.stderr
    spans = Spans(sink)
    (root,) = [span for span in spans.all if not span.record.parent_span_id]
    assert {span.record.trace_id for span in spans.all} == {UUID(root.attributes["flow_run_id"]).bytes}
    # None was told of at its start and never ended.
    ended = {span.record.span_id for span in spans.all}
    assert {span.record.span_id for span in sink.started()} <= ended
    return spans


def test_every_attempt_of_a_retried_flow_is_a_span_and_the_flow_says_what_it_came_to(
    server: PrefectServer, sink: OtlpSink
) -> None:
    spans = spans_of(server, sink, "retried")
    assert spans.tree() == [
        "flow retried",
        " attempt 1",
        " task extract",
        "  read file",
        " own code",
        " attempt 2",
        "  task extract",
        "   read file",
        "  own code",
        " attempt 3",
        "  task extract",
        "   read file",
        "  own code",
    ]
    flow = spans.one("flow retried")
    assert (status(flow), state(flow), exceptions(flow)) == ("OK", ("COMPLETED", "Completed"), [])
    run = server.flow_run(flow.attributes["flow_run_id"])
    assert flow.attributes["prefect.flow-run.name"] == run["name"]
    assert flow.attributes["prefect.flow.name"] == "retried"
    assert flow.attributes["prefect.flow-run.count"] == run["run_count"] == 3
    attempts = [spans.one(f"attempt {number}") for number in (1, 2, 3)]
    assert [status(attempt) for attempt in attempts] == ["ERROR", "ERROR", "OK"]
    assert [exceptions(attempt) for attempt in attempts] == [["ValueError"], ["ValueError"], []]
    assert [attempt.attributes["prefect.flow-run.count"] for attempt in attempts] == [1, 2, 3]
    for attempt in attempts:
        assert attempt.attributes["flow_run_id"] == flow.attributes["flow_run_id"]
        assert "prefect.task-run.id" not in attempt.attributes


def test_attempts_of_an_async_flow_are_spans_too_and_the_pause_between_them_is_not_theirs(
    server: PrefectServer, sink: OtlpSink
) -> None:
    spans = spans_of(server, sink, "retried_async")
    first, second = spans.one("attempt 1"), spans.one("attempt 2")
    assert second.record.start_time_unix_nano >= first.record.end_time_unix_nano
    assert [spans.parent(span) for span in spans.named("task extract")] == [
        "flow retried-async",
        "attempt 2",
    ]
    assert status(spans.one("flow retried-async")) == "OK"


def test_a_flow_whose_retries_are_used_up_has_failed_with_its_last_attempt(
    server: PrefectServer, sink: OtlpSink
) -> None:
    spans = spans_of(server, sink, "exhausted", exit_code=1)
    assert spans.tree() == ["flow exhausted", " attempt 1", " attempt 2"]
    for span in spans.all:
        assert (status(span), exceptions(span)) == ("ERROR", ["ValueError"])
    assert state(spans.one("flow exhausted")) == ("FAILED", "Failed")


def test_attempts_of_a_task_are_spans_below_it(server: PrefectServer, sink: OtlpSink) -> None:
    spans = spans_of(server, sink, "retried_tasks")
    assert spans.tree() == [
        "flow retried-tasks",
        " task flaky",
        "  attempt 1",
        "  read file",
        "  attempt 2",
        "   read file",
        " task flaky_async",
        "  attempt 1",
        "  attempt 2",
    ]
    for name in ("task flaky", "task flaky_async"):
        task = spans.one(name)
        assert (status(task), exceptions(task)) == ("OK", [])
        assert task.attributes["prefect.task-run.count"] == 2
    for attempt in spans.named("attempt 1"):
        assert (status(attempt), exceptions(attempt)) == ("ERROR", ["KeyError"])


def test_tasks_in_a_process_pool_are_under_their_flow_or_its_attempt(
    server: PrefectServer, sink: OtlpSink
) -> None:
    spans = spans_of(server, sink, "in_processes")
    assert spans.tree() == [
        "flow in-processes",
        " attempt 1",
        " task extract",
        "  read file",
        " task extract",
        "  read file",
        " task add",
        " attempt 2",
        "  task background",
        "   task extract",
        "    read file",
    ]
    flow = spans.one("flow in-processes")
    assert {span.attributes["flow_run_id"] for span in spans.all} == {flow.attributes["flow_run_id"]}


@pytest.mark.parametrize(("file", "flow"), [("situations.py", "in_dask"), ("in_ray.py", "in_ray")])
def test_tasks_of_a_cluster_are_under_their_flow_and_linked(
    server: PrefectServer, sink: OtlpSink, file: str, flow: str
) -> None:
    spans = spans_of(server, sink, flow, file=file)
    first, *tasks = spans.tree()
    assert first == f"flow {flow.replace('_', '-')}"
    # In another process each, so in any order; `add` takes what both give.
    assert tasks == [" task extract", "  read file"] * 2 + [" task add"]
    assert spans.linked(spans.one("task add")) == ["task extract", "task extract"]


def test_a_task_is_linked_to_the_runs_whose_results_it_takes(server: PrefectServer, sink: OtlpSink) -> None:
    spans = spans_of(server, sink, "in_threads")
    submitted, called = spans.named("task add")
    assert spans.linked(submitted) == ["task extract", "task extract"]
    assert spans.linked(called) == ["task days_of_week"]
    for span in (submitted, called):
        for link in span.record.links:
            assert {a.key: a.value.string_value for a in link.attributes}["prefect.input.name"] == "days"
    assert {spans.parent(span) for span in spans.all if span.record.name.startswith("task")} == {
        "flow in-threads"
    }


def test_async_subflows_at_once_and_one_in_a_task_keep_their_own(
    server: PrefectServer, sink: OtlpSink
) -> None:
    spans = spans_of(server, sink, "outer")
    inner = spans.named("flow inner")
    assert [spans.parent(span) for span in inner] == ["flow outer", "flow outer", "task call_inner"]
    run_ids = {span.attributes["flow_run_id"] for span in inner}
    assert len(run_ids) == 3
    for task in spans.named("task extract"):
        assert spans.parent(task) == "flow inner"
        assert task.attributes["flow_run_id"] in run_ids


def test_what_came_of_a_task_is_told_by_status_and_state(server: PrefectServer, sink: OtlpSink) -> None:
    spans = spans_of(server, sink, "outcomes")
    told = [
        (span.record.name, status(span), *state(span), exceptions(span))
        for span in spans.all
        if span.record.name.startswith("task")
    ]
    assert told == [
        ("task cached", "OK", "COMPLETED", "Completed", []),
        ("task cached", "OK", "COMPLETED", "Cached", []),
        ("task broken", "ERROR", "FAILED", "Failed", ["ValueError"]),
        ("task skipped", "UNSET", "PENDING", "NotReady", []),
        ("task slow", "ERROR", "FAILED", "TimedOut", ["prefect.task_engine.TaskRunTimeoutError"]),
    ]


def test_an_exception_that_the_caller_handles_is_not_the_tasks(server: PrefectServer, sink: OtlpSink) -> None:
    spans = spans_of(server, sink, "handles")
    assert [exceptions(span) for span in spans.named("task broken")] == [["ValueError"], ["ValueError"]]
    skipped = spans.one("task skipped")
    assert (status(skipped), exceptions(skipped)) == ("UNSET", [])


def test_a_crash_is_no_failure(server: PrefectServer, sink: OtlpSink) -> None:
    spans = spans_of(server, sink, "crashes", exit_code=-15)
    flow = spans.one("flow crashes")
    assert (status(flow), state(flow)) == ("ERROR", ("CRASHED", "Crashed"))
    assert exceptions(flow) == ["prefect.exceptions.TerminationSignal"]


def deployment(server: PrefectServer, name: str) -> str:
    """Wait for a deployment; return its id."""

    def found() -> str | None:
        with contextlib.suppress(prefect_server.PrefectApiError):
            return str(server.call("GET", f"deployments/name/{name}")["id"])
        return None

    return str(wait_for(found, bool, 30))


def start(server: PrefectServer, deployment_id: str) -> str:
    body: dict[str, Any] = {"state": {"type": "SCHEDULED"}, "parameters": {}}
    return str(server.call("POST", f"deployments/{deployment_id}/create_flow_run", body)["id"])


def wait_for_state(server: PrefectServer, run_id: str, kind: str) -> None:
    wait_for(lambda: server.flow_run(run_id)["state"]["type"], lambda state: state == kind, 60)


def test_served_flows_join_the_run_that_starts_them_and_a_cancelled_one_says_so(
    server: PrefectServer, sink: OtlpSink
) -> None:
    with prefect_flows.running(server, sink, "-c", SERVE):
        deployment(server, "inner/nightly")
        run_id = start(server, deployment(server, "waits/nightly"))
        assert prefect_flows.run(server, sink, "situations.py", "starts_another").returncode == 0
        wait_for_state(server, run_id, "RUNNING")
        assert sink.wait_for(lambda _: [s for s in sink.started() if s.record.name == "flow waits"], 30)
        cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        server.call("POST", f"flow_runs/{run_id}/set_state", cancelling)
        wait_for_state(server, run_id, "CANCELLED")
        assert sink.wait_for(lambda _: len([s for s in sink.spans() if s.record.name[:4] == "flow"]) == 3, 30)
    spans = Spans(sink)
    starter, inner, cancelled = (spans.one(f"flow {name}") for name in ("starts-another", "inner", "waits"))
    assert spans.parent(inner) == "flow starts-another"
    assert inner.record.trace_id == starter.record.trace_id == UUID(starter.attributes["flow_run_id"]).bytes
    assert inner.attributes["prefect.deployment.name"] == "nightly"
    assert inner.attributes["flow_run_id"] != starter.attributes["flow_run_id"]
    assert cancelled.record.trace_id == UUID(run_id).bytes
    assert (status(cancelled), state(cancelled)) == ("ERROR", ("CANCELLED", "Cancelled"))
    assert exceptions(cancelled) == ["prefect.exceptions.TerminationSignal"]


def test_a_suspended_run_is_no_failure_and_goes_on_in_the_same_trace(
    server: PrefectServer, sink: OtlpSink
) -> None:
    with prefect_flows.running(server, sink, "-c", SERVE):
        run_id = start(server, deployment(server, "suspends/nightly"))
        wait_for_state(server, run_id, "PAUSED")
        assert sink.wait_for(lambda _: [s for s in sink.spans() if s.record.name == "flow suspends"], 30)
        server.call("POST", f"flow_runs/{run_id}/resume", {})
        wait_for_state(server, run_id, "COMPLETED")
        assert sink.wait_for(lambda _: len([s for s in sink.spans() if s.record.name[:4] == "flow"]) == 2, 30)
    spans = Spans(sink)
    suspended, resumed = spans.named("flow suspends")
    assert (status(suspended), state(suspended), exceptions(suspended)) == (
        "UNSET",
        ("PAUSED", "Suspended"),
        [],
    )
    assert (status(resumed), state(resumed)) == ("OK", ("COMPLETED", "Completed"))
    assert {span.record.trace_id for span in spans.all} == {UUID(run_id).bytes}
    assert [span.attributes["prefect.flow-run.count"] for span in (suspended, resumed)] == [1, 2]


def test_the_values_of_parameters_do_not_leave_the_process(server: PrefectServer, sink: OtlpSink) -> None:
    spans = spans_of(server, sink, "has_secrets", exit_code=1)
    assert {span.record.name for span in spans.all} == {"flow has-secrets", "task connect"}
    assert exceptions(spans.one("flow has-secrets")) == ["ConnectionError"]
    assert spans.one("flow has-secrets").attributes["prefect.run.parameter.password"] == "str"
    sent = "".join(str(request) for request in (*sink.trace_requests, *sink.log_requests))
    assert "refused with 3 secrets" in sent
    for value in ("plain-secret", "wrapped-secret", "nested-secret"):
        assert value not in sent


def test_a_background_task_is_under_the_flow_that_delayed_it(server: PrefectServer, sink: OtlpSink) -> None:
    with prefect_flows.running(server, sink, "-c", TASK_WORKER):
        # It is delivered whenever a worker comes.
        assert prefect_flows.run(server, sink, "situations.py", "delays").returncode == 0
        assert sink.wait_for(lambda _: len(sink.spans()) == 4, 30)
    spans = Spans(sink)
    assert spans.tree() == ["flow delays", " task background", "  task extract", "   read file"]
    assert {span.record.trace_id for span in spans.all} == {spans.one("flow delays").record.trace_id}


def test_a_run_of_a_process_worker_names_its_deployment_and_pool_and_goes_on_when_it_is_run_again(
    server: PrefectServer, sink: OtlpSink
) -> None:
    worker = ("-m", "prefect", "worker", "start", "--pool", "local", "--type", "process")
    with prefect_flows.running(server, sink, *worker):
        wait_for(
            lambda: [pool["name"] for pool in server.call("POST", "work_pools/filter", {})],
            lambda names: "local" in names,
            30,
        )
        made = server.deploy(
            flow="exhausted",
            deployment="weekly",
            work_pool="local",
            entrypoint="situations.py:once_more",
            folder=prefect_flows.FOLDER,
        )
        run_id = start(server, made)
        wait_for_state(server, run_id, "FAILED")
        server.call("POST", f"flow_runs/{run_id}/set_state", {"state": {"type": "SCHEDULED"}, "force": True})
        wait_for_state(server, run_id, "COMPLETED")
        assert sink.wait_for(lambda _: len(sink.spans()) == 2, 30)
    spans = Spans(sink)
    assert spans.tree() == ["flow once-more", " flow once-more"]
    first, second = spans.all
    assert [status(span) for span in spans.all] == ["ERROR", "OK"]
    assert [span.attributes["prefect.flow-run.count"] for span in spans.all] == [1, 2]
    for span in (first, second):
        assert span.record.trace_id == UUID(run_id).bytes
        assert span.attributes["prefect.deployment.name"] == "weekly"
        assert span.attributes["prefect.deployment.id"] == made
        assert span.attributes["prefect.work-pool.name"] == "local"


def test_a_prefect_that_is_not_as_expected_is_left_alone_with_one_warning(
    server: PrefectServer, sink: OtlpSink
) -> None:
    changed = """
from prefect.telemetry.run_telemetry import RunTelemetry
del RunTelemetry.update_run_name
import situations
situations.extract(1)
situations.in_threads()
"""
    done = prefect_flows.run(server, sink, "-c", changed)
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if "not as expected" in line]
    assert "RunTelemetry.update_run_name does not take (self, name)" in warning
    names = [span.record.name for span in sink.spans() if "prefect.run.id" in span.attributes]
    assert names
    assert all(not name.startswith(("flow ", "task ")) for name in names)


def test_a_defect_of_ours_reaches_no_flow(server: PrefectServer, sink: OtlpSink) -> None:
    broken = """
import situations
from otel_prefect.prefect import runs as prefect_runs
def broken(*_):
    raise RuntimeError("a defect")
prefect_runs._names = broken
try:
    situations.exhausted()
except ValueError as error:
    print("raised", error)
print("total", situations.add([1, 2]))
"""
    done = prefect_flows.run(server, sink, "-c", broken)
    assert done.stdout == "raised no such table\ntotal 3\n"
    assert "a defect" in done.stderr
    assert len([span for span in sink.spans() if span.attributes["prefect.run.type"] != "attempt"]) == 2
