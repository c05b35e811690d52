"""Every attribute name and every environment variable that this project uses.

Names follow OpenTelemetry's semantic conventions, and Prefect's own where it has
one. The tables in ``docs/`` are made from this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# --- Resource attributes -----------------------------------------------------------------------

FLOW_RUN_ID: Final = "prefect.flow-run.id"
FLOW_RUN_NAME: Final = "prefect.flow-run.name"
FLOW_RUN_TAGS: Final = "prefect.flow-run.tags"
FLOW_RUN_COUNT: Final = "prefect.flow-run.count"
"""The attempt: 1 for the first run, one more for each retry (int)."""
FLOW_RUN_ROOT_ID: Final = "prefect.flow-run.root-id"
"""The flow run that the trace id is made from, where it is not the run itself."""
FLOW_RUN_PARENT_ID: Final = "prefect.flow-run.parent-id"
FLOW_RUN_LATENESS: Final = "prefect.flow-run.lateness"
"""Seconds between the expected and the actual start (float; Prefect's estimated_start_time_delta)."""
FLOW_RUN_AUTO_SCHEDULED: Final = "prefect.flow-run.auto-scheduled"
FLOW_ID: Final = "prefect.flow.id"
FLOW_NAME: Final = "prefect.flow.name"
DEPLOYMENT_ID: Final = "prefect.deployment.id"
DEPLOYMENT_NAME: Final = "prefect.deployment.name"
DEPLOYMENT_VERSION: Final = "prefect.deployment.version"
WORK_POOL_NAME: Final = "prefect.work-pool.name"
WORK_QUEUE_NAME: Final = "prefect.work-queue.name"
SOURCE: Final = "source"
STAGE: Final = "stage"
LOG_CORRELATION_ID: Final = "log_correlation_id"

CONTAINER_ID: Final = "container.id"
"""OTel's name. On ECS the id that the task metadata endpoint calls ``DockerId``."""
CONTAINER_NAME: Final = "container.name"
CONTAINER_IMAGE_NAME: Final = "container.image.name"
CONTAINER_IMAGE_TAGS: Final = "container.image.tags"
CONTAINER_IMAGE_ID: Final = "container.image.id"
"""These are OTel's names: the image's repository, its tags (a list) and its digest."""
CLOUD_PROVIDER: Final = "cloud.provider"
CLOUD_PLATFORM: Final = "cloud.platform"
CLOUD_REGION: Final = "cloud.region"
CLOUD_ACCOUNT_ID: Final = "cloud.account.id"
CLOUD_AVAILABILITY_ZONE: Final = "cloud.availability_zone"
AWS_ECS_CLUSTER_ARN: Final = "aws.ecs.cluster.arn"
AWS_ECS_TASK_ARN: Final = "aws.ecs.task.arn"
AWS_ECS_TASK_ID: Final = "aws.ecs.task.id"
AWS_ECS_TASK_FAMILY: Final = "aws.ecs.task.family"
AWS_ECS_TASK_REVISION: Final = "aws.ecs.task.revision"
AWS_ECS_LAUNCHTYPE: Final = "aws.ecs.launchtype"
AWS_ECS_TASK_CPU: Final = "aws.ecs.task.cpu"
AWS_ECS_TASK_MEMORY: Final = "aws.ecs.task.memory"
"""Limits of the task, where it has some: vCPUs (float) and MiB (int)."""
AWS_ECS_CONTAINER_ARN: Final = "aws.ecs.container.arn"
AWS_ECS_CONTAINER_CPU: Final = "aws.ecs.container.cpu"
AWS_ECS_CONTAINER_MEMORY: Final = "aws.ecs.container.memory"
"""Limits of the container, where it has some: CPU units, of which 1024 are a vCPU, and MiB (int)."""
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"

# --- Attributes of a span or a log record -------------------------------------------------------

RECORD_FLOW_RUN_ID: Final = "flow_run_id"
"""On every span and log record; also the X-Ray annotation. Prefect's own loggers use that name."""
TASK_RUN_ID: Final = "prefect.task-run.id"
TASK_RUN_NAME: Final = "prefect.task-run.name"
TASK_RUN_COUNT: Final = "prefect.task-run.count"
"""The attempt, as of a flow run (int)."""
TASK_NAME: Final = "prefect.task.name"
XRAY_TRACE_ID: Final = "xray_trace_id"
"""On log records: the ``1-…`` string that X-Ray's console looks for."""
RECORD_TASK_RUN_ID: Final = "task_run_id"
RECORD_TRACE_ID: Final = "trace_id"
"""These two are fields of Python's log records, for format strings; Prefect's own loggers use the first."""
RECORD_SPAN_ID: Final = "span_id"
"""Of a log record in CloudWatch and OpenSearch: the span in which it was said."""
RECORD_FLOW_RUN_NAME: Final = "flow_run_name"
RECORD_FLOW_NAME: Final = "flow_name"
RECORD_TASK_RUN_NAME: Final = "task_run_name"
RECORD_TASK_NAME: Final = "task_name"
"""Prefect's own loggers pass these as extras of a record."""
XRAY_IN_PROGRESS: Final = "aws.xray.inprogress"
"""On a span (bool): the ``awsxray`` exporter makes an ``in_progress`` segment of it."""

EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
CODE_FILE_PATH: Final = "code.file.path"
CODE_LINE_NUMBER: Final = "code.line.number"
THREAD_NAME: Final = "thread.name"
"""These six are OTel's names."""
CLOSED_BY: Final = "otel_prefect.closed_by"
"""On a span that its process could not end: ``sidecar``."""

PREFECT_RUN_ID: Final = "prefect.run.id"
PREFECT_RUN_NAME: Final = "prefect.run.name"
PREFECT_RUN_TYPE: Final = "prefect.run.type"
"""These three are set by Prefect on the spans it makes itself (``flow`` or ``task``)."""
RUN_TYPE_ATTEMPT: Final = "attempt"
"""The type of the span of one attempt of a run that is tried again; its id is that run's."""

PREFECT_SCOPE: Final = "prefect"
"""The instrumentation scope of the spans that Prefect makes of runs."""
PROGRAM_SCOPE: Final = "otel_prefect.program.run"
"""The instrumentation scope of the span of ``otel-prefect run``."""
PREFECT_STATE_TYPE: Final = "prefect.state.type"
PREFECT_STATE_NAME: Final = "prefect.state.name"
"""On the spans of runs: how they ended, ``COMPLETED`` and ``Cached``. Also on the events that Prefect adds to
them when a run's state changes."""
PREFECT_INPUT_NAME: Final = "prefect.input.name"
"""On a link from a task run to the run whose result it took: the parameter (Prefect's name)."""

LOG_STREAM: Final = "log.iostream"
"""On log records of ``otel-prefect run``: ``stdout`` or ``stderr`` (OTel's name)."""
PROCESS_EXECUTABLE_NAME: Final = "process.executable.name"
PROCESS_PID: Final = "process.pid"
PROCESS_EXIT_CODE: Final = "process.exit.code"
"""These three are OTel's names."""
PROCESS_EXIT_SIGNAL: Final = "process.exit.signal"
"""The name of the signal that ended a program (``SIGKILL``); absent where it ended by itself."""
PROCESS_DURATION: Final = "process.duration"
"""Seconds that a program ran (float)."""
PROCESS_MEMORY_PEAK: Final = "process.memory.peak"
"""Bytes (int) that the largest process of a program and its children had in memory at once."""
PROCESS_CPU_USER: Final = "process.cpu.time.user"
PROCESS_CPU_SYSTEM: Final = "process.cpu.time.system"
"""Seconds (float) that a program and its children were on a CPU, and the kernel on their behalf."""
PROCESS_OUT_OF_MEMORY: Final = "process.out_of_memory"
"""True where the kernel has killed a process of this container for want of memory while a program ran."""

JOB_NAME: Final = "job.name"
GLUE_JOB_RUN_ID: Final = "aws.glue.job.run_id"
"""Of a job that is a span by ``otel_prefect.job``: its name, and Glue's id of the run (`jr_…`)."""

DBT_SCOPE: Final = "otel_prefect.program.dbt"
"""The instrumentation scope of dbt's nodes."""
DBT_EVENT: Final = "dbt.event"
DBT_INVOCATION_ID: Final = "dbt.invocation_id"
DBT_NODE_ID: Final = "dbt.node.id"
"""dbt's unique id, ``model.shop.orders``; on spans and log records."""
DBT_NODE_NAME: Final = "dbt.node.name"
DBT_NODE_TYPE: Final = "dbt.node.type"
"""model, test, unit_test, seed, snapshot, operation, …"""
DBT_NODE_PATH: Final = "dbt.node.path"
DBT_NODE_MATERIALIZED: Final = "dbt.node.materialized"
DBT_NODE_RELATION: Final = "dbt.node.relation"
DBT_NODE_TAGS: Final = "dbt.node.tags"
DBT_TEST_NODE: Final = "dbt.test.node"
DBT_TEST_COLUMN: Final = "dbt.test.column"
"""What a test tests: the node's unique id, and the column where it is about one."""
DBT_STATUS: Final = "dbt.status"
"""success, error, fail, warn, pass, skipped, no-op or partial success."""
DBT_MESSAGE: Final = "dbt.message"
DBT_ROWS_AFFECTED: Final = "dbt.rows_affected"
"""Rows (int) that the database says it has written; not all of them say."""
DBT_FAILURES: Final = "dbt.failures"
"""Rows (int) that a test found at fault."""
DBT_THREAD: Final = "dbt.thread"
DBT_COMPILE_DURATION: Final = "dbt.compile.duration"
DBT_EXECUTE_DURATION: Final = "dbt.execute.duration"
"""Seconds (float) of a node's two phases."""

MESSAGE_TRACEPARENT: Final = "traceparent"
"""A message attribute of SQS and SNS (W3C's name), beside those that have their variables' names."""
MESSAGE_XRAY_TRACE_HEADER: Final = "AWSTraceHeader"
"""The one system attribute that a message of SQS can have (AWS's name)."""

# --- X-Ray annotations: short, so that a filter expression needs no quoting --------------------

ANNOTATION_FLOW_RUN_ID: Final = RECORD_FLOW_RUN_ID
ANNOTATION_FLOW_NAME: Final = "flow_name"
ANNOTATION_DEPLOYMENT: Final = "deployment"
ANNOTATION_SOURCE: Final = SOURCE
ANNOTATION_STAGE: Final = STAGE
ANNOTATION_OPERATION: Final = "operation"
"""A span's own name, where X-Ray calls its segment by the service."""
ANNOTATIONS: Final = {
    ANNOTATION_FLOW_RUN_ID: FLOW_RUN_ID,
    ANNOTATION_FLOW_NAME: FLOW_NAME,
    ANNOTATION_DEPLOYMENT: DEPLOYMENT_NAME,
    ANNOTATION_SOURCE: SOURCE,
    ANNOTATION_STAGE: STAGE,
}
"""Annotation name → the resource attribute it is copied from."""

# --- Metrics ------------------------------------------------------------------------------------

STATE: Final = "state"
STATUS: Final = "status"
TABLE: Final = "table"
CHANGE: Final = "change"
REASON: Final = "reason"
METRIC_TASK_NAME: Final = "task_name"
METRIC_PROCESS: Final = "process"
"""A program or a job by its name: the executable of ``otel-prefect run``, the name of a Glue job."""
METRIC_CONTAINER: Final = "container"
METRIC_TASK_FAMILY: Final = "task_family"
ERROR_TYPE: Final = "error.type"
"""OTel's name: an exception's class, or what ended a process (``SIGKILL``, ``out of memory``, ``exit 2``)."""
SERVICE: Final = "service"
"""An AWS service, by its name in Cost Explorer."""
BUCKET: Final = "bucket"
STORAGE_CLASS: Final = "storage_class"
USER: Final = "user"
WORKGROUP: Final = "workgroup"
JOB: Final = "job"
DATABASE: Final = "database"
SIGNAL: Final = "signal"
TRANSPORT: Final = "transport"
OUTCOME: Final = "outcome"
EXPORTER: Final = "exporter"
LAYER: Final = "layer"


@dataclass(frozen=True)
class Metric:
    """A metric, in the words of ``docs/metrics.md``.

    Attributes:
        name: as OTLP has it.
        unit: in UCUM, as OpenTelemetry wants it; annotations in braces.
        kind: ``counter``, ``gauge`` or ``histogram``.
        attributes: of its data points, besides those that every metric gets from its Resource.
        source: what measures it.
        meaning: one sentence.
    """

    name: str
    unit: str
    kind: str
    attributes: tuple[str, ...]
    source: str
    meaning: str


METRIC_FINISHED_RUNS: Final = Metric(
    "prefect.flow_runs.finished", "{run}", "counter", (STATE,), "sidecar",
    "Flow runs that have finished: completed, failed, crashed or cancelled. Exemplars have the trace's id.",
)  # fmt: skip
METRIC_FLOW_RUN_DURATION: Final = Metric(
    "prefect.flow_run.duration", "s", "histogram", (STATE,), "sidecar",
    "How long a finished flow run took. Exemplars have the trace's id.",
)  # fmt: skip
METRIC_FLOW_RUN_COMPLETED: Final = Metric(
    "prefect.flow_run.completed", "s", "gauge", (), "sidecar",
    "When a flow run last completed, in seconds since 1970; not of a subflow in its parent's process.",
)  # fmt: skip
METRIC_FLOW_RUN_FAILED: Final = Metric(
    "prefect.flow_run.failed", "s", "gauge",
    (STATE, ERROR_TYPE, RECORD_FLOW_RUN_ID, RECORD_FLOW_RUN_NAME, XRAY_TRACE_ID), "sidecar",
    "When a flow run failed or crashed, in seconds since 1970. The one metric that names runs, for the alert "
    "that names them: one sample a failed run, in Prometheus only; elsewhere without the run. Not of a "
    "subflow in its parent's process: the parent fails with it, or has caught it.",
)  # fmt: skip
METRIC_TASK_RUN_DURATION: Final = Metric(
    "prefect.task_run.duration", "s", "histogram", (METRIC_TASK_NAME, STATE), "Collector, from spans",
    "How long task runs took that have ended.",
)  # fmt: skip
METRIC_PROCESS_DURATION: Final = Metric(
    "pipeline.process.duration", "s", "histogram", (METRIC_PROCESS, ERROR_TYPE), "Collector, from spans",
    "How long programs and jobs took, by source and stage; with what they failed with, if they did.",
)  # fmt: skip
METRIC_ERRORS: Final = Metric(
    "pipeline.errors", "{error}", "counter", (ERROR_TYPE,), "Collector, from spans",
    "Flow runs, attempts of tasks, programs, jobs and dbt's nodes that failed, by what they failed with.",
)  # fmt: skip
METRIC_DBT_TESTS: Final = Metric(
    "dbt.tests", "{test}", "counter", (STATUS,), "`otel-prefect run`, from dbt's events and artifacts",
    "Tests that dbt has run: pass, warn, fail, error or skipped.",
)  # fmt: skip
METRIC_DBT_NODES: Final = Metric(
    "dbt.nodes", "{node}", "counter", (DBT_NODE_TYPE, STATUS), "`otel-prefect run`, as above",
    "All nodes that dbt has finished.",
)  # fmt: skip
METRIC_TABLE_ROWS: Final = Metric(
    "pipeline.table.rows", "{row}", "counter", (TABLE, SOURCE), "`otel_prefect.metrics.loaded`",
    "Rows that were loaded into a table.",
)  # fmt: skip
METRIC_TABLE_SIZE: Final = Metric(
    "pipeline.table.size", "By", "counter", (TABLE, SOURCE), "`otel_prefect.metrics.loaded`",
    "Bytes that were loaded into a table.",
)  # fmt: skip
METRIC_TABLE_LOADED: Final = Metric(
    "pipeline.table.loaded", "s", "gauge", (TABLE, SOURCE), "`otel_prefect.metrics.loaded`",
    "When a table was last loaded, in seconds since 1970: its freshness is now less this.",
)  # fmt: skip
METRIC_TABLE_NEWEST: Final = Metric(
    "pipeline.table.newest", "s", "gauge", (TABLE, SOURCE), "`otel_prefect.metrics.loaded`",
    "Until when the data of a table goes, in seconds since 1970.",
)  # fmt: skip
METRIC_TABLE_COMPLETENESS: Final = Metric(
    "pipeline.table.completeness", "1", "gauge", (TABLE, SOURCE), "`otel_prefect.metrics.loaded`",
    "Rows of a table's last load against those that were expected.",
)  # fmt: skip
METRIC_SCHEMA_CHANGES: Final = Metric(
    "pipeline.table.schema_changes", "{column}", "counter", (TABLE, CHANGE), "`otel_prefect.metrics.schema`",
    "Columns that were added, removed or retyped since a table's last known form.",
)  # fmt: skip
METRIC_REFUSED: Final = Metric(
    "pipeline.values.refused", "{value}", "counter", (TABLE, REASON), "`otel_prefect.metrics`",
    "Values that were not recorded, since they cannot be: negative, infinite, in the future.",
)  # fmt: skip
METRIC_COST: Final = Metric(
    "pipeline.cost", "{USD}", "gauge", (SOURCE, SERVICE), "cost flow, from Cost Explorer",
    "Unblended cost of the day before yesterday (UTC), by the source's cost allocation tag and by service.",
)  # fmt: skip
METRIC_STORAGE: Final = Metric(
    "pipeline.storage.size", "By", "gauge", (BUCKET, STORAGE_CLASS), "cost flow, from S3's storage metrics",
    "Bytes that a bucket holds.",
)  # fmt: skip
METRIC_ATHENA_SCANNED: Final = Metric(
    "aws.athena.scanned", "By", "counter", (USER, WORKGROUP), "cost flow, from Athena and CloudTrail",
    "Bytes that Athena's queries have scanned.",
)  # fmt: skip
METRIC_ATHENA_COST: Final = Metric(
    "aws.athena.cost", "{USD}", "counter", (USER, WORKGROUP), "cost flow, as above",
    "What those bytes cost.",
)  # fmt: skip
METRIC_GLUE_UTILIZATION: Final = Metric(
    "aws.glue.utilization", "1", "gauge", (JOB,), "cost flow, from CloudWatch",
    "How much of its workers' CPU a Glue job used, on average since the flow last ran.",
)  # fmt: skip
METRIC_RDS_UTILIZATION: Final = Metric(
    "aws.rds.utilization", "1", "gauge", (DATABASE,), "cost flow, from CloudWatch",
    "How much of its CPU a database used, on average since the flow last ran.",
)  # fmt: skip
METRIC_COST_FLOW_PROBLEMS: Final = Metric(
    "pipeline.cost.problems", "{call}", "counter", (SERVICE, REASON), "cost flow",
    "Calls of AWS that were refused or not understood: the numbers behind them are missing, not zero.",
)  # fmt: skip
_OF_CONTAINER: Final = (METRIC_CONTAINER, METRIC_TASK_FAMILY)
METRIC_CONTAINER_CPU: Final = Metric(
    "container.cpu.usage.vcpu", "{cpu}", "gauge", _OF_CONTAINER, "Collector, from ECS's metadata",
    "How many CPUs a container used.",
)  # fmt: skip
METRIC_CONTAINER_MEMORY: Final = Metric(
    "container.memory.utilized", "MiBy", "gauge", _OF_CONTAINER, "Collector, as above",
    "Memory that a container used.",
)  # fmt: skip
METRIC_CONTAINER_RECEIVED: Final = Metric(
    "container.network.io.usage.rx_bytes", "By", "counter", _OF_CONTAINER, "Collector, as above",
    "Bytes that a container received.",
)  # fmt: skip
METRIC_CONTAINER_SENT: Final = Metric(
    "container.network.io.usage.tx_bytes", "By", "counter", _OF_CONTAINER, "Collector, as above",
    "Bytes that a container sent.",
)  # fmt: skip
METRIC_CONTAINER_READ: Final = Metric(
    "container.storage.read_bytes", "By", "counter", _OF_CONTAINER, "Collector, as above",
    "Bytes that a container read from disks.",
)  # fmt: skip
METRIC_CONTAINER_WRITTEN: Final = Metric(
    "container.storage.write_bytes", "By", "counter", _OF_CONTAINER, "Collector, as above",
    "Bytes that a container wrote to disks.",
)  # fmt: skip
METRIC_TASK_CPU: Final = Metric(
    "ecs.task.cpu.utilized", "{unit}", "gauge", (METRIC_TASK_FAMILY,), "Collector, as above",
    "CPU that a task's containers used together, in ECS's units: 1,024 are one CPU.",
)  # fmt: skip
METRIC_TASK_CPU_RESERVED: Final = Metric(
    "ecs.task.cpu.reserved", "{unit}", "gauge", (METRIC_TASK_FAMILY,), "Collector, as above",
    "CPU that a task may use, in these units.",
)  # fmt: skip
METRIC_TASK_MEMORY: Final = Metric(
    "ecs.task.memory.utilized", "MiBy", "gauge", (METRIC_TASK_FAMILY,), "Collector, as above",
    "Memory that a task's containers used together.",
)  # fmt: skip
METRIC_TASK_MEMORY_RESERVED: Final = Metric(
    "ecs.task.memory.reserved", "MiBy", "gauge", (METRIC_TASK_FAMILY,), "Collector, as above",
    "Memory that a task may use: at more, it is killed.",
)  # fmt: skip
METRIC_TASK_DISK: Final = Metric(
    "ecs.task.ephemeral_storage.utilized", "MiBy", "gauge", (METRIC_TASK_FAMILY,), "Collector, as above",
    "Ephemeral storage that a task used (Fargate, platform version 1.4.0 or later).",
)  # fmt: skip
METRIC_TASK_DISK_RESERVED: Final = Metric(
    "ecs.task.ephemeral_storage.reserved", "MiBy", "gauge", (METRIC_TASK_FAMILY,), "Collector, as above",
    "Ephemeral storage that a task has.",
)  # fmt: skip
_OF_EXPORTER: Final = (SIGNAL, EXPORTER)
METRIC_SIDECAR_REQUESTS: Final = Metric(
    "prefect.sidecar.requests", "{request}", "counter", (SIGNAL, TRANSPORT, OUTCOME), "sidecar",
    "Requests that came to the sidecar: accepted, refused (to be sent again) or malformed.",
)  # fmt: skip
METRIC_SIDECAR_RECORDS: Final = Metric(
    "prefect.sidecar.records", "{record}", "counter", (SIGNAL, OUTCOME), "sidecar",
    "Spans, log records and metrics in them.",
)  # fmt: skip
METRIC_SIDECAR_IN_FLIGHT: Final = Metric(
    "prefect.sidecar.in_flight", "By", "gauge", (), "sidecar", "Bytes of requests that are in work now."
)
METRIC_SIDECAR_COLLECTOR_STARTS: Final = Metric(
    "prefect.sidecar.collector_starts", "{start}", "counter", (), "sidecar",
    "Times that the managed Collector was started.",
)  # fmt: skip
METRIC_SIDECAR_COLLECTOR_UP: Final = Metric(
    "prefect.sidecar.collector_up", "{collector}", "gauge", (), "sidecar",
    "1 while the Collector takes data, else 0.",
)  # fmt: skip
METRIC_SIDECAR_DELIVERED: Final = Metric(
    "prefect.sidecar.delivered", "{record}", "counter", _OF_EXPORTER, "sidecar, from the Collector",
    "Records that a destination has taken.",
)  # fmt: skip
METRIC_SIDECAR_GIVEN_UP: Final = Metric(
    "prefect.sidecar.given_up", "{record}", "counter", _OF_EXPORTER, "sidecar, from the Collector",
    "Accepted records that are lost, since a destination will never take them.",
)  # fmt: skip
METRIC_SIDECAR_QUEUED: Final = Metric(
    "prefect.sidecar.queued", "By", "gauge", _OF_EXPORTER, "sidecar, from the Collector",
    "Bytes in a queue on disk.",
)  # fmt: skip
METRIC_SIDECAR_HELD: Final = Metric(
    "prefect.sidecar.held", "{layer}", "gauge", (LAYER,), "sidecar",
    "1 for a layer whose data is kept on disk since AWS refuses it, 0 once it is taken again.",
)  # fmt: skip
METRIC_SIDECAR_STATSD_LINES: Final = Metric(
    "prefect.sidecar.statsd_lines", "{line}", "counter", (), "sidecar",
    "Lines of StatsD that were passed on to the Collector.",
)  # fmt: skip
METRIC_SIDECAR_STATSD_REFUSED: Final = Metric(
    "prefect.sidecar.statsd_refused", "{line}", "counter", (REASON,), "sidecar",
    "Lines of StatsD that were left out.",
)  # fmt: skip

UNKNOWN: Final = "unknown"
"""What a text log shows where there is no flow run id."""


@dataclass(frozen=True)
class Variable:
    """One environment variable: its name, what it is where it is unset, and what it means.

    Attributes:
        name: as it is written in a task definition.
        default: the value that holds where it is unset; empty where there is none.
        meaning: one or two sentences for the table in the docs, with the unit.
        read_by: which of ``library``, ``sidecar``, ``collector``, ``command`` read it.
    """

    name: str
    default: str
    meaning: str
    read_by: tuple[str, ...]


def _variable(name: str, default: str, read_by: str, meaning: str) -> Variable:
    return Variable(name, default, meaning, tuple(read_by.split()))


# --- Identity of a pipeline's container ---------------------------------------------------------

ENV_FLOW_RUN_ID = _variable(
    "PREFECT_FLOW_RUN_ID", "", "library", "The flow run that this container works for (a UUID)."
)
ENV_PREFECT_FLOW_RUN_ID = _variable(
    "PREFECT__FLOW_RUN_ID", "", "library", "The same, as Prefect's workers set it; the one above wins."
)
ENV_PREFECT_DEPLOYMENT_NAME = _variable(
    "PREFECT__DEPLOYMENT_NAME", "", "library", "The deployment of that run, as Prefect's workers set it."
)
ENV_LOG_CORRELATION_ID = _variable(
    "LOG_CORRELATION_ID", "the flow run id", "library", "An id that the user's own log search goes by."
)
ENV_SOURCE = _variable("SOURCE", "", "library", "The data source that this container loads.")
ENV_STAGE = _variable("STAGE", "", "library", "The stage of the pipeline: ingest, transform, dbt, …")
ENV_TRACEPARENT = _variable(
    "TRACEPARENT", "", "library", "W3C trace context of the span that started this container."
)

# --- Endpoints ----------------------------------------------------------------------------------

ENV_GRPC_ENDPOINT = _variable(
    "OTEL_PREFECT_GRPC_ENDPOINT", "127.0.0.1:4317", "sidecar", "Where the sidecar takes OTLP/gRPC."
)
ENV_HTTP_ENDPOINT = _variable(
    "OTEL_PREFECT_HTTP_ENDPOINT", "127.0.0.1:4318", "sidecar", "Where the sidecar takes OTLP/HTTP."
)
ENV_HEALTH_ENDPOINT = _variable(
    "OTEL_PREFECT_HEALTH_ENDPOINT", "127.0.0.1:13133", "sidecar", "Where health and self-metrics are served."
)
ENV_XRAY_UDP_ENDPOINT = _variable(
    "OTEL_PREFECT_XRAY_UDP_ENDPOINT", "127.0.0.1:2000", "collector", "Where X-Ray SDKs send segments (UDP)."
)
ENV_STATSD_ENDPOINT = _variable(
    "OTEL_PREFECT_STATSD_ENDPOINT",
    "127.0.0.1:8125",
    "sidecar collector",
    "Where StatsD metrics are taken (UDP).",
)

# --- The Collector ------------------------------------------------------------------------------

ENV_COLLECTOR = _variable(
    "OTEL_PREFECT_COLLECTOR",
    "managed",
    "sidecar",
    "`managed`: the sidecar starts and watches the Collector; or host:port of one that takes OTLP/gRPC.",
)
ENV_COLLECTOR_SOCKET = _variable(
    "OTEL_PREFECT_COLLECTOR_SOCKET",
    "otel-prefect",
    "collector",
    "Name of the abstract unix socket between sidecar and managed Collector; set by the sidecar.",
)
ENV_COLLECTOR_CONFIG = _variable(
    "OTEL_PREFECT_COLLECTOR_CONFIG",
    "",
    "sidecar command",
    "Comma-separated files of your own that are merged over base and layers, last one wins.",
)
ENV_COLLECTOR_CONFIG_DIR = _variable(
    "OTEL_PREFECT_COLLECTOR_CONFIG_DIR",
    "the one that is shipped",
    "sidecar command",
    "Folder with base.yaml and the layers.",
)
ENV_OTELCOL_BIN = _variable(
    "OTELCOL_BIN", "the built one", "sidecar command", "Path of a Collector to use instead of building one."
)
ENV_TRACES = _variable(
    "OTEL_PREFECT_TRACES",
    "xray",
    "sidecar command",
    "Layers that traces go to. `auto`: `xray-otlp` where Transaction Search is on, else `xray`.",
)
ENV_LOGS = _variable("OTEL_PREFECT_LOGS", "cloudwatch", "sidecar command", "Layers that logs go to.")
ENV_METRICS = _variable("OTEL_PREFECT_METRICS", "emf", "sidecar command", "Layers that metrics go to.")
ENV_REDACTION = _variable(
    "OTEL_PREFECT_REDACTION",
    "false",
    "sidecar command",
    "`true`: the Collector masks what looks like a secret or an e-mail address before anything leaves or is "
    "kept on disk.",
)
ENV_ENTRY = _variable(
    "OTEL_PREFECT_ENTRY",
    "otlp",
    "collector",
    "Where the layers take their data from; set by the sidecar where redaction is on.",
)
ENV_XRAY_SDK_TARGET = _variable(
    "OTEL_PREFECT_XRAY_SDK_TARGET",
    "the Collector itself",
    "collector",
    "Where segments of X-Ray SDKs are sent on to (OTLP/gRPC): set by the sidecar to its own door.",
)
ENV_DATA_DIR = _variable(
    "OTEL_PREFECT_DATA_DIR",
    "/var/lib/otel-prefect",
    "sidecar collector",
    "Folder of the persistent queues; nothing else is written.",
)
ENV_DATA_SHARED = _variable(
    "OTEL_PREFECT_DATA_SHARED",
    "false",
    "sidecar",
    "Whether several tasks have that folder (EFS): each keeps its queues in a folder of its own in it.",
)
ENV_RETRY_QUOTA_SECONDS = _variable(
    "OTEL_PREFECT_RETRY_QUOTA_SECONDS",
    "180",
    "sidecar",
    "Seconds in which X-Ray or CloudWatch metrics take nothing, after which the Collector is started anew.",
)
ENV_QUEUE_FSYNC = _variable(
    "OTEL_PREFECT_QUEUE_FSYNC",
    "false",
    "collector",
    "Whether the queues wait for the disk. Only the crash of a host makes a difference; needed on EFS.",
)
ENV_BATCH_SECONDS = _variable(
    "OTEL_PREFECT_BATCH_SECONDS",
    "1",
    "collector",
    "Seconds that a queue waits to fill a request: with thousands of tasks more, for fewer requests.",
)
ENV_QUEUE_BYTES = _variable(
    "OTEL_PREFECT_QUEUE_BYTES",
    "2000000000; in a sidecar less on a small disk",
    "sidecar collector",
    "Bytes that each destination's queue may hold on disk; beyond it new data is refused.",
)
ENV_MEMORY_LIMIT_MIB = _variable(
    "OTEL_PREFECT_MEMORY_LIMIT_MIB",
    "256",
    "collector",
    "MiB of heap at which the Collector refuses new data.",
)
ENV_LOG_GROUP = _variable(
    "OTEL_PREFECT_LOG_GROUP",
    "/otel-prefect",
    "collector library command",
    "CloudWatch Logs group of the logs; a flow's process only links to it.",
)
ENV_LOG_STREAM = _variable(
    "OTEL_PREFECT_LOG_STREAM",
    "the task's id",
    "sidecar collector",
    "CloudWatch Logs stream; the host's name outside ECS.",
)
ENV_LOG_RETENTION_DAYS = _variable(
    "OTEL_PREFECT_LOG_RETENTION_DAYS",
    "30",
    "collector command",
    "Days that CloudWatch and OpenSearch keep logs and spans.",
)
ENV_METRIC_NAMESPACE = _variable(
    "OTEL_PREFECT_METRIC_NAMESPACE", "Prefect", "collector", "CloudWatch namespace of the metrics."
)
ENV_METRIC_LOG_GROUP = _variable(
    "OTEL_PREFECT_METRIC_LOG_GROUP",
    "/otel-prefect/metrics",
    "collector",
    "CloudWatch Logs group of the metrics in embedded metric format.",
)
ENV_OPENSEARCH_ENDPOINT = _variable(
    "OTEL_PREFECT_OPENSEARCH_ENDPOINT", "", "collector command", "URL of the OpenSearch domain."
)
ENV_OTLP_ENDPOINT = _variable(
    "OTEL_PREFECT_OTLP_ENDPOINT", "", "collector", "host:port that the `otlp` layers send OTLP/gRPC to."
)
ENV_OTELCOL_OPENSEARCH_BIN = _variable(
    "OTELCOL_OPENSEARCH_BIN",
    "the built one",
    "command",
    "Path of the second Collector, for where the first has no `opensearch` exporter.",
)
ENV_OPENSEARCH_QUEUE = _variable(
    "OTEL_PREFECT_OPENSEARCH_QUEUE",
    "true",
    "collector",
    "`false`: the `opensearch` layers have no queue; whoever sends to them has one and waits.",
)
ENV_OPENSEARCH_PREFIX = _variable(
    "OTEL_PREFECT_OPENSEARCH_PREFIX",
    "otel-prefect",
    "collector command",
    "What the names of indices, templates, pipelines and the retention policy in OpenSearch begin with.",
)
ENV_OPENSEARCH_AUTHORIZATION = _variable(
    "OTEL_PREFECT_OPENSEARCH_AUTHORIZATION",
    "made of user and password",
    "collector",
    "The Authorization header that the `opensearch` layers send.",
)
ENV_OPENSEARCH_USERNAME = _variable(
    "OTEL_PREFECT_OPENSEARCH_USERNAME", "", "collector command", "User of the domain, for basic auth."
)
ENV_OPENSEARCH_PASSWORD = _variable(
    "OTEL_PREFECT_OPENSEARCH_PASSWORD", "", "collector command", "Password of that user."
)
ENV_OPENSEARCH_INGESTION_ENDPOINT = _variable(
    "OTEL_PREFECT_OPENSEARCH_INGESTION_ENDPOINT",
    "",
    "collector",
    "URL of the OpenSearch Ingestion pipeline of the `opensearch-ingestion` layers.",
)
ENV_ENDPOINT_XRAY = _variable(
    "OTEL_PREFECT_ENDPOINT_XRAY",
    "AWS_ENDPOINT_URL_XRAY, else AWS's",
    "collector",
    "URL before /v1/traces that the layer `xray-otlp` sends to.",
)
ENV_ENDPOINT_LOGS = _variable(
    "OTEL_PREFECT_ENDPOINT_LOGS",
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS, else AWS's",
    "collector",
    "URL before /v1/logs that the layer `cloudwatch-otlp` sends logs to.",
)
ENV_ENDPOINT_MONITORING = _variable(
    "OTEL_PREFECT_ENDPOINT_MONITORING",
    "AWS_ENDPOINT_URL_CLOUDWATCH, else AWS's",
    "collector",
    "URL before /v1/metrics that the layer `cloudwatch-otlp` sends metrics to.",
)
ENV_OTELCOL_GATEWAY_BIN = _variable(
    "OTELCOL_GATEWAY_BIN",
    "the built one",
    "command",
    "Path of the Collector of a gateway and its balancer.",
)
ENV_GATEWAY_ENDPOINT = _variable(
    "OTEL_PREFECT_GATEWAY_ENDPOINT",
    "0.0.0.0:4317",
    "collector",
    "host:port at which a gateway, or its balancer, takes OTLP/gRPC.",
)
ENV_GATEWAY_HEALTH_ENDPOINT = _variable(
    "OTEL_PREFECT_GATEWAY_HEALTH_ENDPOINT",
    "0.0.0.0:13133",
    "collector",
    "host:port at which they answer a load balancer's health check.",
)
ENV_GATEWAY_PERCENT = _variable(
    "OTEL_PREFECT_GATEWAY_PERCENT",
    "10",
    "collector",
    "Per cent of the runs that went well whose spans a gateway passes on.",
)
ENV_GATEWAY_SLOW_MILLISECONDS = _variable(
    "OTEL_PREFECT_GATEWAY_SLOW_MILLISECONDS",
    "1800000",
    "collector",
    "A run that took longer is always passed on.",
)
ENV_GATEWAY_WAIT_SECONDS = _variable(
    "OTEL_PREFECT_GATEWAY_WAIT_SECONDS",
    "3600",
    "collector",
    "How long a gateway keeps a run's spans, in memory, until it decides without the run's end.",
)
ENV_GATEWAY_SETTLE_SECONDS = _variable(
    "OTEL_PREFECT_GATEWAY_SETTLE_SECONDS",
    "30",
    "collector",
    "How long after a run's end a gateway waits for the spans of its other containers.",
)
ENV_GATEWAY_TRACES = _variable(
    "OTEL_PREFECT_GATEWAY_TRACES",
    "50000",
    "collector",
    "Runs that a gateway holds at once; with more, senders wait.",
)
ENV_GATEWAYS = _variable(
    "OTEL_PREFECT_GATEWAYS",
    "",
    "collector",
    "Where a balancer finds its gateways: host:port,host:port, a name in DNS, or a service in Cloud Map.",
)
ENV_GATEWAYS_NAMESPACE = _variable(
    "OTEL_PREFECT_GATEWAYS_NAMESPACE", "", "collector", "The namespace of that service in Cloud Map."
)
ENV_GATEWAY_RESOLVER = _variable(
    "OTEL_PREFECT_GATEWAY_RESOLVER",
    "static",
    "command",
    "How a balancer finds them: `static`, `dns` or `cloud-map`.",
)
ENV_OTLP_INSECURE = _variable(
    "OTEL_PREFECT_OTLP_INSECURE",
    "false; true for a loopback address and http://",
    "collector",
    "`true`: the `otlp` layers speak without TLS.",
)
ENV_XRAY_PROXY_ENDPOINT = _variable(
    "OTEL_PREFECT_XRAY_PROXY_ENDPOINT",
    "127.0.0.1:2000",
    "collector",
    "Where X-Ray SDKs ask for sampling rules (TCP); requests are passed on to X-Ray.",
)
ENV_COLLECTOR_LOG_LEVEL = _variable(
    "OTEL_PREFECT_COLLECTOR_LOG_LEVEL",
    "warn",
    "collector",
    "What the Collector says of itself on stderr: debug, info, warn or error.",
)
ENV_COLLECTOR_METRICS_PORT = _variable(
    "OTEL_PREFECT_COLLECTOR_METRICS_PORT",
    "8888",
    "sidecar collector",
    "Loopback port of the Collector's own metrics (`/metrics`); a managed one gets a free port.",
)
ENV_COLLECTOR_METRICS_LEVEL = _variable(
    "OTEL_PREFECT_COLLECTOR_METRICS_LEVEL",
    "normal",
    "collector",
    "How much the Collector measures of itself: none, basic, normal or detailed.",
)
ENV_PROMETHEUS_ENDPOINT = _variable(
    "OTEL_PREFECT_PROMETHEUS_ENDPOINT",
    "",
    "collector",
    "URL that the layer `prometheus` writes to: Prometheus's OTLP receiver (`…/api/v1/otlp/v1/metrics`), or "
    "one for remote write (`…/api/v1/write`, `…/api/v1/remote_write`).",
)
ENV_PROMETHEUS_SIGV4 = _variable(
    "OTEL_PREFECT_PROMETHEUS_SIGV4",
    "true for an address of Amazon Managed Service for Prometheus",
    "collector",
    "`true`: remote write is signed with AWS credentials.",
)
ENV_PROMETHEUS_AUTHORIZATION = _variable(
    "OTEL_PREFECT_PROMETHEUS_AUTHORIZATION",
    "",
    "collector",
    "The Authorization header that the layer `prometheus` sends, such as `Bearer …`.",
)

# --- The sidecar --------------------------------------------------------------------------------

ENV_ATTRIBUTES = _variable(
    "OTEL_PREFECT_ATTRIBUTES",
    "",
    "sidecar",
    "Attributes that the sidecar adds to every Resource, as `key=value,key=value` (percent-encoded).",
)
ENV_OVERWRITE = _variable(
    "OTEL_PREFECT_OVERWRITE",
    "",
    "sidecar",
    "Names of attributes, comma-separated, of which the sidecar's value wins over the sender's own.",
)
ENV_DRAIN_SECONDS = _variable(
    "OTEL_PREFECT_DRAIN_SECONDS",
    "25",
    "sidecar",
    "Seconds after SIGTERM in which the sidecar goes on accepting, at most.",
)
ENV_MAX_REQUEST_MIB = _variable(
    "OTEL_PREFECT_MAX_REQUEST_MIB", "64", "sidecar", "Largest request, in MiB after decompression."
)
ENV_MAX_IN_FLIGHT_MIB = _variable(
    "OTEL_PREFECT_MAX_IN_FLIGHT_MIB",
    "64",
    "sidecar",
    "MiB of requests in work at once; beyond it clients are told to retry.",
)

ENV_BEARER_TOKEN = _variable(
    "OTEL_PREFECT_BEARER_TOKEN",
    "",
    "sidecar collector",
    "Where set, OTLP is taken only with `Authorization: Bearer …`. For an address that is not loopback.",
)
ENV_ON_COLLECTOR_FAILURE = _variable(
    "OTEL_PREFECT_ON_COLLECTOR_FAILURE",
    "restart",
    "sidecar",
    "`restart`: a Collector that dies is started again for ever; `exit`: the sidecar ends with code 1 "
    "after five deaths in a row, which stops the task where its container is essential.",
)
ENV_OTEL_RESOURCE_ATTRIBUTES = _variable(
    "OTEL_RESOURCE_ATTRIBUTES",
    "",
    "library sidecar",
    "Attributes of the Resource, as OpenTelemetry has it. On the sidecar: added to what it forwards.",
)
ENV_METRIC_EXPORT_INTERVAL = _variable(
    "OTEL_METRIC_EXPORT_INTERVAL", "60000", "library sidecar", "Milliseconds between two exports of metrics."
)
ENV_ECS_METADATA = _variable(
    "ECS_CONTAINER_METADATA_URI_V4",
    "set by ECS",
    "library sidecar",
    "The task metadata endpoint, version 4. On Fargate its last part is the container's id.",
)
ENV_PREFECT_API_URL = _variable(
    "PREFECT_API_URL",
    "",
    "sidecar",
    "Prefect's API, from which names of flow, deployment and work pool come.",
)
ENV_PREFECT_API_KEY = _variable("PREFECT_API_KEY", "", "sidecar", "Its key (Prefect Cloud), if it has one.")
ENV_PREFECT_API_AUTH_STRING = _variable(
    "PREFECT_API_AUTH_STRING", "", "sidecar", "Its `user:password` (self-hosted server), if it has one."
)
ENV_PREFECT_API_SSL_CERT_FILE = _variable(
    "PREFECT_API_SSL_CERT_FILE",
    "the system's",
    "sidecar",
    "File of the authorities that its TLS is trusted by.",
)
ENV_PREFECT_CLIENT_CUSTOM_HEADERS = _variable(
    "PREFECT_CLIENT_CUSTOM_HEADERS",
    "",
    "sidecar",
    "More headers for it, as a JSON object; for a proxy that guards the server.",
)

# --- The library --------------------------------------------------------------------------------

ENV_FLUSH_SECONDS = _variable(
    "OTEL_PREFECT_FLUSH_SECONDS", "5", "library", "Seconds that a process may take to flush when it ends."
)
ENV_RETRY_SECONDS = _variable(
    "OTEL_PREFECT_RETRY_SECONDS",
    "120",
    "library",
    "Seconds for which spans, logs and metrics that nothing takes are tried again before they are dropped.",
)
ENV_START_SPANS = _variable(
    "OTEL_PREFECT_START_SPANS",
    "true",
    "library",
    "`false`: spans of flow runs, task runs and programs are sent when they end, not also when they start.",
)
ENV_LINKS = _variable(
    "OTEL_PREFECT_LINKS",
    "true",
    "library",
    "`false`: flow runs get no artifact in Prefect with the links to their trace and log.",
)
ENV_GRAFANA_URL = _variable(
    "OTEL_PREFECT_GRAFANA_URL",
    "",
    "library command",
    "Where Grafana is, with the dashboards of `dashboards/`, to link to.",
)
ENV_OPENSEARCH_DASHBOARDS_URL = _variable(
    "OTEL_PREFECT_OPENSEARCH_DASHBOARDS_URL",
    "",
    "library command",
    "Where OpenSearch Dashboards is, such as `https://DOMAIN/_dashboards`, to link to.",
)
ENV_PROCESS_SPAN = _variable(
    "OTEL_PREFECT_PROCESS_SPAN",
    "true",
    "library",
    "`false`: a program of a run under `opentelemetry-instrument` gets no span of its own.",
)
ENV_SCHEMAS = _variable(
    "OTEL_PREFECT_SCHEMAS",
    "",
    "library",
    "Where `metrics.schema` keeps the last known form of tables: a folder, or `s3://bucket/prefix`.",
)
ENV_PROPAGATE = _variable(
    "OTEL_PREFECT_PROPAGATE",
    "batch,ecs,events,glue,lambda,sns,sqs,stepfunctions",
    "library",
    "AWS services whose calls get the run added (botocore); empty turns it off.",
)


def metrics() -> tuple[Metric, ...]:
    """Return every metric above, in the order in which they stand here."""
    return tuple(value for value in globals().values() if isinstance(value, Metric))


def variables() -> tuple[Variable, ...]:
    """Return every variable above, in the order in which they stand here."""
    return tuple(value for value in globals().values() if isinstance(value, Variable))
