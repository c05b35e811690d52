"""``python -m bench.program``: what ``otel-prefect run`` costs a program, printed as a table.

Each case runs with and without it in turns; figures are medians. The receiver answers OK and does nothing.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

from bench.receiver import TakesAll

_RUN = (str(Path(sys.executable).with_name("otel-prefect")), "run", "--")
_ROUNDS = 5

# Computes and logs at a steady pace; says on stderr how many seconds it took itself.
_STEADY = """
import hashlib, sys, time
began, lines, block = time.perf_counter(), int(sys.argv[1]), b"x" * 65536
for line in range(lines):
    for _ in range(int(sys.argv[2])): hashlib.sha256(block).digest()
    print("2026-03-01 03:00:00,123 INFO load: row", line, "of the export was read", flush=True)
sys.stderr.write(f"{time.perf_counter() - began}")
"""
_FLOOD = """
import sys, time
began = time.perf_counter()
for line in range(1_000_000): sys.stdout.write(f"2026-03-01 03:00:00,123 INFO load: row {line} was read\\n")
sys.stdout.flush()
sys.stderr.write(f"{time.perf_counter() - began}")
"""
CASES = {
    "a program that ends at once": ("-c", "import sys; sys.stderr.write('0')"),
    "15 s of work, 100 lines a second": ("-c", _STEADY, "1500", "250"),
    "10 s of work, 1,000 lines a second": ("-c", _STEADY, "10000", "25"),
    "1,000,000 lines as fast as it can": ("-c", _FLOOD),
}


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        wall: seconds from start to end, of all.
        inside: seconds that the program itself took to do its work.
        cpu: seconds of CPU, of all.
    """

    wall: float
    inside: float
    cpu: float


def once(command: tuple[str, ...], port: int) -> Cost:
    """Run a command to its end.

    Args:
        command: whose program writes on stderr, first, how many seconds its work took.
        port: of the receiver.
    """
    env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    said = process.stderr.read().decode()
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    digits = said.partition("\n")[0]
    inside = float("".join(c for c in digits[:18] if c.isdigit() or c == ".") or 0)
    return Cost(time.perf_counter() - began, inside, used.ru_utime + used.ru_stime)


def main() -> None:
    """Measure all cases and print the table."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), TakesAll)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"load average before the run: {os.getloadavg()[0]:.2f}; {os.cpu_count()} cores\n")
    print("| program | its own time | with `otel-prefect run` | slower by | start to end | CPU added |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, arguments in CASES.items():
        program = (sys.executable, *arguments)
        plain, ours = [], []
        for _ in range(_ROUNDS):
            plain.append(once(program, server.server_port))
            ours.append(once((*_RUN, *program), server.server_port))
        print(_row(name, _median(plain), _median(ours)), flush=True)
    server.shutdown()


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        *(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall", "inside", "cpu"))
    )


def _row(name: str, plain: Cost, ours: Cost) -> str:
    slower = f"{(ours.inside / plain.inside - 1) * 100:+.1f} %" if plain.inside else "-"
    return (
        f"| {name} | {plain.inside:.2f} s | {ours.inside:.2f} s | {slower} "
        f"| {ours.wall - plain.wall:+.2f} s | {ours.cpu - plain.cpu:+.2f} s |"
    )


if __name__ == "__main__":
    main()
