"""Every query of every dashboard, asked of a real Prometheus that the real Collector has filled."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from dashboards.boards import BOARDS
from dashboards.panels import Kind, Panel, Unit
from demo import page, prometheus
from demo.page import answers
from demo.processes import Processes
from otel_prefect import prometheus_names, semconv
from otel_prefect.alerts import anomalies
from otel_prefect.alerts.alertmanager import Receivers
from otel_prefect.alerts.places import Places
from otel_prefect.collector import start as collector
from otel_prefect.commands import alerts
from tests.integration.test_collector_prometheus import LABELS, request_of
from tests.support.collector import running, variables, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    from demo.prometheus import Prometheus

PANELS = [(board.name, panel) for board in BOARDS for panel in board.panels()]
WORDS = {
    semconv.STATE: ("completed", "failed"),
    semconv.STATUS: ("pass", "fail"),
    semconv.SIGNAL: ("traces",),
}
DAY = 86_400


def history(folder: Path, now: float) -> None:
    """Write what no pipeline of today can send: storage of a month ago, and what rules make of two months."""
    lines = [
        f'pipeline_storage_size_bytes{{bucket="x",storage_class="x"}} 2 {now - 30 * DAY:.0f}',
        f'{anomalies.SCORE}{{measure="rows",table="x"}} 1.5 {now - 60:.0f}',
    ]
    file = folder / "history.txt"
    file.write_text("\n".join(sorted(lines)) + "\n# EOF\n")
    tool = prometheus.fetch() / "promtool"
    arguments = ["tsdb", "create-blocks-from", "openmetrics", str(file), str(folder / "data")]
    subprocess.run([str(tool), *arguments], check=True, capture_output=True)


def sample(declared: semconv.Metric, attributes: dict[str, str]) -> ExportMetricsServiceRequest:
    """Return a request with 3 of a metric, or a half where it is a share."""
    request: ExportMetricsServiceRequest = request_of(declared, LABELS, **attributes)
    if declared.unit == "1":
        (point,) = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
        point.as_double = 0.5
    return request


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with two samples of each metric, in each of the states that queries tell apart."""
    folder = tmp_path_factory.mktemp("prometheus")
    written = alerts.write(folder / "alerts", Places(), Receivers())
    history(folder, time.time())
    with Processes(tmp_path_factory.mktemp("logs")) as processes:
        started = prometheus.start(
            processes,
            folder,
            rules=[path for path in written if path.name.endswith(".rules.yaml")],
            evaluation_seconds=1,
        )
        settings = {
            **variables(tmp_path_factory.mktemp("collector"), metrics="prometheus"),
            semconv.ENV_PROMETHEUS_ENDPOINT.name: started.write_url,
        }
        with running(processes, collector.find(), settings) as made:
            for declared in semconv.metrics():
                several = [name for name in declared.attributes if name in WORDS]
                for number in range(2 if several else 1):
                    words = {name: WORDS[name][number % len(WORDS[name])] for name in several}
                    made.send(sample(declared, dict.fromkeys(declared.attributes, "x") | words))
                    time.sleep(0.002)
            last = prometheus_names.metric(semconv.metrics()[-1])
            wait_for(lambda: started.query(f"last_over_time({last}[1h])"), bool)
            wait_for(lambda: started.query('ALERTS{alertstate="firing"}'), bool)
        yield started


@pytest.fixture
def span() -> answers.Span:
    return answers.Span(time.time(), 3600)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=lambda each: getattr(each, "title", each))
def test_every_panel_has_data_and_it_can_be(
    server: Prometheus, span: answers.Span, board: str, panel: Panel
) -> None:
    del board
    series = answers.of(panel, server, span)
    assert series
    for query in panel.prometheus:
        expression = answers.filled_in(query.expression, span, span.step(query))
        assert server.api("format_query", {"query": expression})
        if panel.kind is not Kind.STAT:
            assert server.query(expression), "each of several queries has data"
    for each in series:
        assert each.points
        for _, value in each.points:
            if panel.unit is Unit.SHARE and panel.highest == 1 and panel.title != "Completeness":
                assert 0 <= value <= 1
            elif panel.title != "What is unusual":
                assert value >= 0


def test_the_page_shows_every_panel_with_its_numbers(
    server: Prometheus, span: answers.Span, tmp_path: Path
) -> None:
    text = page.write(tmp_path / "page.html", server, span.seconds, span.end).read_text()
    assert text.count("<article") == len(PANELS)
    assert '<p class="none">' not in text
    assert '<p class="stat orange">' in text or '<p class="stat red">50 %</p>' in text
    assert not re.search(r'(?:src|href)="(?!#)', text), "it needs nothing from elsewhere"
    assert "NaN" not in text


def test_a_page_without_data_says_of_each_panel_why(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        empty = prometheus.start(processes, tmp_path / "prometheus")
        text = page.write(tmp_path / "page.html", empty, 300).read_text()
    whys = text.count('<p class="none">')
    # That nothing is held is a number.
    assert whys == len(PANELS) - 1
