"""What is up while the pipeline runs: the stand-ins, the sidecar and the containers, started side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo import (
    aws,
    containers,
    monitoring,
    opensearch,
    pipeline,
    prefect_server,
    prometheus,
    telemetry,
)
from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from demo.aws import Aws
    from demo.containers import Containers
    from demo.monitoring import Monitoring
    from demo.opensearch import OpenSearch
    from demo.prefect_server import PrefectServer
    from demo.processes import Processes
    from demo.telemetry import Sidecar

Say = Callable[[str], None]


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


def set_up(processes: Processes, folder: Path, stack: ExitStack, say: Say) -> Stage:
    """Start everything, and deploy the pipeline's flow.

    Args:
        processes: the owner of everything that is started; the caller closes it.
        folder: takes the files of all parts.
        stack: ends what is no process.
        say: takes a line for the user at each step.

    Raises:
        StartError: a part did not come up.
    """
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
