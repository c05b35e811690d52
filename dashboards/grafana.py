"""Turns a board into a dashboard of Grafana, by its own SDK, for a Prometheus or CloudWatch data source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    cloudwatch,
    common,
    dashboard,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import cloudwatch as cloudwatch_models
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

from dashboards.cloudwatch import Math, Search
from dashboards.panels import Kind, Panel, Unit
from dashboards.promql import LABEL_OF
from otel_prefect import links, prometheus_names, semconv

if TYPE_CHECKING:
    from dashboards.panels import Board

PROMETHEUS: Final = "prometheus"
CLOUDWATCH: Final = "cloudwatch"
COLUMNS: Final = 24
_ROW_HEIGHT: Final = 1
_DATASOURCE: Final = "${datasource}"
# Placeholders in links, which no notation changes, for what Grafana fills in.
_REGION: Final = "REGIONMARK"
_GROUP: Final = "GROUPMARK"
_FILLED: Final = {_REGION: "${region}", _GROUP: "${log_group}"}
_VARIABLE_METRIC: Final = {
    "flow": semconv.METRIC_FINISHED_RUNS,
    "source": semconv.METRIC_TABLE_ROWS,
    "stage": semconv.METRIC_PROCESS_DURATION,
}
_NAMED: Final = {"flow": "Flow", "source": "Source", "stage": "Stage"}
_ALL: Final = ".*"
_LOGS_OF_RUN: Final = 'filter flow_run_id = "RUNMARK" | sort @timestamp'


def made(board: Board, backend: str) -> str:
    """Return a dashboard's JSON.

    Args:
        board: what is on it.
        backend: ``prometheus`` or ``cloudwatch``.
    """
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.name if backend == PROMETHEUS else f"{board.name}-cloudwatch")
        .description(board.about)
        .tags(["otel-prefect", backend])
        .time(board.since, "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("otel-prefect")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["otel-prefect", backend])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in _variables(board, backend):
        builder = builder.with_variable(variable)
    content = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
    content["panels"] = _laid_out(board, backend)
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def shown(board: Board, backend: str) -> tuple[Panel, ...]:
    """Return the panels that a backend has queries of."""
    return tuple(panel for panel in board.panels() if backend == PROMETHEUS or panel.cloudwatch)


def _variables(board: Board, backend: str) -> list[Any]:
    # Of no particular uid: Grafana takes its default one of the kind.
    found: list[Any] = [dashboard.DatasourceVariable("datasource").label("Data source").type(backend)]
    if backend == PROMETHEUS:
        for name in board.variables:
            label = prometheus_names.label(LABEL_OF[name])
            series = prometheus_names.metric(_VARIABLE_METRIC[name])
            if _VARIABLE_METRIC[name].kind == "histogram":
                series += "_count"
            found.append(
                dashboard.QueryVariable(name)
                .label(_NAMED[name])
                .datasource(models.DataSourceRef(PROMETHEUS, _DATASOURCE))
                .query({"qryType": 1, "query": f"label_values({series},{label})", "refId": name})
                # With each change of the range: a series of last week is not there now.
                .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
                .sort(models.VariableSort.ALPHABETICAL_ASC)
                .multi(not board.one_flow or name != "flow")
                .include_all(not board.one_flow or name != "flow")
                .all_value(_ALL)
            )
    found += [
        dashboard.TextBoxVariable("region").label("Region (links)").default_value("us-east-1"),
        dashboard.TextBoxVariable("log_group")
        .label("Log group (links)")
        .default_value(semconv.ENV_LOG_GROUP.default),
    ]
    if backend == CLOUDWATCH:
        found.append(
            dashboard.TextBoxVariable("namespace")
            .label("Namespace")
            .default_value(semconv.ENV_METRIC_NAMESPACE.default)
        )
    return found


def _laid_out(board: Board, backend: str) -> list[dict[str, Any]]:
    """Return rows and panels with their places on the grid: from left to right, then down."""
    found: list[dict[str, Any]] = []
    top = 0
    for section in board.sections:
        panels = [panel for panel in section.panels if panel in shown(board, backend)]
        if not panels:
            continue
        place = models.GridPos(h=_ROW_HEIGHT, w=COLUMNS, x=0, y=top)
        row = dashboard.Row(section.title).id(len(found) + 1).grid_pos(place)
        found.append(json.loads(JSONEncoder(sort_keys=True).encode(row.build())))
        top += _ROW_HEIGHT
        left, height = 0, 0
        for panel in panels:
            if left + panel.width > COLUMNS:
                left, top, height = 0, top + height, 0
            place = models.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            built = _panel(panel, board, backend).id(len(found) + 1).grid_pos(place).build()
            found.append(json.loads(JSONEncoder(sort_keys=True).encode(built)))
            left, height = left + panel.width, max(height, panel.height)
        top += height
    return found


def _panel(panel: Panel, board: Board, backend: str) -> Any:
    unit = panel.cloudwatch_unit if backend == CLOUDWATCH and panel.cloudwatch_unit else panel.unit
    steps = [models.Threshold(value, color) for value, color in panel.thresholds]
    builder = (
        _LOOKS[panel.kind](panel)
        .title(panel.title)
        .description(panel.meaning)
        .datasource(models.DataSourceRef(backend, _DATASOURCE))
        .unit(unit.value)
        .no_value(panel.empty)
        .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .links(_panel_links(board))
        .data_links(_data_links(panel))
    )
    if panel.unit is Unit.SHARE:
        builder = builder.min(0)
    if panel.highest is not None:
        builder = builder.max(panel.highest)
    if len(panel.thresholds) == 1 and panel.kind in (Kind.LINES, Kind.BARS):
        builder = builder.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    targets = _promql(panel) if backend == PROMETHEUS else _searches(panel)
    for target in targets:
        builder = builder.with_target(target)
    if panel.kind is Kind.TABLE:
        builder = _as_table(builder, panel, backend)
    return builder


def _promql(panel: Panel) -> list[Any]:
    found = []
    ranged = panel.kind in (Kind.LINES, Kind.BARS)
    for number, query in enumerate(panel.prometheus):
        target = (
            prometheus.Dataquery()
            .ref_id(chr(ord("A") + number))
            .expr(query.expression)
            .legend_format(query.legend or "__auto")
            .editor_mode(prometheus_models.QueryEditorMode.CODE)
        )
        if ranged:
            target = target.range().exemplar(query.exemplars)
            if query.step:
                target = target.interval(query.step)
        else:
            target = target.instant()
        if panel.kind is Kind.TABLE:
            target = target.format(prometheus_models.PromQueryFormat.TABLE)
        found.append(target)
    return found


def _searches(panel: Panel) -> list[Any]:
    found = []
    for number, query in enumerate(panel.cloudwatch):
        expression = query.expression if isinstance(query, Math) else query.expression_of("${namespace}")
        target = (
            cloudwatch.CloudWatchMetricsQuery()
            .ref_id(chr(ord("A") + number))
            .id(query.id)
            .query_mode(cloudwatch_models.CloudWatchQueryMode.METRICS)
            .metric_query_type(cloudwatch_models.MetricQueryType.SEARCH)
            .metric_editor_mode(cloudwatch_models.MetricEditorMode.CODE)
            .region("${region}")
            .expression(expression)
            .label(query.label if isinstance(query, Math) else query.label_of())
            .hide(query.hidden)
        )
        if query.period is not None:
            target = target.period(str(query.period))
        if isinstance(query, Search):
            target = target.statistic(query.statistic)
        found.append(target)
    return found


def _as_table(builder: Any, panel: Panel, backend: str) -> Any:
    if backend == CLOUDWATCH:
        return builder
    names = [prometheus_names.label(name) for name in panel.by]
    values = {"Value": panel.prometheus[0].legend}
    order = {name: place for place, name in enumerate([*names, "Value"])}
    builder = builder.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": values},
        )
    )
    unit = panel.prometheus[0].unit
    if unit is not None:
        builder = builder.override_by_name(
            panel.prometheus[0].legend, [models.DynamicConfigValue("unit", unit.value)]
        )
    return builder


def _stat(panel: Panel) -> Any:
    calculation = "sum" if panel.total else "lastNotNull"
    return (
        stat.Panel()
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs([calculation]))
    )


def _ranks(panel: Panel) -> Any:
    calculation = "sum" if panel.total else "lastNotNull"
    return (
        bargauge.Panel()
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs([calculation]))
    )


def _lines(_: Panel) -> Any:
    # One sample a run: points say where one is, and nothing is drawn where there is none.
    return timeseries.Panel().show_points(options.VisibilityMode.ALWAYS).point_size(5).line_width(1)


def _bars(_: Panel) -> Any:
    stacked = common.StackingConfig().mode(options.StackingMode.NORMAL)
    return (
        timeseries.Panel()
        .draw_style(options.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .line_width(0)
        .stacking(stacked)
    )


def _table(_: Panel) -> Any:
    return table.Panel()


_LOOKS: Final = {
    Kind.STAT: _stat,
    Kind.RANKS: _ranks,
    Kind.LINES: _lines,
    Kind.BARS: _bars,
    Kind.TABLE: _table,
}


def _panel_links(board: Board) -> list[Any]:
    """Return the links of every panel: to the traces and logs of what the dashboard is set to."""
    flow = "${flow}" if "flow" in board.variables else ""
    logs = "fields @timestamp, level, message, flow_run_id"
    if flow:
        # A pattern: several flows are (a|b), and all of them .*
        logs += " | filter flow_name like /FLOWMARK/"
    traces = 'annotation.flow_name = "FLOWMARK"' if board.one_flow else ""
    return [
        _link("Traces", links.xray_search(_REGION, traces, 86_400), {"FLOWMARK": flow}),
        _link(
            "Logs",
            links.logs_insights(_REGION, [_GROUP], f"{logs} | sort @timestamp desc", start=-86_400, end=0),
            {"FLOWMARK": "${flow:regex}"},
        ),
    ]


def _data_links(panel: Panel) -> list[Any]:
    """Return the links of a series: to the traces and logs that have its labels."""
    if "xray_trace_id" in panel.by:
        return [
            _link("Trace", links.xray_trace(_REGION, "TRACEMARK"), {"TRACEMARK": _value("xray_trace_id")}),
            _link(
                "Logs",
                links.logs_insights(
                    _REGION,
                    [_GROUP],
                    'filter flow_run_id = "RUNMARK" | sort @timestamp',
                    start=-86_400,
                    end=0,
                ),
                {"RUNMARK": _value("flow_run_id")},
            ),
        ]
    searchable = [name for name in panel.by if name in semconv.ANNOTATIONS]
    if not searchable:
        return []
    marks = {f"MARK{name.upper().replace('_', '')}": _label(name) for name in searchable}
    pairs = list(zip(searchable, marks, strict=True))
    traces = " AND ".join(f'annotation.{name} = "{mark}"' for name, mark in pairs)
    logs = "filter " + " and ".join(f'{name} = "{mark}"' for name, mark in pairs)
    return [
        _link("Traces", links.xray_search(_REGION, traces, 86_400), marks),
        _link(
            "Logs",
            links.logs_insights(_REGION, [_GROUP], f"{logs} | sort @timestamp desc", start=-86_400, end=0),
            marks,
        ),
    ]


def _value(column: str) -> str:
    return f"${{__data.fields.{column}}}"


def _label(name: str) -> str:
    return f"${{__field.labels.{prometheus_names.label(name)}}}"


def _link(title: str, url: str, marks: dict[str, str]) -> Any:
    for mark, template in {**_FILLED, **marks}.items():
        url = url.replace(mark, template)
    return dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).target_blank(True)
