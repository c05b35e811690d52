"""The dashboards' files: current, whole, and of nothing but what is declared."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards import __main__ as command
from dashboards import metrics, native
from dashboards.boards import BOARDS
from dashboards.cloudwatch import Math, Search
from otel_prefect import prometheus_names, semconv
from otel_prefect.alerts import anomalies

if TYPE_CHECKING:
    from dashboards.panels import Board, Panel

FILES = command.files()
GRAFANA = [path for path in FILES if path.parent != command.FOLDER]
PANELS = [(board, panel) for board in BOARDS for panel in board.panels()]
NAMES = {prometheus_names.metric(each) for each in semconv.metrics()}
KNOWN = (
    NAMES
    | {f"{name}_{part}" for name in NAMES for part in ("sum", "count", "bucket")}
    | {anomalies.SCORE, metrics.ALERTS}
)


def dashboard(path: Any) -> Any:
    return json.loads(FILES[path])


def test_the_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--check"]) == 0, capsys.readouterr().out


def test_a_file_that_is_not_current_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = command.FOLDER / "prometheus" / "otel-prefect-cost.json"
    monkeypatch.setattr(command, "files", lambda: {path: "{}"})
    assert command.main(["--check"]) == 1
    assert capsys.readouterr().out == (
        "dashboards/prometheus/otel-prefect-cost.json is not current: python -m dashboards\n"
    )


@pytest.mark.parametrize("path", GRAFANA, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_grafanas_own_model_takes_a_dashboard_and_loses_nothing(path: Any) -> None:
    content = dashboard(path)
    again = json.loads(JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(content)))
    assert again == content


@pytest.mark.parametrize("path", GRAFANA, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_panels_have_ids_of_their_own_and_do_not_overlap(path: Any) -> None:
    panels = dashboard(path)["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


@pytest.mark.parametrize("path", GRAFANA, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_panel_says_what_it_means_why_it_may_be_empty_and_leads_on(path: Any) -> None:
    for panel in dashboard(path)["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["noValue"]
        assert {link["title"] for link in panel["links"]} == {"Traces", "Logs"}
        for link in panel["links"] + panel["fieldConfig"]["defaults"].get("links", []):
            assert "MARK" not in link["url"]
            assert link["url"].startswith("https://${region}.console.aws.amazon.com/")


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=lambda each: getattr(each, "title", ""))
def test_queries_ask_for_what_is_declared_by_the_dashboards_variables(board: Board, panel: Panel) -> None:
    for query in panel.prometheus:
        asked = set(
            re.findall(r"\b(?:prefect|pipeline|dbt|aws|ecs|container)[_:][a-z0-9_:]+", query.expression)
        )
        asked |= set(re.findall(r"\bALERTS\b", query.expression))
        assert asked
        assert asked <= KNOWN
        used = set(re.findall(r'"\$(\w+)"', query.expression))
        assert used <= set(board.variables)
        assert "rate(" not in query.expression
        assert "increase(" not in query.expression
    assert bool(panel.cloudwatch) != bool(panel.not_in_cloudwatch)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=lambda each: getattr(each, "title", ""))
def test_cloudwatch_is_asked_for_dimensions_that_a_metric_has(board: Board, panel: Panel) -> None:
    del board
    searches = [query for query in panel.cloudwatch if isinstance(query, Search)]
    ids = [query.id for query in panel.cloudwatch]
    assert len(set(ids)) == len(ids)
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_]*", name) for name in ids)
    for search in searches:
        has = {*search.metric.attributes, *metrics.RUN_LABELS}
        assert set(search.by) <= has
        assert {name for name, _ in search.only} <= has
        # A search expression has 1,024 characters at most.
        assert len(search.expression_of("Prefect")) < 1024
    for query in panel.cloudwatch:
        if isinstance(query, Math):
            assert set(re.findall(r"\b[a-z]\w*\b", query.expression)) <= set(ids) - {query.id}


def test_cloudwatchs_own_dashboard_has_widgets_that_its_documentation_allows() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""
    widgets = json.loads(native.body(BOARDS))["widgets"]
    assert 10 < len(widgets) <= 500
    titles = [each["properties"]["title"] for each in widgets if each["type"] == "metric"]
    assert len(set(titles)) == len(titles)
    for widget in widgets:
        assert 1 <= widget["width"] <= 24 - widget["x"]
        assert 1 <= widget["height"] <= 1000
        if widget["type"] == "metric":
            assert widget["properties"]["view"] in {"timeSeries", "singleValue", "bar", "table"}
            for (query,) in widget["properties"]["metrics"]:
                assert query["expression"]
                assert query["label"]


def test_every_group_of_metrics_is_on_a_dashboard() -> None:
    asked = " ".join(query.expression for _, panel in PANELS for query in panel.prometheus)
    left_out = {name for name in NAMES if name not in asked}
    assert left_out == {
        prometheus_names.metric(each)
        for each in (
            semconv.METRIC_FLOW_RUN_COMPLETED,  # for alerts: when one last completed
            semconv.METRIC_TABLE_NEWEST,
            semconv.METRIC_DBT_NODES,
            semconv.METRIC_ATHENA_SCANNED,
            semconv.METRIC_SIDECAR_REQUESTS,
            semconv.METRIC_SIDECAR_IN_FLIGHT,
            semconv.METRIC_SIDECAR_COLLECTOR_UP,
        )
    }
