"""Two containers of one task: ``python one_task.py flow`` and ``python one_task.py ingest``.

The flow tells its id by a file, as another would by RunTask's overrides, and ends when the other has.
"""

import logging
import os
import sys
import time
from pathlib import Path

RUN_FILE, DONE_FILE = Path(os.environ["RUN_FILE"]), Path(os.environ["DONE_FILE"])


def wait_for(file: Path) -> str:
    """Return what is in a file, once it is there."""
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, f"there is no {file}"
        time.sleep(0.05)
    return file.read_text()


def write(file: Path, text: str) -> None:
    """Have a file be there with all of its text."""
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").rename(file)


def flow() -> None:
    import prefect  # noqa: PLC0415 - the other container's image has none
    from prefect.runtime import flow_run  # noqa: PLC0415

    @prefect.flow(name="daily-sales")
    def daily_sales() -> None:
        write(RUN_FILE, str(flow_run.id))
        wait_for(DONE_FILE)

    daily_sales()


def ingest() -> None:
    os.environ["PREFECT_FLOW_RUN_ID"] = wait_for(RUN_FILE)
    os.execvp("opentelemetry-instrument", ("opentelemetry-instrument", "python", __file__, "load"))  # noqa: S606, S607


def load() -> None:
    logging.getLogger("ingest").warning("orders are in")
    write(DONE_FILE, "")


if __name__ == "__main__":
    {"flow": flow, "ingest": ingest, "load": load}[sys.argv[1]]()
