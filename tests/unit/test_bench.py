"""The arithmetic of the measurements, and that the ways do the same work."""

from __future__ import annotations

import math
import os
import time

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import measure, report, results, targets
from bench.cases import COLLECTOR, QUICK, SIDECAR, Case
from bench.decode_hop import decode_and_encode
from bench.measure import Life, ManyRuns, Phase
from bench.results import Results
from bench.ways import GO, PYTHON
from sidecar import wire
from sidecar.otlp import TRACES

CASE = QUICK.cases[0]


def phase(way: str = SIDECAR, case: Case = CASE, p99: float = 3.0, lost: int = 0, **cpu: float) -> Phase:
    return Phase(
        case=case,
        way=way,
        rate=10_000,
        cpu=cpu or ({GO: 20.0} if way == COLLECTOR else {PYTHON: 2.0, GO: 30.0}),
        peak={GO: 70.0} if way == COLLECTOR else {PYTHON: 40.0, GO: 70.0},
        p50=1.0,
        p99=p99,
        acknowledged=30_000,
        refused=0,
        lost=lost,
        duplicates=0,
        taken=10_000.0,
        delivered=9_900.0,
        load_cpu=2.0,
    )


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(200, 0, -1)]
    assert measure.percentile(values, 50) == 100.0
    assert measure.percentile(values, 99) == 198.0
    assert measure.percentile([7.0], 99) == 7.0
    assert math.isnan(measure.percentile([], 50))


def test_the_cpu_of_a_process_is_read_from_its_own_clock() -> None:
    read, known = measure.cpu_seconds(os.getpid()), time.process_time()
    assert isinstance(read, float)
    assert read <= known < read + 1


def test_the_hop_is_the_share_of_the_python_in_the_whole() -> None:
    assert results.hop_share(phase(sidecar=2.0, Collector=18.0)) == 10.0
    assert results.hop_share(phase(COLLECTOR)) == 0.0


def test_a_spread_shows_median_least_and_most() -> None:
    assert results.spread([3.0, 1.0, 1_200.0], 1) == "3.0 (1.0 … 1,200.0)"
    assert results.spread([3.0], 2) == "3.00"
    assert results.spread([], 2) == "-"


@pytest.mark.parametrize(
    ("what", "measured", "reached"),
    [
        ("hop's part of the whole CPU, X-Ray out, 512", 6.25, True),
        ("spans lost", 3.0, False),
        ("added p99 at 10,000 spans/s, 512", 6.0, False),
        ("peak RSS of both", 110.0, True),
        ("from start to healthy", 0.4, True),
        ("drain of an idle task", 1.2, False),
        ("cost of a record", 1.5, False),
    ],
)
def test_each_target_says_what_was_measured_and_whether_it_was_reached(
    what: str, measured: float, reached: bool
) -> None:
    found = Results(
        phases=[phase(COLLECTOR, p99=2.0), phase(p99=8.0, lost=3)],
        lives=[Life(SIDECAR, 0.4, {PYTHON: 30.0}, 1.2)],
        many_runs=[ManyRuns((10.0, 40.0, 15.0), (40.0, 44.0, 44.0))],
    )
    (target,) = (target for target in targets.TARGETS if target.what.startswith(what))
    assert target.read(found) == measured
    assert target.reached(measured) is reached


def test_what_was_not_measured_is_said_and_no_target_is_reached_by_it() -> None:
    page = report.page(Results(missing={"rotel": "no wheel"}), QUICK, {"kernel": "Linux"}, 60)
    assert "- rotel: no wheel" in page
    assert page.count("not measured") == len(targets.TARGETS)
    assert "| reached |" not in page


def test_a_row_of_the_page_has_a_cell_for_each_head() -> None:
    found = Results(phases=[phase(COLLECTOR), phase(), phase(p99=5.0)])
    lines = report.page(found, QUICK, {}, 60).splitlines()
    (head,) = (line for line in lines if line.startswith("| request"))
    rows = [line for line in lines if line.startswith("| 512 grpc")]
    assert [row.count("|") for row in rows] == [head.count("|")] * 2
    assert "4.0 (3.0 … 5.0) | +1.0 " in rows[1]


def test_what_the_newer_way_into_xray_saves_is_of_the_same_request() -> None:
    newer = QUICK.cases[2]
    found = Results(
        phases=[phase(sidecar=4.0, Collector=36.0), phase(case=newer, sidecar=4.0, Collector=6.0)]
    )
    assert "| 512 grpc | 40.0 | 10.0 | 75 % |" in report.page(found, QUICK, {}, 60)


def test_the_hop_that_decodes_makes_the_same_request_as_the_splice() -> None:
    request = ExportTraceServiceRequest()
    for names in (["one"], ["two", "three"]):
        of_resource = request.resource_spans.add()
        of_resource.resource.attributes.add(key="service.name").value.string_value = "load"
        for name in names:
            of_resource.scope_spans.add().spans.add(name=name)
    body = request.SerializeToString()

    def replace(resource: bytes) -> bytes:
        return resource + resource.replace(b"service.name", b"servicename2")

    spliced = wire.splice(body, TRACES.frames, replace)
    decoded = decode_and_encode(body, TRACES.frames, replace)
    assert ExportTraceServiceRequest.FromString(decoded.body) == ExportTraceServiceRequest.FromString(
        spliced.body
    )
    assert decoded.records == spliced.records == 3
