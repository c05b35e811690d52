"""The demo's run, top to bottom: start the stand-ins, run the pipeline, drain, read back, compare."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from demo import (
    aws,
    containers,
    failing,
    ledger,
    monitoring,
    opensearch,
    own_logs,
    page,
    pipeline,
    prefect_server,
    prometheus,
    readback,
    telemetry,
    witness,
)
from demo.report import Result
from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from demo.aws import Aws
    from demo.containers import Containers
    from demo.failing import Story
    from demo.monitoring import Monitoring
    from demo.opensearch import OpenSearch
    from demo.prefect_server import PrefectServer
    from demo.processes import Processes
    from demo.readback import Trace
    from demo.telemetry import Sidecar

    Say = Callable[[str], None]

_FLOW_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2
_DASHBOARD_SECONDS: Final = 300.0
# What `otel-prefect opensearch setup` names them: see its templates.
_SPANS_INDEX: Final = "otel-prefect-spans*"
_LOGS_INDEX: Final = "otel-prefect-logs*"


class RunError(Exception):
    """Raised when the pipeline itself did not end well; the text says how."""


@dataclass(frozen=True)
class Stage:
    """Everything that is up while the pipeline runs."""

    aws: Aws
    opensearch: OpenSearch
    prefect: PrefectServer
    sidecar: Sidecar
    containers: Containers
    monitoring: Monitoring
    deployment_id: str


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
    stage = _set_the_stage(processes, folder, stack, say)
    say(f"all is up after {time.monotonic() - began:.0f} s; running the flow {pipeline.FLOW}")
    flow_run = _run_flow(stage)
    if flow_run["state_type"] != "COMPLETED":
        raise RunError(f"the flow run ended as {flow_run['state_type']}: {flow_run['said']}")
    say("the flow run has ended; draining the sidecar")
    accounts = stage.sidecar.drain()
    say("reading it back from X-Ray, CloudWatch Logs and OpenSearch")
    result = _read_back(stage, flow_run["id"], accounts)
    result.dashboard = _dashboard(stage, folder)
    result.seconds = time.monotonic() - began
    return result


def fail(processes: Processes, folder: Path, stack: ExitStack, say: Say) -> Failure:
    """Run the example pipeline with a broken ingestion, and once more when it is mended.

    Args and errors are those of :func:`run`.
    """
    stage = _set_the_stage(processes, folder, stack, say)
    story = failing.tell(stage, lambda: _run_flow(stage), say)
    stage.sidecar.drain()
    trace = readback.xray(stage.aws.client("xray"), story.failed["id"])
    return Failure(story, trace, _dashboard(stage, folder))


def _dashboard(stage: Stage, folder: Path) -> Path:
    return page.write(folder / "dashboard.html", stage.monitoring.prometheus, _DASHBOARD_SECONDS)


def _set_the_stage(processes: Processes, folder: Path, stack: ExitStack, say: Say) -> Stage:
    telemetry.build_collectors(processes)
    opensearch.fetch(say)
    prometheus.fetch(say)
    say("starting AWS (moto), OpenSearch, a Prefect server and Prometheus")
    with _side_by_side(processes) as start:
        starting_monitoring = start(monitoring.start, processes, folder, stack, say)
        starting_prefect = start(prefect_server.start, processes, folder / "prefect")
        starting_search = start(_start_opensearch, processes, folder / "opensearch", say)
        server = aws.start(processes)
        node, opensearch_otlp = starting_search()
        prefect = starting_prefect()
        watching = starting_monitoring()
    outside = {**server.variables(), semconv.ENV_PREFECT_API_URL.name: prefect.url}
    sidecar = telemetry.start_sidecar(
        processes, folder, outside, opensearch_otlp, watching.prometheus.write_url
    )
    local = containers.start(
        processes,
        folder / "containers",
        images=pipeline.IMAGES,
        platform={**server.variables(), **sidecar.variables()},
        s3=server.client("s3"),
        glue_python=("opentelemetry-instrument", "python"),
    )
    pipeline.install(server, local, folder / "exports")
    deployment_id = prefect.deploy(
        flow=pipeline.FLOW,
        deployment=pipeline.DEPLOYMENT,
        work_pool=pipeline.WORK_POOL,
        entrypoint=pipeline.ENTRYPOINT,
        folder=pipeline.FLOW_FOLDER,
        tags=["sales", "daily"],
        version="1.4.0",
    )
    return Stage(server, node, prefect, sidecar, local, watching, deployment_id)


def _start_opensearch(processes: Processes, folder: Path, say: Say) -> tuple[OpenSearch, str]:
    node = opensearch.start(processes, folder, say)
    telemetry.set_up_opensearch(processes, node.url)
    return node, telemetry.start_opensearch_collector(processes, node.url)


@dataclass(frozen=True)
class Failure:
    """What is shown of a broken ingestion.

    Attributes:
        story: what happened.
        trace: of the run that failed, from X-Ray.
        dashboard: the page that was written.
    """

    story: Story
    trace: Trace
    dashboard: Path


@contextmanager
def _side_by_side(processes: Processes) -> Iterator[Callable[..., Callable[[], Any]]]:
    """Give a function that starts a call in a thread and returns the function that waits for its result.

    When one fails, or the user interrupts, the processes are closed at once, which ends the waiting
    of all others.
    """
    with ThreadPoolExecutor(thread_name_prefix="start") as executor:
        try:
            yield lambda function, *arguments: executor.submit(function, *arguments).result
        except BaseException:
            processes.close()
            raise


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
