"""Enrichment: adds what is missing, changes nothing that a sender said, follows what becomes known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_prefect import semconv
from sidecar import enrichment
from sidecar.enrichment import Enricher
from tests.support.otlp_sink import attributes

if TYPE_CHECKING:
    from sidecar.attributes import Attributes

RUN = UUID("3c32c202-9955-4b90-b936-5fbd34f1a6d5")


def resource(**values: str) -> bytes:
    message = Resource()
    for key, value in values.items():
        message.attributes.add(key=key.replace("__", ".").replace("_", "-")).value.string_value = value
    return message.SerializeToString()


def of_run(run_id: UUID = RUN) -> bytes:
    message = Resource()
    message.attributes.add(key=semconv.FLOW_RUN_ID).value.string_value = str(run_id)
    return message.SerializeToString()


def read(encoded: bytes) -> dict[str, Any]:
    return attributes(Resource.FromString(encoded).attributes)


def nothing(_: UUID) -> None:
    return None


def test_task_attributes_are_added_with_their_types() -> None:
    task: Attributes = {"text": "a", "yes": True, "count": 3, "share": 0.5, "tags": ["x", "y"]}
    assert read(Enricher(task, nothing).enrich(resource(service__name="s"))) == {"service.name": "s", **task}


def test_what_the_sender_set_is_never_overwritten() -> None:
    enriched = Enricher({"service.name": "other", "team": "data"}, nothing).enrich(
        resource(service__name="mine")
    )
    assert read(enriched) == {"service.name": "mine", "team": "data"}


def test_the_senders_bytes_stay_as_they_are_unknown_fields_too() -> None:
    sent = resource(service__name="s") + b"\xfa\x01\x03new"
    assert Enricher({"team": "data"}, nothing).enrich(sent).startswith(sent)


def test_a_doubled_key_leaves_once_with_its_first_value() -> None:
    message = Resource()
    for value in ("first", "second"):
        message.attributes.add(key="k").value.string_value = value
    assert read(Enricher({}, nothing).enrich(message.SerializeToString())) == {"k": "first"}


def test_facts_of_the_run_are_added_for_the_run_that_the_resource_names() -> None:
    asked: list[UUID] = []

    def facts(run_id: UUID) -> Attributes:
        asked.append(run_id)
        return {semconv.FLOW_NAME: "daily-sales"}

    assert read(Enricher({}, facts).enrich(of_run()))[semconv.FLOW_NAME] == "daily-sales"
    assert asked == [RUN]


def test_the_task_wins_over_the_run_where_both_have_a_key() -> None:
    enriched = Enricher({"k": "task"}, lambda _: {"k": "run"}).enrich(of_run())
    assert read(enriched)["k"] == "task"


def test_later_data_has_what_became_known_in_between() -> None:
    known: dict[UUID, Attributes] = {}
    enricher = Enricher({}, known.get)
    assert semconv.FLOW_NAME not in read(enricher.enrich(of_run()))
    known[RUN] = {semconv.FLOW_NAME: "daily-sales"}
    assert read(enricher.enrich(of_run()))[semconv.FLOW_NAME] == "daily-sales"
    enricher.task = {"aws.ecs.task.id": "abc"}
    assert read(enricher.enrich(of_run()))["aws.ecs.task.id"] == "abc"


def test_the_same_bytes_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    real = enrichment._decode
    monkeypatch.setattr(enrichment, "_decode", lambda sent: decoded.append(sent) or real(sent))  # type: ignore[func-returns-value]
    enricher = Enricher({"team": "data"}, nothing)
    first = enricher.enrich(of_run())
    before = len(decoded)
    assert enricher.enrich(of_run()) is first
    assert len(decoded) == before


def test_the_cache_is_bounded_by_the_number_of_resources_and_keeps_those_in_use() -> None:
    enricher = Enricher({"team": "data"}, nothing)
    in_use = enricher.enrich(resource(service__name="in use"))
    for number in range(3 * enrichment.CACHE_SIZE):
        enricher.enrich(resource(service__name=f"s{number}"))
        assert enricher.enrich(resource(service__name="in use")) is in_use
    assert len(enricher._cache) == enrichment.CACHE_SIZE


@pytest.mark.parametrize("written", ["", "latest", "00000000-0000-0000-0000-000000000000", "3c32c202"])
def test_a_flow_run_id_that_is_none_is_passed_on_and_not_asked_about(written: str) -> None:
    def facts(run_id: UUID) -> Attributes:
        raise AssertionError(f"asked about {run_id}")

    message = Resource()
    message.attributes.add(key=semconv.FLOW_RUN_ID).value.string_value = written
    assert read(Enricher({}, facts).enrich(message.SerializeToString())) == {semconv.FLOW_RUN_ID: written}


def test_bytes_that_are_no_resource_are_refused() -> None:
    with pytest.raises(ValueError, match="not a Resource"):
        Enricher({}, nothing).enrich(b"\x0a\xff")


def test_what_the_sender_said_is_overwritten_only_where_that_was_asked_for() -> None:
    sent = resource(team="theirs", stage="theirs", other="theirs")
    ours = {"team": "ours", "stage": "ours"}
    enriched = Enricher(ours, nothing, overwrite={"team", "absent"}).enrich(sent)
    assert read(enriched) == {"team": "ours", "stage": "theirs", "other": "theirs"}


def test_the_container_that_a_sender_says_it_runs_in_is_described() -> None:
    containers: dict[str, dict[str, str]] = {}
    enricher = Enricher({}, nothing, containers.get)
    sent = resource(container__id="c-1")
    assert read(enricher.enrich(sent)) == {"container.id": "c-1"}
    containers["c-1"] = {"container.name": "prefect"}
    assert read(enricher.enrich(sent)) == {"container.id": "c-1", "container.name": "prefect"}
