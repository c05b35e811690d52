"""``python -m bench`` measures and writes ``bench/RESULTS.md``; with ``--quick`` a little, elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import TYPE_CHECKING

from bench import machine, measure, report
from bench.cases import FULL, QUICK, SIDECAR, WAYS, Plan
from bench.load_program import LoadError, LoadProgram
from bench.results import Results
from bench.ways import ROOT, Unavailable
from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    """Run what the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few cases, once; written to .cache/bench")
    quick = parser.parse_args().quick
    plan = QUICK if quick else FULL
    target = (collector.cache_dir() / "bench" if quick else ROOT / "bench") / "RESULTS.md"
    described, began = machine.describe(), time.monotonic()
    try:
        with LoadProgram() as load:
            results = run(plan, load)
    except (LoadError, collector.CollectorNotFound) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    target.write_text(report.page(results, plan, described, time.monotonic() - began))
    print(f"written: {target}")
    return 0


def run(plan: Plan, load: LoadProgram) -> Results:
    """Measure everything in a plan; a way that does not run here is left out, and the results say why."""
    results = Results()
    print(f"start, rest and end, {plan.lives} times; many runs", flush=True)
    for way in list(WAYS) * plan.lives:
        with _left_out(results, way):
            results.lives.append(measure.life(way, load))
    for _ in range(plan.lives):
        with _left_out(results, SIDECAR):
            results.many_runs.append(measure.many_runs(load))
    for number in range(1, plan.rounds + 1):
        for case in plan.cases:
            print(f"round {number}: {case.layer}, {case.protocol}, {case.spans} spans a request", flush=True)
            for way in case.ways:
                with _left_out(results, way):
                    results.phases += measure.phases(case, way, load)
    return results


@contextlib.contextmanager
def _left_out(results: Results, way: str) -> Iterator[None]:
    try:
        yield
    except Unavailable as why:
        results.missing[way] = str(why)


if __name__ == "__main__":
    sys.exit(main())
