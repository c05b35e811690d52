"""What is on each dashboard: its panels, from the top down, and what each says."""

from __future__ import annotations

from typing import Final

from dashboards import metrics
from dashboards.cloudwatch import DAY, HOUR, Math, Search, share, total
from dashboards.panels import BAD, OK, WARN, Board, Kind, Panel, Promql, Section, Unit
from dashboards.promql import RANGE, added, age, largest, newest, none_is_zero, quantile, series
from dashboards.promql import share as share_of
from otel_prefect import links, semconv
from otel_prefect.alerts import anomalies
from otel_prefect.prometheus_names import metric

_FLOW: Final = semconv.ANNOTATION_FLOW_NAME
_NO_RUNS: Final = "No flow run has ended in this range."
_NO_LOADS: Final = "Nothing was loaded in this range by otel_prefect.metrics.loaded."
_NO_TESTS: Final = "dbt has not run under `otel-prefect run` in this range."
_NO_COST: Final = "The cost flow has not run in this range: otel-prefect deploy-cost-flow."
_NO_SIDECAR: Final = "No sidecar has sent metrics in this range."
_NO_ECS: Final = "No task with the sidecar has run on ECS for 20 s in this range."
_GOOD_HIGH: Final = ((None, BAD), (0.9, WARN), (0.99, OK))
_BAD_ABOVE_ZERO: Final = ((None, OK), (1.0, BAD))
_BAD_SHARE: Final = ((None, OK), (0.8, WARN), (0.9, BAD))

_RUNS: Final = added(semconv.METRIC_FINISHED_RUNS)
_GOOD_RUNS: Final = added(semconv.METRIC_FINISHED_RUNS, only='state="completed"')
SUCCESS_RATE: Final = Panel(
    "Success rate",
    "Flow runs that completed, of all that have ended in this range, each by its last state.",
    _NO_RUNS,
    Kind.STAT,
    Unit.SHARE,
    (Promql(share_of(_GOOD_RUNS, _RUNS)),),
    share(semconv.METRIC_FINISHED_RUNS, (("state", "completed"),), "success rate"),
    thresholds=_GOOD_HIGH,
    highest=1,
)
FAILED_RUNS: Final = Panel(
    "Runs that failed",
    "Flow runs that failed or crashed in this range, after all their retries.",
    _NO_RUNS,
    Kind.STAT,
    Unit.COUNT,
    (Promql(none_is_zero(added(semconv.METRIC_FINISHED_RUNS, only='state=~"failed|crashed"'), _RUNS)),),
    (
        Search("failed", semconv.METRIC_FINISHED_RUNS, "Sum", only=(("state", "failed"),), hidden=True),
        Search("crashed", semconv.METRIC_FINISHED_RUNS, "Sum", only=(("state", "crashed"),), hidden=True),
        Math("both", "SUM(failed) + SUM(crashed)", "failed or crashed"),
    ),
    thresholds=_BAD_ABOVE_ZERO,
    total=True,
)
RUNS_BY_STATE: Final = Panel(
    "Flow runs by final state",
    "How many flow runs have ended, by the state that they ended in.",
    _NO_RUNS,
    Kind.BARS,
    Unit.COUNT,
    (Promql(added(semconv.METRIC_FINISHED_RUNS, "$__interval", by=("state",)), "{{state}}", exemplars=True),),
    (Search("runs", semconv.METRIC_FINISHED_RUNS, "Sum", by=("state",), period=HOUR),),
    by=("state",),
    width=12,
)
RUN_DURATION: Final = Panel(
    "Duration of flow runs",
    "How long flow runs took that have ended: on average, and what 95 % are faster than, as far as a "
    "histogram's buckets tell.",
    _NO_RUNS,
    Kind.LINES,
    Unit.SECONDS,
    (
        Promql(
            f"{added(semconv.METRIC_FLOW_RUN_DURATION, '$__interval', by=(_FLOW,), part='sum')} / "
            f"{added(semconv.METRIC_FLOW_RUN_DURATION, '$__interval', by=(_FLOW,), part='count')}",
            "{{flow_name}} on average",
        ),
        Promql(
            quantile(semconv.METRIC_FLOW_RUN_DURATION, 0.95, "$__interval", by=(_FLOW,)),
            "{{flow_name}} p95",
            exemplars=True,
        ),
    ),
    (Search("took", semconv.METRIC_FLOW_RUN_DURATION, "Average", by=(_FLOW,), period=HOUR),),
    by=(_FLOW,),
    width=12,
)
FRESHNESS: Final = Panel(
    "Since the last load",
    "How long ago each table was last loaded, by source.",
    _NO_LOADS,
    Kind.RANKS,
    Unit.SECONDS,
    (Promql(age(semconv.METRIC_TABLE_LOADED, (semconv.TABLE, semconv.SOURCE)), "{{table}} ({{source}})"),),
    (
        Search("at", semconv.METRIC_TABLE_LOADED, "Maximum", by=(semconv.TABLE,), period=HOUR, hidden=True),
        Math("milliseconds", "at * 1000", "${LABEL}"),
    ),
    by=(semconv.TABLE, semconv.SOURCE),
    width=12,
    cloudwatch_unit=Unit.FROM_NOW,
)
PROCESSING: Final = Panel(
    "Processing time by source and stage",
    "How long programs and jobs took together, by the source and stage that they work for.",
    "No program under `otel-prefect run` and no job has ended in this range.",
    Kind.BARS,
    Unit.SECONDS,
    (
        Promql(
            added(
                semconv.METRIC_PROCESS_DURATION,
                "$__interval",
                by=(semconv.SOURCE, semconv.STAGE),
                part="sum",
            ),
            "{{source}} {{stage}}",
        ),
    ),
    (Search("took", semconv.METRIC_PROCESS_DURATION, "Sum", by=(semconv.STAGE,), period=HOUR),),
    by=(semconv.SOURCE, semconv.STAGE),
    width=12,
)
ERRORS: Final = Panel(
    "Errors by type and stage",
    "What flow runs, attempts, programs, jobs and dbt's nodes failed with; a failure counts at each level.",
    "Nothing has failed in this range.",
    Kind.RANKS,
    Unit.COUNT,
    (
        Promql(
            added(semconv.METRIC_ERRORS, by=(semconv.ERROR_TYPE, semconv.STAGE)),
            "{{error_type}} {{stage}}",
        ),
    ),
    (Search("errors", semconv.METRIC_ERRORS, "Sum", by=(semconv.ERROR_TYPE,), period=DAY),),
    by=(semconv.ERROR_TYPE, semconv.STAGE),
    width=12,
    total=True,
)
LAST_FAILED: Final = Panel(
    "Runs that failed, by name",
    "The newest runs that failed or crashed, with what they failed with. The link leads to the trace.",
    "No run has failed in this range.",
    Kind.TABLE,
    Unit.TEXT,
    (
        Promql(
            "topk(20, max by (flow_name, deployment, flow_run_name, flow_run_id, xray_trace_id, error_type) "
            f"(max_over_time({series(semconv.METRIC_FLOW_RUN_FAILED)}[{RANGE}]))) * 1000",
            "failed at",
            Unit.FROM_NOW,
        ),
    ),
    by=(_FLOW, semconv.ANNOTATION_DEPLOYMENT, "flow_run_name", "flow_run_id", "xray_trace_id", "error_type"),
    width=24,
    not_in_cloudwatch="A name would be a metric to pay for: look in X-Ray's group of failed runs.",
)
ALERTS: Final = Panel(
    "Alerts",
    "What is firing now, by level.",
    "Nothing is firing.",
    Kind.TABLE,
    Unit.TEXT,
    (
        Promql(
            f"count by (severity, alertname, flow_name, table, source) "
            f'({metrics.ALERTS}{{alertstate="firing",severity=~"P[1-4]"}})',
            "how many",
        ),
    ),
    by=("severity", "alertname", _FLOW, semconv.TABLE, semconv.SOURCE),
    width=12,
    not_in_cloudwatch="CloudWatch shows its own alarms.",
)
TASKS: Final = Panel(
    "Slowest tasks",
    "How long task runs took on average, by the task's name.",
    "No task run has ended in this range.",
    Kind.RANKS,
    Unit.SECONDS,
    (
        Promql(
            f"topk(15, {added(semconv.METRIC_TASK_RUN_DURATION, by=('task_name',), part='sum')} / "
            f"{added(semconv.METRIC_TASK_RUN_DURATION, by=('task_name',), part='count')})",
            "{{task_name}}",
        ),
    ),
    (Search("took", semconv.METRIC_TASK_RUN_DURATION, "Average", by=("task_name",), period=DAY),),
    by=("task_name",),
    width=12,
)
TASK_STATES: Final = Panel(
    "Task runs by final state",
    "How many task runs have ended, by the state that they ended in.",
    "No task run has ended in this range.",
    Kind.BARS,
    Unit.COUNT,
    (
        Promql(
            added(semconv.METRIC_TASK_RUN_DURATION, "$__interval", by=("state",), part="count"), "{{state}}"
        ),
    ),
    (Search("tasks", semconv.METRIC_TASK_RUN_DURATION, "SampleCount", by=("state",), period=HOUR),),
    by=("state",),
    width=12,
)

_PASSED: Final = added(semconv.METRIC_DBT_TESTS, only='status="pass"')
_TESTS: Final = added(semconv.METRIC_DBT_TESTS, only='status!="skipped"')
QUALITY: Final = Panel(
    "Quality score",
    "Tests of dbt that passed, of all that it has carried out in this range.",
    _NO_TESTS,
    Kind.STAT,
    Unit.SHARE,
    (Promql(share_of(_PASSED, _TESTS)),),
    share(semconv.METRIC_DBT_TESTS, (("status", "pass"),), "quality score"),
    thresholds=((None, BAD), (0.9, WARN), (0.95, OK)),
    highest=1,
)
TESTS: Final = Panel(
    "Tests of dbt by result",
    "How many tests dbt has run.",
    _NO_TESTS,
    Kind.BARS,
    Unit.COUNT,
    (Promql(added(semconv.METRIC_DBT_TESTS, "$__interval", by=("status",)), "{{status}}"),),
    (Search("tests", semconv.METRIC_DBT_TESTS, "Sum", by=("status",), period=HOUR),),
    by=("status",),
    width=12,
)
COMPLETENESS: Final = Panel(
    "Completeness",
    "Rows of each table's last load, of those that were expected.",
    "No load with expected_rows in this range.",
    Kind.RANKS,
    Unit.SHARE,
    (
        Promql(
            newest(semconv.METRIC_TABLE_COMPLETENESS, by=(semconv.TABLE,), how="min"),
            "{{table}}",
        ),
    ),
    (Search("share", semconv.METRIC_TABLE_COMPLETENESS, "Minimum", by=(semconv.TABLE,), period=DAY),),
    by=(semconv.TABLE,),
    thresholds=((None, BAD), (0.9, WARN), (0.95, OK)),
    width=12,
    highest=1,
)
ROWS: Final = Panel(
    "Rows loaded",
    "Rows that were loaded into each table.",
    _NO_LOADS,
    Kind.BARS,
    Unit.COUNT,
    (Promql(added(semconv.METRIC_TABLE_ROWS, "$__interval", by=(semconv.TABLE,)), "{{table}}"),),
    (Search("rows", semconv.METRIC_TABLE_ROWS, "Sum", by=(semconv.TABLE,), period=HOUR),),
    by=(semconv.TABLE,),
    width=12,
)
DRIFT: Final = Panel(
    "Schema drift",
    "Columns that were added, removed or retyped since a table's last known form.",
    "No table's form has changed in this range.",
    Kind.TABLE,
    Unit.COUNT,
    (Promql(added(semconv.METRIC_SCHEMA_CHANGES, by=(semconv.TABLE, "change")) + " > 0", "columns"),),
    (Search("columns", semconv.METRIC_SCHEMA_CHANGES, "Sum", by=(semconv.TABLE, "change"), period=DAY),),
    by=(semconv.TABLE, "change"),
    width=12,
    total=True,
)
REFUSED: Final = Panel(
    "Values that cannot be",
    "Numbers of a table that were told and not recorded: negative, infinite, in the future.",
    "All values could be.",
    Kind.TABLE,
    Unit.COUNT,
    (Promql(added(semconv.METRIC_REFUSED, by=(semconv.TABLE, "reason")) + " > 0", "values"),),
    (Search("values", semconv.METRIC_REFUSED, "Sum", by=(semconv.TABLE, "reason"), period=DAY),),
    by=(semconv.TABLE, "reason"),
    width=12,
    total=True,
)
ANOMALIES: Final = Panel(
    "What is unusual",
    "How far rows, bytes, duration and cost are from what is usual on this weekday, in robust standard "
    f"deviations. Beyond {anomalies.THRESHOLD:g} either way is told of.",
    "No series has the six weeks of history yet that this needs, or its recording rules are not loaded.",
    Kind.LINES,
    Unit.COUNT,
    (Promql(anomalies.SCORE, "{{measure}} {{table}}{{flow_name}}{{source}}"),),
    by=(anomalies.MEASURE, semconv.TABLE, _FLOW),
    width=24,
    not_in_cloudwatch="CloudWatch's alarms have bands of their own: otel-prefect alerts --cloudwatch-bands.",
)

_COST_NOW: Final = newest(semconv.METRIC_COST, by=(semconv.SOURCE,))
COST_BY_SOURCE: Final = Panel(
    "Cost of a day by source",
    "Unblended cost of the last whole day, by the cost allocation tag of the source.",
    _NO_COST,
    Kind.BARS,
    Unit.USD,
    (Promql(newest(semconv.METRIC_COST, "1d", by=(semconv.SOURCE,)), "{{source}}", step="1d"),),
    (Search("cost", semconv.METRIC_COST, "Maximum", by=(semconv.SOURCE, semconv.SERVICE), period=DAY),),
    by=(semconv.SOURCE,),
    width=12,
)
COST_PER_GB: Final = Panel(
    "Cost per GB loaded",
    "What the last day of a source has cost, by the gigabytes that were loaded from it in a day.",
    "It needs the cost flow, and loads with a size, of the same source.",
    Kind.RANKS,
    Unit.USD,
    (
        Promql(
            f"{_COST_NOW} / on (source) (sum by (source) "
            f"(sum_over_time({metric(semconv.METRIC_TABLE_SIZE)}[1d])) / 1e9 > 0)",
            "{{source}}",
        ),
    ),
    by=(semconv.SOURCE,),
    width=12,
    not_in_cloudwatch="A search cannot be divided by another one by their dimensions.",
)
COST_BY_SERVICE: Final = Panel(
    "Cost of the last day by service",
    "Unblended cost of the last whole day, by AWS service.",
    _NO_COST,
    Kind.RANKS,
    Unit.USD,
    (Promql(f"topk(15, {newest(semconv.METRIC_COST, by=(semconv.SERVICE,))})", "{{service}}"),),
    (Search("cost", semconv.METRIC_COST, "Maximum", by=(semconv.SERVICE,), period=DAY),),
    by=(semconv.SERVICE,),
    width=12,
)
ATHENA: Final = Panel(
    "Athena scan cost by user",
    "What the bytes have cost that queries scanned, by the user who has started them.",
    _NO_COST,
    Kind.RANKS,
    Unit.USD,
    (Promql(f"topk(15, {added(semconv.METRIC_ATHENA_COST, by=('user',))})", "{{user}}"),),
    (Search("cost", semconv.METRIC_ATHENA_COST, "Sum", by=("user",), period=DAY),),
    by=("user",),
    width=12,
    total=True,
)
_STORED: Final = newest(semconv.METRIC_STORAGE, "2d", by=("bucket",))
_STORED_BEFORE: Final = newest(semconv.METRIC_STORAGE, "2d", by=("bucket",), ago="30d")
STORAGE: Final = Panel(
    "Storage",
    "Bytes that each bucket holds.",
    _NO_COST,
    Kind.LINES,
    Unit.BYTES,
    (Promql(_STORED, "{{bucket}}", step="1d"),),
    (Search("bytes", semconv.METRIC_STORAGE, "Maximum", by=("bucket", "storage_class"), period=DAY),),
    by=("bucket",),
    width=12,
)
GROWTH: Final = Panel(
    "Storage growth, month over month",
    "How much more a bucket holds than 30 days ago.",
    "It needs 30 days of the cost flow.",
    Kind.RANKS,
    Unit.SHARE,
    (Promql(f"{_STORED} / ({_STORED_BEFORE} > 0) - 1", "{{bucket}}"),),
    by=("bucket",),
    width=12,
    not_in_cloudwatch="Metric math has no value of 30 days ago.",
)
GLUE: Final = Panel(
    "Glue jobs, CPU in use",
    "How much of its workers' CPU each job used: what is never used need not be paid for.",
    _NO_COST,
    Kind.RANKS,
    Unit.SHARE,
    (Promql(newest(semconv.METRIC_GLUE_UTILIZATION, by=("job",), how="max"), "{{job}}"),),
    (Search("share", semconv.METRIC_GLUE_UTILIZATION, "Average", by=("job",), period=DAY),),
    by=("job",),
    width=12,
    highest=1,
)
RDS: Final = Panel(
    "Databases, CPU in use",
    "How much of its CPU each database used.",
    _NO_COST,
    Kind.RANKS,
    Unit.SHARE,
    (Promql(newest(semconv.METRIC_RDS_UTILIZATION, by=("database",), how="max"), "{{database}}"),),
    (Search("share", semconv.METRIC_RDS_UTILIZATION, "Average", by=("database",), period=DAY),),
    by=("database",),
    thresholds=_BAD_SHARE,
    width=12,
    highest=1,
)
COST_PROBLEMS: Final = Panel(
    "Numbers that are missing",
    "Calls of AWS that the cost flow made and that were refused or not understood.",
    "The cost flow has all its numbers, or has not run.",
    Kind.TABLE,
    Unit.COUNT,
    (Promql(added(semconv.METRIC_COST_FLOW_PROBLEMS, by=("service", "reason")) + " > 0", "calls"),),
    (Search("calls", semconv.METRIC_COST_FLOW_PROBLEMS, "Sum", by=("service", "reason"), period=DAY),),
    by=("service", "reason"),
    width=12,
    total=True,
)


def _of_container(title: str, meaning: str, of: semconv.Metric, unit: Unit) -> Panel:
    """Return a panel of a container's counter or gauge."""
    by = ("container", "task_family")
    asked = (
        added(of, "$__interval", by=by)
        if of.kind == "counter"
        else f"max by (container, task_family) (max_over_time({series(of)}[$__interval]))"
    )
    statistic = "Sum" if of.kind == "counter" else "Maximum"
    return Panel(
        title,
        meaning,
        _NO_ECS,
        Kind.LINES,
        unit,
        (Promql(asked, "{{task_family}} {{container}}"),),
        (Search("used", of, statistic, by=by),),
        by=by,
        width=12,
    )


def _of_task(title: str, meaning: str, used: semconv.Metric, reserved: semconv.Metric) -> Panel:
    """Return a panel of what a task used of what it may use."""
    by = ("task_family",)
    return Panel(
        title,
        meaning,
        _NO_ECS,
        Kind.RANKS,
        Unit.SHARE,
        (Promql(f"{largest(used, by=by)} / {largest(reserved, by=by)}", "{{task_family}}"),),
        by=by,
        thresholds=_BAD_SHARE,
        width=8,
        highest=1,
        not_in_cloudwatch="A search cannot be divided by another one by their dimensions.",
    )


TASK_CPU: Final = _of_task(
    "CPU at its highest",
    "Of the CPU that a task may use.",
    semconv.METRIC_TASK_CPU,
    semconv.METRIC_TASK_CPU_RESERVED,
)
TASK_MEMORY: Final = _of_task(
    "Memory at its highest",
    "Of the memory that a task may use. At more than all of it, it is killed.",
    semconv.METRIC_TASK_MEMORY,
    semconv.METRIC_TASK_MEMORY_RESERVED,
)
TASK_DISK: Final = _of_task(
    "Disk at its highest",
    "Of the ephemeral storage that a task has.",
    semconv.METRIC_TASK_DISK,
    semconv.METRIC_TASK_DISK_RESERVED,
)
CONTAINERS: Final = (
    _of_container("CPU", "How many CPUs each container used.", semconv.METRIC_CONTAINER_CPU, Unit.COUNT),
    _of_container("Memory", "What each container used.", semconv.METRIC_CONTAINER_MEMORY, Unit.MEBIBYTES),
    _of_container(
        "Network, received",
        "Bytes that each container received.",
        semconv.METRIC_CONTAINER_RECEIVED,
        Unit.BYTES,
    ),
    _of_container("Network, sent", "What each container sent.", semconv.METRIC_CONTAINER_SENT, Unit.BYTES),
    _of_container("Disk, read", "Bytes that each container read.", semconv.METRIC_CONTAINER_READ, Unit.BYTES),
    _of_container(
        "Disk, written", "Bytes that each container wrote.", semconv.METRIC_CONTAINER_WRITTEN, Unit.BYTES
    ),
)
ACCEPTED: Final = Panel(
    "Records at the door",
    "Spans, log records and metrics that came to sidecars, by what became of them there.",
    _NO_SIDECAR,
    Kind.BARS,
    Unit.COUNT,
    (
        Promql(
            added(semconv.METRIC_SIDECAR_RECORDS, "$__interval", by=("signal", "outcome")),
            "{{signal}} {{outcome}}",
        ),
    ),
    (Search("records", semconv.METRIC_SIDECAR_RECORDS, "Sum", by=("signal", "outcome")),),
    by=("signal", "outcome"),
    width=12,
)
DELIVERED: Final = Panel(
    "Records delivered",
    "Records that destinations have taken.",
    _NO_SIDECAR,
    Kind.BARS,
    Unit.COUNT,
    (
        Promql(
            added(semconv.METRIC_SIDECAR_DELIVERED, "$__interval", by=("signal", "exporter")),
            "{{signal}} {{exporter}}",
        ),
    ),
    (Search("records", semconv.METRIC_SIDECAR_DELIVERED, "Sum", by=("signal", "exporter")),),
    by=("signal", "exporter"),
    width=12,
)
GIVEN_UP: Final = Panel(
    "Records lost",
    "Records that were accepted and that a destination will never take.",
    "Nothing was given up, or no sidecar has sent metrics.",
    Kind.STAT,
    Unit.COUNT,
    (
        Promql(
            none_is_zero(added(semconv.METRIC_SIDECAR_GIVEN_UP), added(semconv.METRIC_SIDECAR_RECORDS)),
        ),
    ),
    total(semconv.METRIC_SIDECAR_GIVEN_UP, "records lost"),
    thresholds=_BAD_ABOVE_ZERO,
    total=True,
)
HELD: Final = Panel(
    "Layers held",
    "Layers whose data sidecars keep on disk, since AWS refuses it.",
    "No sidecar holds anything.",
    Kind.STAT,
    Unit.COUNT,
    (Promql(f"sum({largest(semconv.METRIC_SIDECAR_HELD, by=('layer',))}) or vector(0)"),),
    (Search("held", semconv.METRIC_SIDECAR_HELD, "Maximum", by=("layer",)),),
    by=("layer",),
    thresholds=_BAD_ABOVE_ZERO,
)
QUEUED: Final = Panel(
    "Queues",
    "The most bytes that a sidecar had in a queue on disk.",
    _NO_SIDECAR,
    Kind.LINES,
    Unit.BYTES,
    (
        Promql(
            largest(semconv.METRIC_SIDECAR_QUEUED, "$__interval", by=("signal", "exporter")),
            "{{signal}} {{exporter}}",
        ),
    ),
    (Search("bytes", semconv.METRIC_SIDECAR_QUEUED, "Maximum", by=("signal", "exporter")),),
    by=("signal", "exporter"),
    width=12,
)
STARTS: Final = Panel(
    "Collectors started",
    "One for each sidecar; more where a Collector died.",
    _NO_SIDECAR,
    Kind.STAT,
    Unit.COUNT,
    (Promql(added(semconv.METRIC_SIDECAR_COLLECTOR_STARTS)),),
    total(semconv.METRIC_SIDECAR_COLLECTOR_STARTS, "Collectors started"),
    total=True,
)
STATSD: Final = Panel(
    "StatsD lines",
    "Lines of StatsD that were passed on, and those that were left out, by reason.",
    "Nothing has sent StatsD in this range.",
    Kind.BARS,
    Unit.COUNT,
    (
        Promql(added(semconv.METRIC_SIDECAR_STATSD_LINES, "$__interval"), "passed on"),
        Promql(added(semconv.METRIC_SIDECAR_STATSD_REFUSED, "$__interval", by=("reason",)), "{{reason}}"),
    ),
    (
        Search("lines", semconv.METRIC_SIDECAR_STATSD_LINES, "Sum"),
        Search("refused", semconv.METRIC_SIDECAR_STATSD_REFUSED, "Sum", by=("reason",)),
    ),
    width=12,
)

BOARDS: Final = (
    Board(
        links.OVERVIEW,
        "Pipelines",
        "Are all pipelines well, is their data fresh, and what fails.",
        "now-7d",
        (
            Section("Health", (SUCCESS_RATE, FAILED_RUNS, QUALITY, GIVEN_UP)),
            Section("Now", (ALERTS, FRESHNESS)),
            Section("Runs", (RUNS_BY_STATE, RUN_DURATION, LAST_FAILED)),
            Section("Sources and stages", (PROCESSING, ERRORS)),
        ),
    ),
    Board(
        links.FLOW,
        "One flow",
        "How one flow's runs end, how long they and their tasks take, and what they load.",
        "now-7d",
        (
            Section("Health", (SUCCESS_RATE, FAILED_RUNS)),
            Section("Runs", (RUNS_BY_STATE, RUN_DURATION, LAST_FAILED)),
            Section("Tasks", (TASKS, TASK_STATES)),
            Section("Sources and stages", (PROCESSING, ERRORS, ROWS, FRESHNESS)),
        ),
        one_flow=True,
    ),
    Board(
        links.DATA_QUALITY,
        "Data quality",
        "Is what was loaded complete, tested and of the known form.",
        "now-7d",
        (
            Section("Score", (QUALITY,)),
            Section("Tests", (TESTS, COMPLETENESS)),
            Section("Tables", (ROWS, FRESHNESS, DRIFT, REFUSED)),
            Section("Anomalies", (ANOMALIES,)),
        ),
    ),
    Board(
        links.COST,
        "Cost",
        "What sources, queries and storage cost, and what is paid for and not used.",
        "now-30d",
        (
            Section("Sources", (COST_BY_SOURCE, COST_PER_GB)),
            Section("Services and users", (COST_BY_SERVICE, ATHENA)),
            Section("Storage", (STORAGE, GROWTH)),
            Section("In use", (GLUE, RDS, COST_PROBLEMS)),
        ),
        variables=("source",),
    ),
    Board(
        links.FLEET,
        "Sidecars and tasks",
        "Do sidecars deliver what they accept, and have tasks enough of everything.",
        "now-24h",
        (
            Section("Sidecars", (GIVEN_UP, HELD, STARTS)),
            Section("Data", (ACCEPTED, DELIVERED, QUEUED, STATSD)),
            Section("Tasks", (TASK_CPU, TASK_MEMORY, TASK_DISK)),
            Section("Containers", CONTAINERS),
        ),
        variables=(),
    ),
)
