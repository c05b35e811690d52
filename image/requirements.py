"""Writes the packages of the image's build, pinned with their hashes, from ``uv.lock``.

``python -m image.requirements`` after each change of the lock. The build needs pip alone then.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import tomllib
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
_UV: Final = ROOT / ".cache" / "uv" / "bin" / "uv"
_EXPORT: Final = (
    "export",
    "--frozen",
    "--no-default-groups",
    "--no-emit-project",
    "--no-annotate",
    "--no-header",
)
_HEADER: Final = "# Made by `make image-requirements` from uv.lock.\n"


def files() -> dict[Path, str]:
    """Return what each file of requirements is to hold.

    Raises:
        subprocess.CalledProcessError: uv could not read the lock.
    """
    folder = ROOT / "image"
    return {
        folder / "requirements.txt": _exported("--extra", "sidecar", *_without_the_library()),
        folder / "requirements-sbom.txt": _exported("--only-group", "sbom"),
    }


def _without_the_library() -> Iterator[str]:
    """Yield the options that leave out what a flow's process needs: the sidecar has no SDK in it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for dependency in project["dependencies"]:
        yield from ("--prune", Requirement(dependency).name)


def _exported(*options: str) -> str:
    command = (str(_UV), *_EXPORT, *options)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return _HEADER + done.stdout


def main() -> int:
    """Write the files; return the exit code."""
    for path, text in files().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
