"""What a pipeline says of its tables, as metrics."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import metrics as metrics_api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_prefect import guard, metrics, schemas

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Recorded:
    """The metrics of a test."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def points(self, name: str) -> dict[tuple[str, ...], float]:
        """Return a metric's values by the values of its attributes, in the order of their names."""
        data = self.reader.get_metrics_data()
        found: dict[tuple[str, ...], float] = {}
        for scope in data.resource_metrics[0].scope_metrics if data else ():
            for metric in scope.metrics:
                if metric.name == name:
                    for point in metric.data.data_points:
                        key = tuple(str(value) for _, value in sorted((point.attributes or {}).items()))
                        found[key] = point.value  # type: ignore[union-attr]
        return found


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """A provider of the test's own, and nothing said or seen before."""
    made = Recorded()
    monkeypatch.setattr(metrics_api, "get_meter", made.provider.get_meter)
    monkeypatch.setattr(guard, "_reported", set())
    monkeypatch.setattr(metrics, "_seen", {})
    monkeypatch.delenv("OTEL_PREFECT_SCHEMAS", raising=False)
    yield made
    made.provider.shutdown()


def test_a_load_is_rows_bytes_time_completeness_and_until_when_the_data_goes(recorded: Recorded) -> None:
    before = time.time()
    newest = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
    metrics.loaded("orders", rows=900, size=5_000, expected_rows=1_000, newest=newest, source="shop")
    metrics.loaded("orders", rows=100, size=500, expected_rows=200, newest=newest, source="shop")
    assert recorded.points("pipeline.table.rows") == {("shop", "orders"): 1_000}
    assert recorded.points("pipeline.table.size") == {("shop", "orders"): 5_500}
    assert recorded.points("pipeline.table.completeness") == {("shop", "orders"): 0.5}
    assert recorded.points("pipeline.table.newest") == {("shop", "orders"): newest.timestamp()}
    (loaded,) = recorded.points("pipeline.table.loaded").values()
    assert before <= loaded <= time.time()


def test_a_time_without_a_zone_is_utc_and_nothing_expected_has_no_completeness(recorded: Recorded) -> None:
    metrics.loaded("orders", rows=0, expected_rows=0, newest=datetime(2026, 5, 4))
    assert recorded.points("pipeline.table.rows") == {("orders",): 0}
    assert recorded.points("pipeline.table.completeness") == {}
    utc = datetime(2026, 5, 4, tzinfo=timezone.utc).timestamp()
    assert recorded.points("pipeline.table.newest") == {("orders",): utc}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"rows": -1}, "negative"),
        ({"rows": math.nan}, "not finite"),
        ({"rows": math.inf}, "not finite"),
        ({"rows": 2**60}, "too large"),
        ({"rows": "many"}, "no number"),
        ({"rows": None}, "no number"),
        ({"rows": 1, "size": -5}, "negative"),
        ({"rows": 1, "expected_rows": -5}, "negative"),
        ({"rows": 1, "newest": datetime.now(timezone.utc) + timedelta(days=1)}, "in the future"),
        ({"rows": 1, "newest": "yesterday"}, "no time"),
    ],
)
def test_what_cannot_be_is_counted_said_once_and_not_recorded(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, facts: dict[str, Any], reason: str
) -> None:
    metrics.loaded("orders", **facts)
    metrics.loaded("orders", **facts)
    assert recorded.points("pipeline.values.refused") == {(reason, "orders"): 2}
    (warning,) = [each.getMessage() for each in caplog.records]
    assert warning.startswith("pipeline.table.")
    assert warning.endswith(f"is not recorded: {reason}")
    good = facts["rows"] == 1
    assert recorded.points("pipeline.table.rows") == ({("orders",): 2} if good else {})
    for name in ("size", "completeness", "newest"):
        assert recorded.points(f"pipeline.table.{name}") == {}


def test_changes_of_columns_are_counted_told_and_kept_beyond_the_process(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PREFECT_SCHEMAS", str(tmp_path / "schemas"))
    first = {"id": "bigint", "amount": "decimal(10,2)", "note": "text"}
    assert metrics.schema("sales/orders", first) == []
    assert metrics.schema("sales/orders", dict(reversed(first.items()))) == []  # order is no difference
    second = {"id": "bigint", "amount": "double", "customer": "bigint"}
    assert metrics.schema("sales/orders", second) == [
        schemas.Change("retyped", "amount", "decimal(10,2)", "double"),
        schemas.Change("added", "customer", None, "bigint"),
        schemas.Change("removed", "note", "text", None),
    ]
    assert recorded.points("pipeline.table.schema_changes") == {
        ("added", "sales/orders"): 1,
        ("removed", "sales/orders"): 1,
        ("retyped", "sales/orders"): 1,
    }
    assert [each.getMessage() for each in caplog.records] == [
        "table sales/orders: column amount is double, was decimal(10,2); column customer (bigint) was added; "
        "column note (text) was removed"
    ]
    assert metrics.schema("sales/orders", second) == []
    assert [path.name for path in (tmp_path / "schemas").iterdir()] == ["sales%2Forders.json"]


def test_without_a_store_what_this_process_has_seen_is_known(recorded: Recorded) -> None:
    assert metrics.schema("orders", {"id": int}) == []
    (change,) = metrics.schema("orders", {"id": int, "name": str})
    assert (change.kind, change.column, change.now) == ("added", "name", "<class 'str'>")
    assert recorded.points("pipeline.table.schema_changes") == {("added", "orders"): 1}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"id": 1}', b"\xff"])
def test_a_form_that_cannot_be_read_is_said_once_and_not_written_over(
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
) -> None:
    monkeypatch.setenv("OTEL_PREFECT_SCHEMAS", str(tmp_path))
    (tmp_path / "orders.json").write_bytes(content)
    for _ in range(2):
        assert metrics.schema("orders", {"id": "bigint"}) == []
    (warning,) = [each.getMessage() for each in caplog.records]
    assert warning.startswith(f"OTEL_PREFECT_SCHEMAS={tmp_path} cannot be read: ")
    assert (tmp_path / "orders.json").read_bytes() == content
    assert recorded.points("pipeline.table.schema_changes") == {}


def test_a_folder_that_cannot_be_written_is_said_and_reaches_no_pipeline(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OTEL_PREFECT_SCHEMAS", str(tmp_path / "file"))
    assert metrics.schema("orders", {"id": "bigint"}) == []
    assert "cannot be read" in caplog.text or "cannot be written" in caplog.text
    assert recorded.points("pipeline.values.refused") == {}


columns = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=6)


@given(before=columns, now=columns)
def test_changes_turn_the_one_form_into_the_other(before: dict[str, str], now: dict[str, str]) -> None:
    built = dict(before)
    for change in schemas.changes(before, now):
        assert built.get(change.column) == change.before
        if change.now is None:
            del built[change.column]
        else:
            built[change.column] = change.now
    assert built == now


@given(table=st.text(min_size=1, max_size=20), form=columns)
def test_any_name_and_form_is_kept_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, table: str, form: dict[str, str]
) -> None:
    store = schemas.store(str(tmp_path_factory.getbasetemp() / "forms"))
    assert store is not None
    store.write(table, form)
    assert store.read(table) == form
