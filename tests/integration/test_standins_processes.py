"""Children are started, watched and stopped; none outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.processes import Processes, StartError, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path / "logs") as owner:
        yield owner


def is_alive(pid: int) -> bool:
    """A zombie is not alive: nobody but its parent can see it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(condition: object, seconds: float = 10) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_a_process_that_ends_early_is_told_with_its_code_and_its_last_lines(processes: Processes) -> None:
    with pytest.raises(StartError) as caught:
        processes.start("loader", ["sh", "-c", "echo first; echo last words; exit 3"], ready=lambda: False)
    text = str(caught.value)
    assert text.startswith("loader did not start: it ended with code 3")
    assert text.endswith("    first\n    last words")


def test_a_program_that_is_not_there_is_told_by_name(processes: Processes) -> None:
    with pytest.raises(StartError, match="loader did not start: no-such-program"):
        processes.start("loader", ["no-such-program"])


def test_a_process_that_is_not_ready_in_time_is_stopped(processes: Processes, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = ["sh", "-c", f"echo $$ > {pid_file}; exec sleep 60"]
    with pytest.raises(StartError, match="was not ready within 1 s"):
        processes.start("loader", command, ready=lambda: False, timeout=1)
    assert not is_alive(int(pid_file.read_text()))


def test_one_that_ignores_sigterm_is_killed_after_its_grace(processes: Processes) -> None:
    process = processes.start("stubborn", [sys.executable, "-c", STUBBORN], grace=0.3)
    assert eventually(lambda: "up" in process.log.read_text())
    assert process.stop() == -signal.SIGKILL
    assert process.stop() == -signal.SIGKILL, "stopping twice is harmless"


def test_grandchildren_that_are_left_behind_go_with_the_group(processes: Processes, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    command = ["sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"]
    process = processes.start("parent", command, ready=pid_file.exists)
    assert eventually(lambda: pid_file.read_text().strip() != "")
    grandchild = int(pid_file.read_text())
    assert is_alive(grandchild)
    process.stop()
    assert eventually(lambda: not is_alive(grandchild))


def test_what_a_child_has_put_into_a_session_of_its_own_goes_with_it(
    processes: Processes, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import subprocess; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid, flush=True)"
    )
    command = ["sh", "-c", f'{sys.executable} -c "{code}" > {pid_file}; exec sleep 60']
    process = processes.start(
        "parent", command, ready=lambda: pid_file.exists() and pid_file.stat().st_size > 0
    )
    detached = int(pid_file.read_text())
    assert is_alive(detached)
    process.stop()
    assert eventually(lambda: not is_alive(detached))


def test_the_exit_code_can_be_asked_before_and_after_the_end(processes: Processes) -> None:
    process = processes.start("short", ["sh", "-c", "sleep 0.2; exit 5"])
    assert process.exit_code() is None
    assert process.wait(10) == 5
    assert process.stop() == 5


def test_run_waits_for_the_end_and_a_failure_is_told_with_the_log(processes: Processes) -> None:
    processes.run("good", ["true"], env=environment())
    with pytest.raises(StartError, match=r"bad ended with code 4\. Its log .*\n    why"):
        processes.run("bad", ["sh", "-c", "echo why; exit 4"], env=environment())


def test_nothing_can_be_started_after_the_end_and_waiting_ends_with_it(tmp_path: Path) -> None:
    owner = Processes(tmp_path)
    waiting: list[str] = []

    def wait_for_ever() -> None:
        try:
            owner.start("slow", ["sleep", "60"], ready=lambda: False, timeout=60)
        except StartError as error:
            waiting.append(str(error))

    thread = threading.Thread(target=wait_for_ever)
    thread.start()
    assert eventually((tmp_path / "slow.log").exists)
    owner.close()
    thread.join(10)
    assert len(waiting) == 1
    with pytest.raises(StartError, match="everything is being stopped"):
        owner.start("late", ["sleep", "60"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_child_behind(number: signal.Signals, tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import pathlib, signal, sys, time
        from demo.processes import Processes
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with Processes(pathlib.Path({str(tmp_path)!r})) as processes:
            print(*[processes.start(f"child {{n}}", ["sleep", "60"]).pid for n in range(3)], flush=True)
            time.sleep(60)
    """)
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    children = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(children) == 3
    assert all(map(is_alive, children))
    os.kill(owner.pid, number)
    owner.wait(20)
    owner.stdout.close()
    assert not any(map(is_alive, children))
