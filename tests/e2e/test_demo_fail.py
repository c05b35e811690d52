"""A broken ingestion, as somebody who is paged sees it: ``make demo FAIL=ingestion``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--fail", "ingestion", "--output", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_pagerduty_is_told_of_the_failed_run_and_that_the_next_good_one_ended_it(
    told: tuple[Path, str],
) -> None:
    _, output = told
    failed = re.search(r"the flow run (\S+) has failed", output)
    assert failed is not None
    steps = [
        f"the flow run {failed[1]} has failed; waiting until PagerDuty is told",
        rf"paged after [\d.]+ s: daily-sales: run {failed[1]} failed with \S+",
        "the export is whole again; running the flow once more",
        r"the flow run \S+ has completed; the incident is resolved after [\d.]+ s",
    ]
    found = [re.search(step, output) for step in steps]
    assert all(found), output
    places = [each.start() for each in found if each]
    assert places == sorted(places)


def test_the_incident_is_one_and_leads_to_the_trace_the_logs_and_the_runbook(told: tuple[Path, str]) -> None:
    _, output = told
    said = output[output.index("what PagerDuty was told") :]
    assert "in 1 event" in said
    assert re.search(r"console\.aws\.amazon\.com/cloudwatch/home.*xray:traces/1-[0-9a-f]{8}-", said)
    assert "logsV2:logs-insights" in said
    assert "runbooks/FlowRunFailed.md" in said


def test_the_dashboards_show_the_failed_run_and_the_good_one(told: tuple[Path, str]) -> None:
    folder, output = told
    page = (folder / "dashboard.html").read_text()
    failed = re.search(r"the flow run (\S+) has failed", output)
    assert failed is not None
    assert failed[1] in page
    assert "50 %" in page  # of two runs
