"""The rule files and routes in ``alerts/``, by the tools of Prometheus and Alertmanager."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from demo import prometheus as servers
from otel_prefect import prometheus_names, semconv
from otel_prefect.alerts import prometheus
from otel_prefect.alerts.alertmanager import Receivers
from otel_prefect.alerts.places import Places
from otel_prefect.commands import alerts as command
from otel_prefect.commands import cli

if TYPE_CHECKING:
    from otel_prefect.alerts.declared import Alert

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "alerts"
RULES = sorted((ALERTS / "prometheus").glob("*.rules.yaml"))
TESTS = sorted((ALERTS / "prometheus" / "tests").glob("*_test.yaml"))


def tool(name: str, *arguments: str | Path) -> str:
    done = subprocess.run(
        [str(servers.fetch() / name), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_files_are_what_the_command_writes(tmp_path: Path) -> None:
    written = command.write(tmp_path, Places(), Receivers())
    for path in written:
        assert path.read_text() == (ALERTS / path.relative_to(tmp_path)).read_text()
    assert {path.name for path in RULES} == {path.name for path in written if "rules" in path.name}


def test_the_rules_keep_to_prometheuss_own_advice() -> None:
    tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    assert "SUCCESS" in tool("promtool", "test", "rules", path)


def test_every_alert_is_in_a_test_that_has_it_fire() -> None:
    told = set()
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for each in test["promql_expr_test"]:
                if each.get("exp_samples"):
                    text = each["expr"] + " ".join(sample["labels"] for sample in each["exp_samples"])
                    told |= set(re.findall(r'alertname="(\w+)"', text))
    assert told == {alert.name for alert in prometheus.alerts()}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {alert.name for alert in prometheus.alerts()}


def test_what_rules_ask_for_is_declared_or_recorded() -> None:
    known = {prometheus_names.metric(declared) for declared in semconv.metrics()}
    known |= {f"{name}_{part}" for name in known for part in ("sum", "count", "bucket")}
    recorded = {
        each.name for groups in prometheus.FILES.values() for group in groups for each in group.recorded
    }
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                names = set(
                    re.findall(r"\b(?:prefect|pipeline|dbt|aws|ecs|container)[a-z0-9_:]+", rule["expr"])
                )
                assert names, rule
                assert names <= known | recorded, rule


@pytest.mark.parametrize("alert", prometheus.alerts(), ids=lambda alert: alert.name)
def test_an_alert_says_what_happened_and_where_to_look(alert: Alert) -> None:
    said = alert.annotations(Places())
    assert {"summary", "description", "dashboard", "runbook_url"} <= set(said)
    assert ("trace" in said) == ("logs" in said)
    if alert.level.value in ("P1", "P2"):
        assert "trace" in said
    assert len(said["summary"]) < 200


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("severity=P1", "pagerduty"),
        ("severity=P2", "slack"),
        ("severity=P3", "e-mail"),
        ("severity=P4", "dashboard"),
        ("alertname=AnothersAlert", "dashboard"),
    ],
)
def test_each_level_goes_to_its_receiver(labels: str, receiver: str) -> None:
    file = f"--config.file={ALERTS / 'alertmanager.yaml'}"
    tool("amtool", "config", "routes", "test", file, f"--verify.receivers={receiver}", labels)


def test_alertmanager_takes_the_configuration() -> None:
    tool("amtool", "check-config", ALERTS / "alertmanager.yaml")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert cli.main(["alerts", str(file / "in")]) == 1
    assert capsys.readouterr().err == f"otel-prefect: {file / 'in'}: cannot be written: Not a directory\n"


def test_the_command_says_what_it_wrote_with_a_teams_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["alerts", str(tmp_path), "--region", "eu-west-1", "--mail-to", "me@example.org"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        *(str(tmp_path / "prometheus" / f"{name}.rules.yaml") for name in prometheus.FILES),
        str(tmp_path / "alertmanager.yaml"),
        str(tmp_path / "cloudwatch.yaml"),
    ]
    assert "eu-west-1.console.aws" in (tmp_path / "prometheus" / "pipeline.rules.yaml").read_text()
    assert "to: me@example.org" in (tmp_path / "alertmanager.yaml").read_text()
