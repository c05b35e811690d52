"""``python -m demo``: one pipeline execution on stand-ins, seen as one trace and one log stream."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from demo import report
from demo.paths import OUTPUT
from demo.processes import Processes, StartError
from demo.run import RunError, fail, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType


# All that a run writes into its folder.
_OURS = frozenset(
    {
        *(
            "alertmanager",
            "alerts",
            "containers",
            "dashboard.html",
            "exports",
            "logs",
            "opensearch",
            "prefect",
        ),
        "prometheus",
        *("readback", "sidecar", "summary.json", "trace.html", "witness"),
    }
)


class _Terminated(KeyboardInterrupt):
    """Raised by SIGTERM, so that it ends the demo the same way as Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Args:
        argv: the arguments; those of the process where it is None.

    Returns:
        0 when everything arrived; 1 when a part failed or anything was lost; 130 after Ctrl-C; 143 after
        SIGTERM.
    """
    parser = argparse.ArgumentParser(prog="python -m demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fail", choices=["ingestion"], help="break it, be paged, and mend it")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the run (default: .demo)")
    args = parser.parse_args(argv)
    folder: Path = args.output.resolve()
    # Wide enough for the waterfall where there is no terminal to ask.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with _fresh(folder), Processes(folder / "logs") as processes:
            show = _fail_and_show if args.fail else _run_and_show
            with ExitStack() as stack:
                return show(processes, folder, stack, console)
    except (StartError, RunError) as error:
        console.print("failed:", style="bold red", end=" ")
        console.print(str(error), soft_wrap=True, markup=False)
        console.print(f"logs of all parts: {folder / 'logs'}", soft_wrap=True)
        return 1
    except KeyboardInterrupt as interrupt:
        console.print("interrupted; everything that was started is stopped")
        return 143 if isinstance(interrupt, _Terminated) else 130


def _run_and_show(processes: Processes, folder: Path, stack: ExitStack, console: Console) -> int:
    result = run(processes, folder, stack, _stopwatch(console))
    console.print()
    report.show(console, result)
    summary = report.write(folder, result)
    with suppress(ValueError):
        summary = summary.relative_to(Path.cwd())
    console.print(f"[dim]the same for machines: {summary}; logs of all parts: {summary.parent / 'logs'}[/]")
    _link(console, result.seen.page if result.seen else None, result.dashboard)
    return 0 if result.ledger.lost == 0 else 1


def _fail_and_show(processes: Processes, folder: Path, stack: ExitStack, console: Console) -> int:
    failure = fail(processes, folder, stack, _stopwatch(console))
    console.print()
    report.show_failure(console, failure)
    _link(console, failure.seen.page, failure.dashboard)
    return 0


def _stopwatch(console: Console) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda line: console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {line}", soft_wrap=True)


def _link(console: Console, trace: Path | None, dashboard: Path | None) -> None:
    for said, page in (("in a browser", trace), ("on the dashboards", dashboard)):
        if page is not None:
            console.print(f"the run {said}: {page.as_uri()}", soft_wrap=True)


@contextmanager
def _fresh(folder: Path) -> Iterator[None]:
    """Empty the folder of the last run, and keep others out of it while this one goes on.

    Raises:
        StartError: another demo runs in it, or it holds something that no demo has written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another demo is running in {folder}; wait for it or use --output") from None
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in _OURS)
        if foreign:
            raise StartError(f"{folder} holds {foreign[0]}, which is not a demo's; use another --output")
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield
    finally:
        os.close(handle)


def _terminate(_: int, __: FrameType | None) -> None:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
