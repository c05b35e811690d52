"""When there is an alert, of which level, and what it says.

How the samples are to be read stands in ``docs/metrics.md``: one of a counter is what was added, one of a
gauge is that of one run or load. So every expression looks at a window, and none knows ``rate``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from otel_prefect import links, semconv
from otel_prefect.prometheus_names import metric

if TYPE_CHECKING:
    from otel_prefect.alerts.places import Places

FLOW: Final = (semconv.ANNOTATION_FLOW_NAME, semconv.ANNOTATION_DEPLOYMENT)
TABLE: Final = (semconv.TABLE, semconv.SOURCE, *FLOW)
_OF_FLOW: Final = ", ".join(FLOW)
_OF_TABLE: Final = ", ".join(TABLE)
# A flow that failed and was not tried again is told of for so long.
_REMEMBERED: Final = "7d"


class Level(Enum):
    """How much an alert matters, as the label ``severity`` has it."""

    P1 = "P1"
    """Pipeline failure: somebody is paged."""
    P2 = "P2"
    """Data quality degradation: a channel is told."""
    P3 = "P3"
    """Cost anomaly: an e-mail."""
    P4 = "P4"
    """Performance warning: on the dashboard only."""


@dataclass(frozen=True)
class Alert:
    """An alert of Prometheus.

    Attributes:
        name: as `alertname` and the runbook have it.
        level: of it.
        expression: PromQL; each series of its result is an alert.
        labels: that these series have, of those that a link can be made of.
        summary: one line, a template of Prometheus.
        description: what it means and what its value is, a template too.
        dashboard: uid of the one that shows more.
        hold: how long the expression has to hold, such as ``10m``.
        names_run: whether the labels name a run: then the links lead to that.
    """

    name: str
    level: Level
    expression: str
    labels: tuple[str, ...]
    summary: str
    description: str
    dashboard: str
    hold: str = "0s"
    names_run: bool = False

    def annotations(self, places: Places) -> dict[str, str]:
        """Return what an alert says, with links into a team's consoles."""
        searchable = [label for label in self.labels if label in (*FLOW, semconv.SOURCE, semconv.STAGE)]
        variables = [name for name in ("flow", "source") if _LABEL_OF[name] in self.labels]
        said = {
            "summary": self.summary,
            "description": self.description,
            "dashboard": places.dashboard(self.dashboard, variables),
            "runbook_url": places.runbook(self.name),
        }
        if self.names_run:
            said |= {
                "trace": places.trace_of_run(),
                "logs": places.logs_of((semconv.RECORD_FLOW_RUN_ID,)),
                "run": places.run(),
            }
        elif searchable:
            said |= {"trace": places.traces_of(searchable), "logs": places.logs_of(searchable)}
        return said


@dataclass(frozen=True)
class Recorded:
    """A series that Prometheus computes, for alerts and dashboards.

    Attributes:
        name: of the series.
        expression: PromQL.
        labels: added to it.
    """

    name: str
    expression: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated together, in their order.

    Attributes:
        name: of the group.
        interval: between two evaluations; None: what Prometheus is told for all.
        recorded: series, which come first.
        alerts: on what is measured and recorded.
    """

    name: str
    alerts: tuple[Alert, ...] = ()
    recorded: tuple[Recorded, ...] = field(default=())
    interval: str | None = None


_LABEL_OF: Final = {"flow": semconv.ANNOTATION_FLOW_NAME, "source": semconv.SOURCE}


def newest(of: semconv.Metric, by: str, window: str) -> str:
    """Return PromQL for the largest value of a window: of a time, the newest."""
    return f"max by ({by}) (max_over_time({metric(of)}[{window}]))"


def added(of: semconv.Metric, by: str, window: str, only: str = "") -> str:
    """Return PromQL for what was added to a counter in a window."""
    return f"sum by ({by}) (sum_over_time({metric(of)}{only}[{window}]))"


_NAMED_RUN: Final = f"{_OF_FLOW}, flow_run_id, flow_run_name, xray_trace_id, state, error_type"
_LAST_FAILED: Final = newest(semconv.METRIC_FLOW_RUN_FAILED, _OF_FLOW, _REMEMBERED)
_LAST_COMPLETED: Final = newest(semconv.METRIC_FLOW_RUN_COMPLETED, _OF_FLOW, _REMEMBERED)

FLOW_RUN_FAILED: Final = Alert(
    name="FlowRunFailed",
    level=Level.P1,
    # The newest failed run of a flow and deployment, unless one has completed after it.
    expression=f"""\
(
    {newest(semconv.METRIC_FLOW_RUN_FAILED, _NAMED_RUN, _REMEMBERED)}
  == on ({_OF_FLOW}) group_left ()
    {_LAST_FAILED}
)
unless on ({_OF_FLOW})
  (
      {_LAST_COMPLETED}
    > on ({_OF_FLOW})
      {_LAST_FAILED}
  )""",
    labels=(*FLOW, semconv.RECORD_FLOW_RUN_ID),
    summary="{{ $labels.flow_name }}: run {{ $labels.flow_run_name }} {{ $labels.state }}"
    "{{ with $labels.error_type }} with {{ . }}{{ end }}",
    description="The newest run of flow {{ $labels.flow_name }}"
    "{{ with $labels.deployment }}, deployment {{ . }},{{ end }} {{ $labels.state }} at "
    "{{ $value | humanizeTimestamp }}, after all its retries: {{ $labels.flow_run_name }}, "
    "{{ $labels.flow_run_id }}. It ends with the next run that completes.",
    dashboard=links.FLOW,
    names_run=True,
)

DATA_TESTS_FAILED: Final = Alert(
    name="DataTestsFailed",
    level=Level.P2,
    expression=added(semconv.METRIC_DBT_TESTS, _OF_FLOW, "6h", '{status=~"fail|error"}') + " > 0",
    labels=FLOW,
    summary="{{ $labels.flow_name }}: {{ $value }} dbt tests failed",
    description="{{ $value }} tests of dbt in flow {{ $labels.flow_name }} have failed in the last 6 hours.",
    dashboard=links.DATA_QUALITY,
)

_ALL_TESTS: Final = added(semconv.METRIC_DBT_TESTS, _OF_FLOW, "1d", '{status!="skipped"}')
QUALITY_SCORE_LOW: Final = Alert(
    name="QualityScoreLow",
    level=Level.P2,
    expression=f"""\
(
    {added(semconv.METRIC_DBT_TESTS, _OF_FLOW, "1d", '{status="pass"}')}
  or
    0 * {_ALL_TESTS}
)
/ {_ALL_TESTS}
< 0.95""",
    labels=FLOW,
    summary="{{ $labels.flow_name }}: {{ $value | humanizePercentage }} of dbt's tests pass",
    description="Of the tests of dbt in flow {{ $labels.flow_name }} {{ $value | humanizePercentage }} have "
    "passed in the last day, warnings counted as not passed; 95% is expected.",
    dashboard=links.DATA_QUALITY,
)

TABLE_INCOMPLETE: Final = Alert(
    name="TableIncomplete",
    level=Level.P2,
    expression=f"min by ({_OF_TABLE}) "
    f"(last_over_time({metric(semconv.METRIC_TABLE_COMPLETENESS)}[1d])) < 0.95",
    labels=TABLE,
    summary="{{ $labels.table }}: {{ $value | humanizePercentage }} of the expected rows",
    description="The last load of table {{ $labels.table }}{{ with $labels.source }} from {{ . }}{{ end }} "
    "brought {{ $value | humanizePercentage }} of the rows that were expected; 95% is the least.",
    dashboard=links.DATA_QUALITY,
)

SCHEMA_CHANGED: Final = Alert(
    name="SchemaChanged",
    level=Level.P2,
    expression=added(semconv.METRIC_SCHEMA_CHANGES, f"change, {_OF_TABLE}", "6h") + " > 0",
    labels=TABLE,
    summary="{{ $labels.table }}: {{ $value }} columns {{ $labels.change }}",
    description="{{ $value }} columns of table {{ $labels.table }} were {{ $labels.change }} in the last "
    "6 hours, compared with its last known form. The log names them.",
    dashboard=links.DATA_QUALITY,
)

VALUES_REFUSED: Final = Alert(
    name="ValuesRefused",
    level=Level.P2,
    expression=added(semconv.METRIC_REFUSED, f"reason, {_OF_TABLE}", "1h") + " > 0",
    labels=TABLE,
    summary="{{ $labels.table }}: {{ $value }} values that cannot be ({{ $labels.reason }})",
    description="The pipeline has told {{ $value }} numbers of table {{ $labels.table }} that cannot be "
    "({{ $labels.reason }}). They were not recorded, so its other numbers may be missing.",
    dashboard=links.DATA_QUALITY,
)

# The longest that a table has been without a load, up to a day ago: what is usual, weekends and all.
TABLE_LONGEST_GAP: Final = Recorded(
    "pipeline:table_gap_seconds:max28d",
    "max_over_time((\n"
    f"  time() - {newest(semconv.METRIC_TABLE_LOADED, _OF_TABLE, '8d')}\n"
    ")[28d:1h] offset 1d)",
)
TABLE_STALE: Final = Alert(
    name="TableStale",
    level=Level.P2,
    expression=f"""\
(
    time() - {newest(semconv.METRIC_TABLE_LOADED, _OF_TABLE, "8d")}
  > 1.2 * {TABLE_LONGEST_GAP.name} + 1800
)
and on ({_OF_TABLE})
  sum by ({_OF_TABLE}) (count_over_time({metric(semconv.METRIC_TABLE_LOADED)}[28d])) >= 5""",
    labels=TABLE,
    summary="{{ $labels.table }}: no load for {{ $value | humanizeDuration }}",
    description="Table {{ $labels.table }}{{ with $labels.source }} from {{ . }}{{ end }} was last loaded "
    "{{ $value | humanizeDuration }} ago, which is longer than it ever was in the last four weeks.",
    dashboard=links.DATA_QUALITY,
)

COST_DATA_MISSING: Final = Alert(
    name="CostDataMissing",
    level=Level.P3,
    expression=added(semconv.METRIC_COST_FLOW_PROBLEMS, "service, reason", "1d") + " > 0",
    labels=(),
    summary="The cost flow has no numbers of {{ $labels.service }}: {{ $labels.reason }}",
    description="{{ $value }} calls of {{ $labels.service }} were not answered as they should in the last "
    "day ({{ $labels.reason }}). The numbers behind them are missing, not zero. The flow's log says more.",
    dashboard=links.COST,
)


def _share(of: semconv.Metric, whole: semconv.Metric, by: str = semconv.METRIC_TASK_FAMILY) -> str:
    return f"{newest(of, by, '15m')} / {newest(whole, by, '15m')} > 0.9"


TASK_MEMORY_HIGH: Final = Alert(
    name="TaskMemoryHigh",
    level=Level.P4,
    expression=_share(semconv.METRIC_TASK_MEMORY, semconv.METRIC_TASK_MEMORY_RESERVED),
    labels=(semconv.METRIC_TASK_FAMILY,),
    summary="{{ $labels.task_family }}: {{ $value | humanizePercentage }} of its memory in use",
    description="A task of family {{ $labels.task_family }} has used {{ $value | humanizePercentage }} of "
    "the memory that it may use in the last 15 minutes. At more than all of it, it is killed.",
    dashboard=links.FLEET,
)

TASK_DISK_HIGH: Final = Alert(
    name="TaskDiskHigh",
    level=Level.P4,
    expression=_share(semconv.METRIC_TASK_DISK, semconv.METRIC_TASK_DISK_RESERVED),
    labels=(semconv.METRIC_TASK_FAMILY,),
    summary="{{ $labels.task_family }}: {{ $value | humanizePercentage }} of its disk in use",
    description="A task of family {{ $labels.task_family }} has used {{ $value | humanizePercentage }} of "
    "its ephemeral storage. The sidecar's queues are on it too.",
    dashboard=links.FLEET,
)

TELEMETRY_LOST: Final = Alert(
    name="TelemetryLost",
    level=Level.P4,
    expression=added(semconv.METRIC_SIDECAR_GIVEN_UP, "signal, exporter", "1h") + " > 0",
    labels=(),
    summary="{{ $value }} records of {{ $labels.signal }} were given up by {{ $labels.exporter }}",
    description="{{ $value }} records that sidecars had accepted are lost: the destination of "
    "{{ $labels.exporter }} will never take them. The Collector's log says why.",
    dashboard=links.FLEET,
)

TELEMETRY_HELD: Final = Alert(
    name="TelemetryHeld",
    level=Level.P4,
    expression=f"max by (layer) (last_over_time({metric(semconv.METRIC_SIDECAR_HELD)}[15m])) > 0",
    labels=(),
    summary="{{ $labels.layer }} is kept on disk since AWS refuses it",
    description="A sidecar keeps the data of {{ $labels.layer }} on disk: AWS refuses it. On Fargate it is "
    "lost when the task ends. `/healthz` of the sidecar and `otel-prefect doctor` say what AWS lacks.",
    dashboard=links.FLEET,
    hold="5m",
)

PIPELINE: Final = Group("otel-prefect-pipeline", (FLOW_RUN_FAILED,))
QUALITY: Final = Group(
    "otel-prefect-data-quality",
    (DATA_TESTS_FAILED, QUALITY_SCORE_LOW, TABLE_INCOMPLETE, SCHEMA_CHANGED, VALUES_REFUSED),
)
FRESHNESS: Final = Group("otel-prefect-freshness", (TABLE_STALE,), (TABLE_LONGEST_GAP,), interval="5m")
COST: Final = Group("otel-prefect-cost", (COST_DATA_MISSING,))
PERFORMANCE: Final = Group(
    "otel-prefect-performance",
    (TASK_MEMORY_HIGH, TASK_DISK_HIGH, TELEMETRY_LOST, TELEMETRY_HELD),
)
