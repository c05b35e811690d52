"""``python -m bench.library`` measures what the library costs a flow and writes ``bench/LIBRARY.md``."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from bench import machine
from bench.receiver import TakesAll
from bench.ways import ROOT
from demo import prefect_server
from demo.processes import Processes, environment
from otel_prefect import semconv
from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_HERE = Path(__file__).parent
_RUN_ID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"


class Target(NamedTuple):
    """What is to hold: the median of the differences between two ways is below a limit.

    Attributes:
        what: for the table.
        unit: of figures and limit.
        limit: that the difference stays under.
        without: what it is compared with, for the table.
    """

    what: str
    unit: str
    limit: float
    without: str


IMPORT = Target("set-up in a process that has Prefect loaded", "ms", 150, "SDK and exporters alone")
SPAN = Target("a span", "µs", 10, "the SDK's")
LOG = Target("a log record", "µs", 5, "the SDK's logging handler")
FLOW = Target("a flow of 1,000 small tasks", "%", 3, "without telemetry")
# Beside it, what of that no library on the SDK could save.
FLOW_BY_SDK = Target("the same", "%", 3, "Prefect's spans by the SDK and its exporter alone")


def main() -> int:
    """Measure everything; return the exit code, 0 whether the targets are met or not."""
    parser = argparse.ArgumentParser(prog="python -m bench.library", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds; written to .cache/bench")
    quick = parser.parse_args().quick
    described, began = machine.describe(), time.monotonic()
    rounds, tasks = (3, 100) if quick else (7, 1_000)
    flows = _flows(rounds, tasks)
    pairs: dict[Target, list[tuple[float, ...]]] = {
        **{
            target: _alternate(rounds, ("sdk", "ours"), partial(_program, what))
            for target, what in ((IMPORT, "import"), (SPAN, "span"), (LOG, "log"))
        },
        FLOW: [(off, ours) for off, _, ours in flows],
        FLOW_BY_SDK: [(sdk, ours) for _, sdk, ours in flows],
    }
    target = (collector.cache_dir() / "bench" if quick else ROOT / "bench") / "LIBRARY.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_page(pairs, described, rounds, time.monotonic() - began))
    print(f"written: {target}")
    return 0


def _alternate(rounds: int, ways: Sequence[str], measure: Callable[[str], float]) -> list[tuple[float, ...]]:
    """Measure the ways in turn, so that all see the same machine; return a row of figures for each round."""
    found = []
    for number in range(rounds):
        figures = {way: measure(way) for way in (ways if number % 2 == 0 else reversed(ways))}
        found.append(tuple(figures[way] for way in ways))
        print(f"round {number + 1}: " + ", ".join(f"{way} {figures[way]:.2f}" for way in ways), flush=True)
    return found


def _program(what: str, way: str) -> float:
    print(f"{what}, {way}", flush=True)
    # Nothing listens at the discard port: what is sent at the end costs nothing that is measured.
    variables = {
        semconv.ENV_FLOW_RUN_ID.name: _RUN_ID,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        semconv.ENV_FLUSH_SECONDS.name: "0",
    }
    return _run([str(_HERE / "library_program.py"), what, way], variables)


def _flows(rounds: int, tasks: int) -> list[tuple[float, ...]]:
    """Run the flow against a real server, its telemetry sent to a receiver that takes everything."""
    with tempfile.TemporaryDirectory() as folder, Processes(Path(folder) / "logs") as processes:
        server = prefect_server.start(processes, Path(folder) / "home")
        receiver = ThreadingHTTPServer(("127.0.0.1", 0), TakesAll)
        Thread(target=receiver.serve_forever, daemon=True).start()
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}"}
        of_way = {
            "off": {},
            "sdk": {"BENCH_PLAIN_SDK": "1", **endpoint},
            "ours": {"PREFECT_PLUGINS_ENABLED": "1", **endpoint},
        }

        def run(way: str) -> float:
            variables = {**server.variables(), "BENCH_TASKS": str(tasks), "PREFECT_LOGGING_LEVEL": "WARNING"}
            return _run([str(_HERE / "library_flow.py")], {**variables, **of_way[way]})

        return _alternate(rounds, tuple(of_way), run)


def _run(arguments: list[str], variables: Mapping[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(dict(variables)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{arguments} failed:\n{done.stderr}")
    return float(done.stdout.splitlines()[-1])


def _page(
    pairs: Mapping[Target, list[tuple[float, ...]]],
    described: Mapping[str, str],
    rounds: int,
    seconds: float,
) -> str:
    lines = [
        "# What the library costs a flow",
        "",
        "Made by `make bench-library`. Medians of rounds in which both ways took turns. Spans and records",
        "are CPU time of the process that makes them, up to the queue of what is sent. A small task does",
        "nothing at all: what is shown is Prefect's own two milliseconds a task, and what is added to them.",
        "",
        *(
            f"- {name}: {value}"
            for name, value in described.items()
            if name not in ("Collector", "Go", "rotel")
        ),
        f"- rounds: {rounds}, in {seconds:.0f} s",
        "",
        "| what | compared with | without | with us | more | target |",
        "| --- | --- | ---: | ---: | ---: | --- |",
        *(_row(target, found) for target, found in pairs.items()),
        "",
    ]
    return "\n".join(lines)


def _row(target: Target, found: list[tuple[float, ...]]) -> str:
    without, ours = (statistics.median(way) for way in zip(*found, strict=True))
    relative = target.unit == "%"
    more = statistics.median(((b - a) / a * 100) if relative else b - a for a, b in found)
    unit = "s" if relative else target.unit
    met = "met" if more < target.limit else "**missed**"
    return (
        f"| {target.what} | {target.without} | {without:.2f} {unit} | {ours:.2f} {unit} | "
        f"{more:.1f} {target.unit} | under {target.limit:g} {target.unit}: {met} |"
    )


if __name__ == "__main__":
    sys.exit(main())
