"""What dashboards show besides the declared metrics, and what narrows each."""

from __future__ import annotations

from typing import Final

from otel_prefect import semconv

ALERTS: Final = "ALERTS"
"""Prometheus's own series of alerts: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/"""
ALERT_LABELS: Final = ("severity", "alertname", "alertstate")

RUN_LABELS: Final = (
    semconv.ANNOTATION_FLOW_NAME,
    semconv.ANNOTATION_DEPLOYMENT,
    semconv.SOURCE,
    semconv.STAGE,
)
"""What every metric has besides its own attributes, where it is known."""


def variables_of(metric: semconv.Metric) -> tuple[str, ...]:
    """Return which of a dashboard's variables its numbers are narrowed by.

    What the cost flow measures is of the account: the flow in its labels is the cost flow itself.
    """
    if metric is semconv.METRIC_COST:
        return ("source",)
    if metric.name.startswith(("aws.", "pipeline.storage", "pipeline.cost", "prefect.sidecar.")):
        return ()
    if metric.name.startswith(("container.", "ecs.")):
        return ()
    if metric.name.startswith(("pipeline.table", "pipeline.values")):
        return ("flow", "source")
    if metric.name.startswith(("prefect.task_run", "pipeline.", "dbt.")):
        return ("flow", "source", "stage")
    return ("flow",)
