"""moto, OpenSearch and a Prefect server start on free ports and do what the demo needs of them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.error import HTTPError
from uuid import UUID

import pytest

from demo import aws, java, opensearch, prefect_server
from demo.prefect_server import PrefectApiError
from demo.processes import Processes

if TYPE_CHECKING:
    from pathlib import Path


def say(_: str) -> None:
    """Progress is for people."""


def test_moto_keeps_xray_segments_and_is_reached_by_environment_variables(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        server = aws.start(processes)
        document = (
            '{"id": "0000000000000001", "trace_id": "1-00000001-000000000000000000000001",'
            ' "name": "flow", "start_time": 1.5, "end_time": 2.5}'
        )
        client = server.client("xray")
        assert client.put_trace_segments(TraceSegmentDocuments=[document])["UnprocessedTraceSegments"] == []
        found = client.batch_get_traces(TraceIds=["1-00000001-000000000000000000000001"])["Traces"]
        assert [segment["Document"] for segment in found[0]["Segments"]] == [document]
        assert server.variables()["AWS_ENDPOINT_URL"] == server.url
        server.stop()
        assert server.process.exit_code() is not None


def test_opensearch_finds_a_document_by_a_keyword(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        node = opensearch.start(processes, tmp_path / "data", say)
        assert node.call("GET", "/")["version"]["number"] == "3.8.0"
        mapping = {"mappings": {"properties": {"flow_run_id": {"type": "keyword"}}}}
        node.call("PUT", "logs", mapping)
        for run in ("a-b", "a-c"):
            node.call("POST", "logs/_doc", {"flow_run_id": run})
        node.call("POST", "logs/_refresh")
        hits = node.call("POST", "logs/_search", {"query": {"term": {"flow_run_id": "a-b"}}})["hits"]["hits"]
        assert [hit["_source"] for hit in hits] == [{"flow_run_id": "a-b"}]
        with pytest.raises(HTTPError):
            node.call("GET", "missing/_search")


def test_two_opensearch_nodes_live_side_by_side(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs-1") as one, Processes(tmp_path / "logs-2") as two:
        first = opensearch.start(one, tmp_path / "data", say)
        second = opensearch.start(two, tmp_path / "data", say)
        assert first.url != second.url
        first.call("PUT", "only-here")
        assert second.call("GET", "_cat/indices?format=json") == []


def test_a_java_that_is_found_is_new_enough() -> None:
    assert (java.version(java.find(say)) or 0) >= java.NEEDED


def test_what_is_no_java_has_no_version(tmp_path: Path) -> None:
    assert java.version(tmp_path / "bin" / "java") is None


def test_a_prefect_server_has_the_deployment_that_was_made_and_runs_of_it(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        server = prefect_server.start(processes, tmp_path / "home")
        deployment_id = server.deploy(
            flow="daily-sales",
            deployment="production",
            work_pool="ecs-fargate",
            entrypoint="flow.py:daily_sales",
            folder=tmp_path,
            tags=["sales"],
            version="1.4.0",
        )
        again = server.deploy(
            flow="daily-sales",
            deployment="production",
            work_pool="ecs-fargate",
            entrypoint="flow.py:daily_sales",
            folder=tmp_path,
        )
        assert again == deployment_id, "a second deployment of that name is the same"
        run = server.flow_run(server.create_flow_run(deployment_id, {"day": "2026-03-01"}))
        assert UUID(run["id"])
        assert run["deployment_id"] == deployment_id
        assert run["state_type"] == "PENDING"
        assert run["work_pool_name"] == "ecs-fargate"
        assert run["parameters"] == {"day": "2026-03-01"}
        assert server.call("GET", "work_pools/ecs-fargate")["type"] == "ecs"
        with pytest.raises(PrefectApiError, match="GET flow_runs/unknown was answered with 404"):
            server.flow_run("unknown")
