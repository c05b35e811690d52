"""What the Terraform module would make for given options, by Terraform's own word."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support import deployed
from tests.support.terraform import provider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MODULE: Final = deployed.FOLDER / "terraform"
_LISTS: Final = {"ImageRepositoryArns", "SecretArns", "ParameterArns", "SubnetIds"}


class RefusedError(Exception):
    """Raised when Terraform refuses the options; the text is what it says."""


def variable(parameter: str) -> str:
    """Return the variable that is called as a parameter of the CloudFormation template is."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", parameter).lower()


def values(given: Mapping[str, str]) -> dict[str, Any]:
    """Return parameters of the CloudFormation template as variables of the module."""
    plain: dict[str, Any] = {"true": True, "false": False}
    return {
        variable(name): value.split(",") if name in _LISTS else plain.get(value, value)
        for name, value in given.items()
    }


def command() -> str:
    """Return Terraform's path; skip where there is none, but not in CI."""
    found = shutil.which("terraform")
    if found is None and os.environ.get("CI"):
        pytest.fail("there is no `terraform` on PATH: https://developer.hashicorp.com/terraform/install")
    if found is None:
        pytest.skip("there is no `terraform` on PATH")
    return found


def run(folder: Path, *arguments: str, module: Path = MODULE) -> str:
    """Run Terraform on a module, what it writes in a folder; return its output.

    Raises:
        RefusedError: it has ended with an error.
    """
    own = {"TF_DATA_DIR": str(folder), "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    with provider.serving() as found:
        done = subprocess.run(
            [command(), arguments[0], "-no-color", *arguments[1:]],
            cwd=module,
            env={**inherited, **own, **found},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if done.returncode != 0:
        raise RefusedError(done.stdout + done.stderr)
    return done.stdout


def plan(folder: Path, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the plan for parameters of the CloudFormation template, as Terraform shows it in JSON.

    https://developer.hashicorp.com/terraform/internals/json-format

    Raises:
        RefusedError: Terraform does not take the options.
    """
    (folder / "given.tfvars.json").write_text(json.dumps(values(given)))
    out = folder / "plan"
    options = ("-input=false", "-lock=false", f"-var-file={folder / 'given.tfvars.json'}", f"-out={out}")
    run(folder, "plan", *options)
    shown = json.loads(run(folder, "show", "-json", str(out)))
    assert isinstance(shown, dict)
    return shown
