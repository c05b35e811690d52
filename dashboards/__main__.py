"""``python -m dashboards``: writes the dashboards' JSON, or says which file is not current (``--check``)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dashboards import grafana, native
from dashboards.boards import BOARDS

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER: Final = Path(__file__).resolve().parent


def files() -> dict[Path, str]:
    """Return all files with what is to be in them."""
    made = {
        FOLDER / backend / f"{board.name}.json": grafana.made(board, backend)
        for board in BOARDS
        for backend in (grafana.PROMETHEUS, grafana.CLOUDWATCH)
    }
    return made | {FOLDER / "cloudwatch-dashboard.json": native.body(BOARDS)}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or look whether they are current.

    Returns:
        0; with ``--check`` 1 where one is not.
    """
    parser = argparse.ArgumentParser(
        prog="python -m dashboards", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(argv).check
    stale = [path for path, text in files().items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if check:
            sys.stdout.write(f"{path.relative_to(FOLDER.parent)} is not current: python -m dashboards\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(files()[path])
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
