"""The docs say what the code does."""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from otel_prefect import semconv
from otel_prefect.commands import logs, runs, trace

DOCS = Path(__file__).resolve().parents[2] / "docs"


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_tables_made_from_the_code_are_current(page: Path) -> None:
    assert generator().filled(page.read_text()) == page.read_text(), "run `make docs`"


def test_every_variable_stands_in_the_table() -> None:
    table = (DOCS / "variables.md").read_text()
    for variable in semconv.variables():
        assert f"| `{variable.name}` |" in table


@pytest.mark.parametrize(
    "page", [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"], ids=lambda page: page.name
)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("command", [trace, logs, runs], ids=["trace", "logs", "runs"])
def test_every_option_of_the_trace_view_is_on_its_page(command: Any) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    command.configure(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    page = (DOCS / "trace.md").read_text()
    assert sorted(option for option in options if f"`{option}" not in page) == []
