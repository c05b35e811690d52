"""What is read of dbt's files and events, whatever they hold."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace

from otel_prefect import guard
from otel_prefect.program import dbt_artifacts
from otel_prefect.program.dbt import DbtRun
from otel_prefect.program.dbt_artifacts import NodeFacts, Result

INVOCATION = "41be8b5a-3b27-4282-a32f-3d60c0c32ce5"
SUCCESS = {
    "status": "success",
    "timing": [
        {
            "name": "compile",
            "started_at": "2026-11-25T00:35:11.321405Z",
            "completed_at": "2026-11-25T00:35:11.321410Z",
        },
        {
            "name": "execute",
            "started_at": "2026-11-25T00:35:11.321673Z",
            "completed_at": "2026-11-25T00:35:11.382771Z",
        },
    ],
    "thread_id": "Thread-1 (worker)",
    "adapter_response": {"_message": "INSERT 2", "code": "INSERT", "rows_affected": 2},
    "message": "INSERT 2",
    "failures": None,
    "unique_id": "seed.shop.raw_orders",
}


def written(folder: Path, name: str, content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def run_results(*results: Any) -> dict[str, Any]:
    return {"metadata": {"invocation_id": INVOCATION}, "results": list(results)}


def test_a_result_is_read_with_its_times_rows_and_thread(tmp_path: Path) -> None:
    since = time.time_ns()
    folder = written(tmp_path, "run_results.json", run_results(SUCCESS))
    assert dbt_artifacts.results(folder, since, INVOCATION) == [
        Result(
            unique_id="seed.shop.raw_orders",
            status="success",
            message="INSERT 2",
            rows_affected=2,
            failures=None,
            thread="Thread-1 (worker)",
            seconds={"compile": 0.000005, "execute": 0.061098},
            started=1_795_566_911_321_405_000,
            ended=1_795_566_911_382_771_000,
        )
    ]


def test_a_file_of_an_earlier_run_or_of_another_invocation_is_not_read(tmp_path: Path) -> None:
    folder = written(tmp_path, "run_results.json", run_results(SUCCESS))
    assert dbt_artifacts.results(folder, time.time_ns() + 10**9, INVOCATION) is None
    assert dbt_artifacts.results(folder, 0, "another") is None
    assert dbt_artifacts.results(folder, 0, None) is not None
    assert dbt_artifacts.results(tmp_path / "none", 0, None) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"results": 7}', '{"results": [7, {}, null]}'])
def test_a_damaged_file_says_nothing(tmp_path: Path, content: str) -> None:
    folder = written(tmp_path, "run_results.json", content)
    written(tmp_path, "manifest.json", content)
    assert not dbt_artifacts.results(folder, 0, None)
    assert dbt_artifacts.facts(folder, 0) == {}


@pytest.mark.parametrize(("rows", "expected"), [(-1, None), ("3", 3), (2.0, 2), (None, None), ("?", None)])
def test_rows_are_a_count_or_nothing(rows: Any, expected: int | None) -> None:
    result = dbt_artifacts.read_result({**SUCCESS, "adapter_response": {"rows_affected": rows}})
    assert result is not None
    assert result.rows_affected == expected


def test_the_manifest_says_what_a_node_is(tmp_path: Path) -> None:
    node = {
        "name": "unique_id",
        "original_file_path": "models/m.yml",
        "config": {"materialized": "test"},
        "tags": ["nightly", 7],
        "attached_node": "model.shop.orders",
        "column_name": "id",
        "depends_on": {"nodes": ["model.shop.orders"]},
    }
    folder = written(tmp_path, "manifest.json", {"nodes": {"test.shop.unique_id.1": node, "x": None}})
    assert dbt_artifacts.facts(folder, 0) == {
        "test.shop.unique_id.1": NodeFacts(
            name="unique_id",
            path="models/m.yml",
            materialized="test",
            tags=("nightly",),
            tests="model.shop.orders",
            column="id",
            depends_on=("model.shop.orders",),
        ),
        "x": NodeFacts(),
    }


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        ([], {}, "project/configured"),
        ([], {"DBT_TARGET_PATH": "env"}, "project/env"),
        (["--target-path", "arg"], {"DBT_TARGET_PATH": "env"}, "project/arg"),
        (["--target-path=/abs"], {}, "/abs"),
        (["--project-dir", "../../other"], {}, "other/target"),
        ([], {"DBT_PROJECT_DIR": "../../templated"}, "templated/target"),
    ],
)
def test_the_target_folder_is_where_dbt_has_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environ: dict[str, str],
    expected: str,
) -> None:
    written(tmp_path / "project" / "models", "a.sql", "select 1")
    written(tmp_path / "project", "dbt_project.yml", "name: x\ntarget-path: configured  # here\n")
    written(tmp_path / "templated", "dbt_project.yml", "target-path: \"{{ env_var('X') }}\"\n")
    monkeypatch.chdir(tmp_path / "project" / "models")
    found = dbt_artifacts.target_folder(["dbt", "build", *arguments], environ)
    assert Path(os.path.abspath(found)) == tmp_path / expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("success"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(
    info=JSON, node_info=JSON, run_result=JSON, name=st.sampled_from(["NodeFinished", "RunResultError", "x"])
)
def test_no_event_is_too_odd(info: Any, node_info: Any, run_result: Any, name: str) -> None:
    guard._reported.clear()
    run = DbtRun(["dbt"], trace.INVALID_SPAN)
    odd = {"unique_id": "model.a.b", "node_started_at": "2026-11-25T00:35:11.319815"}
    for nodes in (node_info, {**odd, "node_status": node_info}, {**odd, "node_finished_at": info}):
        data = {"node_info": nodes, "run_result": run_result, "msg": info, "num_failures": info}
        run.feed({"info": info, "data": data})
        run.feed({"info": {"name": name, "invocation_id": info}, "data": data})
    run.finish()
    assert guard._reported == set()
