from __future__ import annotations

from dataclasses import replace

import pytest

from otel_prefect.view.log_lines import Line
from otel_prefect.view.log_of_processes import around, by_process, with_processes
from tests.support.view import execution, span

RUN = execution(
    span("flow", 0, 20, service="flow"),
    replace(span("crm 1", 1, 4, "flow", service="ingest"), attributes={"source": "crm"}),
    replace(span("shop", 1, 4, "flow", service="ingest"), attributes={"source": "shop"}),
    replace(span("crm 2", 6, 9, "flow", service="ingest"), attributes={"source": "crm"}),
    span("read", 2, 3, "crm 1"),
)


def line(time: float, service: str = "ingest", span_id: str | None = None, source: str | None = None) -> Line:
    fields = {"source": source} if source else {}
    return Line(time, "INFO", service, f"at {time}", span_id, fields)


@pytest.mark.parametrize(
    ("said", "process"),
    [
        (line(8, span_id="read", source="shop"), "crm 1"),
        (line(2, source="shop"), "shop"),
        (line(2, source="crm"), "crm 1"),
        (line(8, source="crm"), "crm 2"),
        (line(0, source="crm"), "crm 1"),
        (line(8, source="unknown"), "crm 2"),
        (line(8, span_id="lost"), "crm 2"),
        (line(8, "flow"), "flow"),
        (line(8, "nobody"), None),
    ],
)
def test_a_line_is_its_span_s_process_s_or_the_last_of_its_service_and_source_that_had_begun(
    said: Line, process: str | None
) -> None:
    ((_, found),) = with_processes(RUN, [said])
    assert (found.id if found else None) == process


def test_each_process_has_what_it_said_and_nobody_what_is_not_known_whose_it_is() -> None:
    said = [line(1, source="crm"), line(2, source="shop"), line(3, "nobody"), line(3, source="crm")]
    assert by_process(RUN, said) == {"crm 1": [said[0], said[3]], "shop": [said[1]]}


def test_of_the_lines_around_a_time_most_are_before_it() -> None:
    said = [line(n / 10) for n in range(40)]
    assert [each.time for each in around(said, 2)] == pytest.approx([n / 10 for n in range(13, 23)])
    assert [each.time for each in around(said, -1, count=4)] == [0, 0.1, 0.2, 0.3]
    assert [each.time for each in around(said, 100, count=2)] == [3.8, 3.9]
    assert around([], 0) == []
