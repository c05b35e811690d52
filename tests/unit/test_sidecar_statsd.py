"""Which lines of StatsD mean something, and as what they are passed on."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sidecar import metrics, statsd
from sidecar.metrics import SelfMetrics
from sidecar.settings import Address

BASE = Path(__file__).resolve().parents[2] / "collector-config" / "base.yaml"


@pytest.mark.parametrize(
    "line",
    [
        b"rows:7|c",
        b"rows:0.5|c|@0.1",
        b"load.time:320|ms|#source:crm,stage:ingest",
        b"size:1e6|h|@1|#flag",
        b"depth:5|g|#source:crm|T1656581400",
        "größe:1|d".encode(),
    ],
)
def test_a_line_of_statsd_or_dogstatsd_is_passed_on_as_it_is(line: bytes) -> None:
    assert statsd.checked(line) == line


@pytest.mark.parametrize(
    ("line", "passed_on"),
    [
        (b"rows:1:2:3|c|#a:b", b"rows:1|c|#a:b\nrows:2|c|#a:b\nrows:3|c|#a:b"),
        (b"rows:+3|c", b"rows:3|c"),
        (b"temperature:-5|g", b"temperature:0|g\ntemperature:-5|g"),
        (b"rows:1|c|#a:b|c:83c0a99c0a54", b"rows:1|c|#a:b"),
        (b"rows:1|c|e:it-false|card:none", b"rows:1|c"),
    ],
)
def test_what_the_receiver_would_take_in_another_way_is_put_into_its_words(
    line: bytes, passed_on: bytes
) -> None:
    assert statsd.checked(line) == passed_on


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello", "no line of StatsD"),
        (b"rows:1", "no line of StatsD"),
        (b"rows|c", "no line of StatsD"),
        (b":1|c", "no line of StatsD"),
        (b"x" * 256 + b":1|c", "no line of StatsD"),
        (b"rows\x00:1|c", "no line of StatsD"),
        (b"\xff\xfe:1|c", "no line of StatsD"),
        (b"rows:1|c|what", "no line of StatsD"),
        (b"size:1|h|T1656581400", "no line of StatsD"),
        (b"rows:1|s", "unknown type"),
        (b"rows:|c", "no number"),
        (b"rows:many|c", "no number"),
        (b"rows:NaN|g", "no number"),
        (b"rows:inf|c", "no number"),
        (b"rows:1_000|c", "no number"),
        (b"rows:1e999|c", "absurd number"),
        (b"rows:9007199254740994|c", "absurd number"),
        (b"rows:9007199254740|c|@0.0001", "absurd number"),
        (b"rows:-1|c", "negative"),
        (b"load.time:-1|ms", "negative"),
        (b"depth:+1|g", "change of a gauge"),
        (b"rows:1|c|@0", "sample rate"),
        (b"rows:1|c|@2", "sample rate"),
        (b"rows:1|c|@many", "sample rate"),
        (b"rows:1|c|#:crm", "tag without a name"),
        (b"_e{5,4}:title|text", "event or service check"),
        (b"_sc|disk|0", "event or service check"),
    ],
)
def test_what_is_no_measurement_is_named(line: bytes, reason: str) -> None:
    with pytest.raises(statsd.NoMeasurement, match=f"^{reason}$"):
        statsd.checked(line)


@given(st.binary(max_size=200) | st.from_regex(rb"[a-z]*:[-+0-9.e:]*\|(c|g|ms|h|d|s)(\|[@#Tc].*)*"))
def test_whatever_comes_is_a_measurement_or_none(line: bytes) -> None:
    try:
        passed_on = statsd.checked(line)
    except statsd.NoMeasurement:
        return
    assert passed_on.decode().isprintable() or b"\n" in passed_on
    for each in passed_on.split(b"\n"):
        assert statsd.checked(each) or each.partition(b":")[2].startswith(b"-")


def test_lines_are_counted_and_each_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    numbers = SelfMetrics()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(5)

        async def serve() -> None:
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            listener.bind(("127.0.0.1", 0))
            door = await statsd.StatsdDoor.open(
                listener, numbers, Address("127.0.0.1", collector.getsockname()[1])
            )
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(listener.getsockname())
                client.send(b"rows:1|c\nrows:-1|c|#token:secret\r\n\nrows:2:3|c\n")
                client.send(b"rows:-2|c")
            await asyncio.sleep(0.1)
            await door.close()

        with caplog.at_level(logging.WARNING):
            asyncio.run(serve())
        assert collector.recv(1000) == b"rows:1|c\nrows:2|c\nrows:3|c"
    assert numbers.total(metrics.STATSD_LINES) == 3
    assert numbers.total(metrics.STATSD_REFUSED, reason="negative") == 2
    assert [record.getMessage() for record in caplog.records] == [
        "StatsD: a line is left out (negative): 'rows:-1|c'; more like it are counted in "
        "prefect.sidecar.statsd_refused"
    ]


def test_the_collector_sends_as_often_as_the_door_waits_for() -> None:
    receiver = yaml.safe_load(BASE.read_text())["receivers"]["statsd"]
    assert receiver["aggregation_interval"] == f"{statsd.AGGREGATION_SECONDS:g}s"
