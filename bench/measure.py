"""Takes the measurements: sends loads through ways and reads what their processes used."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import ways
from bench.cases import DISTINCT_RUNS, SECONDS, SIDECAR
from bench.load_program import Load
from otel_prefect import semconv

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.load_program import LoadProgram
    from bench.ways import Way

_WARM_UP_RATE, _WARM_UP_SECONDS = 5_000, 0.5
_IDLE_SECONDS = 1.0
# A process is idle that used less than this share of a core while it was looked at.
_IDLE_LOOK_SECONDS, _IDLE_SHARE = 0.3, 0.05
# Of the measurement of many runs: small requests, so that a run's share of the cost shows.
_RUN_SPANS = 10
_RUN_RATE = 5_000


@dataclass(frozen=True)
class Phase:
    """One rate of one case through one way, once.

    Attributes:
        case: what was sent, in words of the case.
        way: through what.
        rate: spans a second that were to be sent; 0: as many as were taken.
        cpu: µs of CPU a span, by role of the process.
        peak: resident MB at most, by role.
        p50: of the time to the acknowledgement, in ms.
        p99: the same.
        acknowledged: spans.
        refused: requests.
        lost: spans that were acknowledged and never came.
        duplicates: spans that came again.
        taken: spans acknowledged a second.
        delivered: spans a second at the destination, until the last had come.
        load_cpu: µs a span of the load program itself.
    """

    case: Case
    way: str
    rate: int
    cpu: dict[str, float]
    peak: dict[str, float]
    p50: float
    p99: float
    acknowledged: int
    refused: int
    lost: int
    duplicates: int
    taken: float
    delivered: float
    load_cpu: float


@dataclass(frozen=True)
class Life:
    """A way that was started, left idle and ended.

    Attributes:
        way: which.
        start_seconds: until it took data.
        idle: resident MB, by role.
        stop_seconds: from SIGTERM to its end.
    """

    way: str
    start_seconds: float
    idle: dict[str, float]
    stop_seconds: float


@dataclass(frozen=True)
class ManyRuns:
    """What the sidecar's Python uses while it sees one flow run, then many, then one again.

    Attributes:
        cpu: µs of CPU a span: before, during, after.
        rss: resident MB after each.
    """

    cpu: tuple[float, float, float]
    rss: tuple[float, float, float]


def phases(case: Case, way_name: str, load: LoadProgram) -> list[Phase]:
    """Send all rates of a case through one way, which is started for it.

    Raises:
        Unavailable: the way does not run here.
    """
    with ways.running(way_name, case.layer, load.address) as way:
        load.send(way.target(case.protocol), Load(case.protocol, case.spans, _WARM_UP_RATE, _WARM_UP_SECONDS))
        load.settle()
        return [_phase(case, way_name, rate, way, load) for rate in case.rates]


def _phase(case: Case, way_name: str, rate: int, way: Way, load: LoadProgram) -> Phase:
    for pid in way.pids.values():
        forget_peak(pid)
    before = {role: cpu_seconds(pid) for role, pid in way.pids.items()}
    began = time.monotonic()
    sent = load.send(way.target(case.protocol), Load(case.protocol, case.spans, rate, SECONDS[rate]))
    settled = load.settle()
    seconds = time.monotonic() - began - settled.last_delivery
    spans = max(1, settled.acknowledged)
    return Phase(
        case=case,
        way=way_name,
        rate=rate,
        cpu={role: (cpu_seconds(pid) - before[role]) / spans * 1e6 for role, pid in way.pids.items()},
        peak={role: peak_megabytes(pid) for role, pid in way.pids.items()},
        p50=percentile(sent.latencies, 50) * 1000,
        p99=percentile(sent.latencies, 99) * 1000,
        acknowledged=settled.acknowledged,
        refused=sum(sent.refused.values()),
        lost=settled.lost,
        duplicates=settled.duplicates,
        taken=settled.acknowledged / sent.seconds,
        delivered=(settled.acknowledged - settled.lost) / seconds,
        load_cpu=sent.cpu_seconds / spans * 1e6,
    )


def life(way_name: str, load: LoadProgram) -> Life:
    """Start a way, leave it idle, end it.

    Raises:
        Unavailable: the way does not run here.
    """
    with ways.running(way_name, "xray", load.address) as way:
        time.sleep(_IDLE_SECONDS)
        idle = {role: megabytes(pid) for role, pid in way.pids.items()}
        return Life(way_name, way.start_seconds, idle, way.stop())


def many_runs(load: LoadProgram) -> ManyRuns:
    """Send the sidecar data of one run, of many, and of one again; it asks Prefect's API for each.

    Raises:
        Unavailable: the sidecar does not run here.
    """
    api = {semconv.ENV_PREFECT_API_URL.name: f"http://{load.address}/api"}
    seconds = DISTINCT_RUNS * _RUN_SPANS / _RUN_RATE
    cpu, rss = [], []
    with ways.running(SIDECAR, "none", load.address, **api) as way:
        pid = way.pids[ways.PYTHON]
        load.send(way.grpc, Load("grpc", _RUN_SPANS, _RUN_RATE, _WARM_UP_SECONDS))
        for runs in (1, DISTINCT_RUNS, 1):
            before = _cpu_when_idle(pid)
            sent = load.send(way.grpc, Load("grpc", _RUN_SPANS, _RUN_RATE, seconds, runs))
            cpu.append((_cpu_when_idle(pid) - before) / max(1, len(sent.latencies) * _RUN_SPANS) * 1e6)
            rss.append(megabytes(pid))
    return ManyRuns((cpu[0], cpu[1], cpu[2]), (rss[0], rss[1], rss[2]))


def _cpu_when_idle(pid: int) -> float:
    """Return the CPU time of a process once it is idle: runs are looked up after their requests."""
    before = cpu_seconds(pid)
    while True:
        time.sleep(_IDLE_LOOK_SECONDS)
        now = cpu_seconds(pid)
        if now - before < _IDLE_LOOK_SECONDS * _IDLE_SHARE:
            return now
        before = now


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, user and system, all threads, ended ones too, to the nanosecond.

    /proc/PID/stat counts in hundredths of a second: 0.3 µs a span in a load of three seconds. The process's
    own clock does not: clock_getcpuclockid(3) makes its id as here.
    """
    return time.clock_gettime(~pid << 3 | 2)


def megabytes(pid: int) -> float:
    """Return the resident memory of a process now."""
    return _status(pid, "VmRSS")


def peak_megabytes(pid: int) -> float:
    """Return the most that was resident since `forget_peak`, or since the start."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Have the kernel begin anew with the peak of a process (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def percentile(values: list[float], percent: float) -> float:
    """Return the smallest value that ``percent`` % of the values do not exceed; NaN of no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def _status(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"/proc/{pid}/status has no {field}")
