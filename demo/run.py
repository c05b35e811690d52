"""The demo's run, top to bottom: set the stage, run the pipeline, drain, read back, compare."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from demo import failing, ledger, own_logs, page, pipeline, readback, seen, telemetry, witness
from demo.failing import Failure
from demo.report import Result
from demo.stage import set_up
from otel_prefect import semconv

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from demo.processes import Processes
    from demo.stage import Say, Stage

_FLOW_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2
_DASHBOARD_SECONDS: Final = 300.0
# What `otel-prefect opensearch setup` names them: see its templates.
_SPANS_INDEX: Final = "otel-prefect-spans*"
_LOGS_INDEX: Final = "otel-prefect-logs*"


class RunError(Exception):
    """Raised when the pipeline itself did not end well; the text says how."""


def run(processes: Processes, folder: Path, stack: ExitStack, say: Say) -> Result:
    """Run the example pipeline once on stand-ins and return what was read back.

    Args:
        processes: the owner of everything that is started; the caller closes it.
        folder: takes the run's files: queues, databases, data.
        stack: ends what is no process.
        say: takes a line for the user at each step.

    Raises:
        StartError: a part did not come up or did not end as it should.
        RunError: the flow run did not complete.
    """
    began = time.monotonic()
    stage = set_up(processes, folder, stack, say)
    say(f"all is up after {time.monotonic() - began:.0f} s; running the flow {pipeline.FLOW}")
    flow_run = _run_flow(stage)
    if flow_run["state_type"] != "COMPLETED":
        raise RunError(f"the flow run ended as {flow_run['state_type']}: {flow_run['said']}")
    say("the flow run has ended; draining the sidecar")
    accounts = stage.sidecar.drain()
    say("reading it back from X-Ray, CloudWatch Logs and OpenSearch")
    result = _read_back(stage, flow_run["id"], accounts)
    result.seen = seen.see(stage.aws, flow_run["id"], folder / "trace.html")
    result.dashboard = _dashboard(stage, folder)
    result.seconds = time.monotonic() - began
    return result


def fail(processes: Processes, folder: Path, stack: ExitStack, say: Say) -> Failure:
    """Run the example pipeline with a broken ingestion, and once more when it is mended.

    Args and errors are those of :func:`run`.
    """
    stage = set_up(processes, folder, stack, say)
    story = failing.tell(stage, lambda: _run_flow(stage), say)
    stage.sidecar.drain()
    failed = seen.see(stage.aws, story.failed["id"], folder / "trace.html")
    return Failure(story, failed, _dashboard(stage, folder))


def _dashboard(stage: Stage, folder: Path) -> Path:
    return page.write(folder / "dashboard.html", stage.monitoring.prometheus, _DASHBOARD_SECONDS)


def _run_flow(stage: Stage) -> dict[str, Any]:
    """Run the deployment as Prefect's ECS worker does, to its end; return it, and what is ``said`` of it.

    The worker starts a task whose main container runs ``prefect flow-run execute`` and gives it the
    API's address and the flow run's id:
    https://github.com/PrefectHQ/prefect/blob/main/src/integrations/prefect-aws/prefect_aws/workers/ecs_worker.py
    """
    flow_run_id = stage.prefect.create_flow_run(stage.deployment_id)
    variables = {**stage.prefect.variables(), semconv.ENV_PREFECT_FLOW_RUN_ID.name: flow_run_id}
    ecs = stage.containers.client("ecs")
    override = {
        "name": pipeline.FLOW_CONTAINER,
        "environment": [{"name": name, "value": value} for name, value in variables.items()],
    }
    (task,) = ecs.run_task(
        cluster=stage.containers.cluster,
        taskDefinition=pipeline.FLOW_FAMILY,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-0a1b2c3d"]}},
        overrides={"containerOverrides": [override]},
    )["tasks"]
    deadline = time.monotonic() + _FLOW_SECONDS
    while task["lastStatus"] != "STOPPED":
        if time.monotonic() > deadline:
            raise RunError(f"the flow run has not ended after {_FLOW_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
        (task,) = ecs.describe_tasks(cluster=stage.containers.cluster, tasks=[task["taskArn"]])["tasks"]
    (container,) = task["containers"]
    flow_run = stage.prefect.flow_run(flow_run_id)
    message = (flow_run["state"] or {}).get("message") or task.get("stoppedReason")
    return {**flow_run, "said": f"{message} (exit code {container.get('exitCode')})"}


def _read_back(stage: Stage, flow_run_id: str, accounts: dict[str, Any]) -> Result:
    trace = readback.xray(stage.aws.client("xray"), flow_run_id)
    spans = readback.opensearch(stage.opensearch, _SPANS_INDEX, "traceId", flow_run_id.replace("-", ""))
    logs = {
        "CloudWatch": readback.cloudwatch(stage.aws.client("logs"), telemetry.LOG_GROUP, flow_run_id),
        "OpenSearch": readback.opensearch(
            stage.opensearch, _LOGS_INDEX, semconv.RECORD_FLOW_RUN_ID, flow_run_id
        ),
    }
    taken = witness.read(stage.sidecar.witness_folder)
    book = ledger.Ledger()
    ledger.at_the_door(book, accounts, taken)
    book.compare("X-Ray, spans", Counter(list(taken.spans)), Counter(list(trace.segments)))
    book.compare(
        "OpenSearch, spans", Counter(list(taken.spans)), Counter(str(each["spanId"]) for each in spans)
    )
    for destination, documents in logs.items():
        book.compare(f"{destination}, log records", taken.logs, readback.log_keys(documents))
    # What no witness can know of: a span whose child arrived without it, a process that was never heard,
    # a line that was logged and never sent.
    book.expect("X-Ray, parents of spans", Counter(trace.orphaned_parents()), Counter())
    book.expect("X-Ray, processes", Counter(stage.containers.services()), trace.processes())
    for destination, documents in logs.items():
        heard = Counter({str(each.get("service")) for each in documents})
        book.expect(f"{destination}, processes", Counter(set(stage.containers.services())), heard)
        book.missing[f"{destination}, lines of the process's own log"] = _unheard(stage, documents)
    return Result(stage.prefect.flow_run(flow_run_id), trace, spans, logs, book)


def _unheard(stage: Stage, documents: list[dict[str, Any]]) -> Counter[str]:
    """Return the log lines of all processes that are not among the documents of one destination."""
    outputs: dict[str, str] = {}
    for service, log in stage.containers.logs():
        outputs[service] = outputs.get(service, "") + log.read_text(errors="replace") + "\n"
    missing: Counter[str] = Counter()
    for service, output in outputs.items():
        messages = [str(each.get("message", "")) for each in documents if each.get("service") == service]
        missing += own_logs.unheard(output, messages)
    return missing
