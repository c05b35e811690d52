"""Writes the image's bill of materials in CycloneDX's format: Python packages and the Collector's modules.

It lists what is there, not what was asked for. What the base image has is not in it.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from image import go_modules
from otel_prefect import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message


def bill(site_packages: Path, collector: Path) -> str:
    """Return the bill, as JSON.

    Args:
        site_packages: folder that the Python packages are installed in.
        collector: the Collector's program.

    Raises:
        go_modules.NotGo: the Collector does not say what it is made of.
    """
    whole = Component(name="otel-prefect", version=__version__, type=ComponentType.CONTAINER, bom_ref="image")
    listed = [*_python_packages(site_packages), *_go_modules(collector)]
    result = Bom(components=listed)
    result.metadata.component = whole
    result.register_dependency(whole, listed)
    return JsonV1Dot6(result).output_as_string(indent=1)


def _python_packages(site_packages: Path) -> Iterator[Component]:
    licenses = LicenseFactory()
    for package in importlib.metadata.distributions(path=[str(site_packages)]):
        metadata = cast("Message", package.metadata)
        name = str(metadata["Name"])
        said = metadata["License-Expression"] or metadata["License"]
        yield Component(
            name=name,
            version=package.version,
            licenses=[licenses.make_from_string(said)] if said and "\n" not in said else (),
            purl=PackageURL("pypi", name=name, version=package.version),
            bom_ref=f"pypi/{name}",
        )


def _go_modules(collector: Path) -> Iterator[Component]:
    program = go_modules.read(collector)
    # By this name scanners know Go's standard library.
    for path, version in {"stdlib": program.go, **program.modules}.items():
        namespace, _, name = path.rpartition("/")
        yield Component(
            name=path,
            version=version,
            purl=PackageURL("golang", namespace or None, name, version),
            bom_ref=f"golang/{path}",
        )


def main(arguments: list[str]) -> int:
    """Print the bill; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m image.sbom")
    parser.add_argument("site_packages", type=Path)
    parser.add_argument("collector", type=Path)
    given = parser.parse_args(arguments)
    sys.stdout.write(bill(given.site_packages, given.collector) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
