"""Prefect's API as the sidecar asks it, the plugin in a process of Prefect's, and the versions of both."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from importlib import metadata, util
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import __version__, semconv
from otel_prefect.doctor.findings import Finding, Status, Surroundings
from otel_prefect.http_request import NoAnswer
from otel_prefect.prefect import api as prefect_api

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS: Final = 10.0
_PLUGINS: Final = "PREFECT_PLUGINS_ENABLED"

# What a process of Prefect's says of itself. It ends without sending anything.
_PROBE: Final = """
import json, os, sys
import prefect
from opentelemetry import trace
from prefect.settings import get_current_settings
said = {
    "version": prefect.__version__,
    "api": str(get_current_settings().api.url or ""),
    "loaded": "otel_prefect.plugin" in sys.modules,
    "provider": type(trace.get_tracer_provider()).__module__,
}
try:
    from otel_prefect.prefect import runs
    said["surprises"] = list(runs.surprises())
except Exception as error:
    said["surprises"] = [f"{type(error).__name__}: {error}"]
sys.stdout.write("\\n" + json.dumps(said) + "\\n")
sys.stdout.flush()
os._exit(0)
"""


def api(surroundings: Surroundings) -> Iterator[Finding]:
    """Ask Prefect's API as the sidecar does, for a flow run that does not exist."""
    what, environ = "prefect: API", surroundings.environ
    if not environ.get(semconv.ENV_PREFECT_API_URL.name):
        said = f"{semconv.ENV_PREFECT_API_URL.name} is not set: runs get no names of flow and deployment"
        yield Finding(what, Status.NOTE, said, f"{semconv.ENV_PREFECT_API_URL.name}=https://…/api")
        return
    try:
        prefect = prefect_api.of_environment(environ)
    except ValueError as error:
        yield Finding(what, Status.WRONG, str(error))
        return
    shown = prefect.base
    try:
        answer = prefect.get(f"/flow_runs/{uuid.uuid4()}", min(_SECONDS, surroundings.left()))
    except NoAnswer as error:
        mend = f"{semconv.ENV_PREFECT_API_URL.name}: name an API that can be reached from here"
        yield Finding(what, Status.WRONG, f"{shown}: {error}", mend)
        return
    if answer.status in (401, 403):
        given = "refuses the credentials that are set" if prefect.authorized else "wants credentials"
        names = f"{semconv.ENV_PREFECT_API_KEY.name} (Prefect Cloud) or "
        names += semconv.ENV_PREFECT_API_AUTH_STRING.name
        yield Finding(what, Status.WRONG, f"{shown} {given}: {answer.status}", f"set {names}")
    elif answer.status == 404 and (told := _told(answer.body)):
        yield _answered(what, shown, told)
    else:
        yield Finding(
            what,
            Status.WRONG,
            f"{shown} is not Prefect's API: it answers {answer.status}",
            f"{semconv.ENV_PREFECT_API_URL.name}: it ends in /api on a server of your own",
        )


def _told(body: bytes) -> str:
    """Return why Prefect's server has no such flow run; empty where it is not Prefect's that answered."""
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    found = document if isinstance(document, dict) else {}
    return str(found.get("detail") or found.get("exception_message") or "")


def _answered(what: str, shown: str, told: str) -> Finding:
    # FastAPI, which Prefect's server is made with, says this where it has no such route.
    if "/api" not in shown and told == "Not Found":
        mend = f"{semconv.ENV_PREFECT_API_URL.name}={shown}/api"
        return Finding(what, Status.WRONG, f"{shown} answers, but has no flow runs", mend)
    return Finding(what, Status.RIGHT, f"{shown} answers questions about flow runs")


def plugin(surroundings: Surroundings) -> Iterator[Finding]:
    """Start a process that imports Prefect, and see whether the plugin is loaded in it."""
    what = "prefect: plugin"
    if util.find_spec("prefect") is None:
        told = "Prefect is not installed here; run this in the flow's container too"
        yield Finding(what, Status.SKIPPED, told)
        return
    try:
        said = _probe(surroundings)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        yield Finding(what, Status.WRONG, f"`import prefect` fails: {' '.join(str(error).split())[-300:]}")
        return
    yield _loaded(what, said, surroundings.environ)
    yield _expected(said)
    written = surroundings.environ.get(semconv.ENV_PREFECT_API_URL.name)
    if said["api"] and not written:
        name = semconv.ENV_PREFECT_API_URL.name
        told = f"Prefect's profile names {said['api']}, which the sidecar cannot see"
        yield Finding("prefect: profile", Status.NOTE, told, f"{name}={said['api']}")


def _probe(surroundings: Surroundings) -> dict[str, Any]:
    """Return what a process of Prefect's says of itself.

    Raises:
        ValueError: it says nothing; the text is the end of what it has written instead.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env={**surroundings.environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=surroundings.left(),
        check=False,
    )
    try:
        said: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError as error:
        raise ValueError(done.stderr or f"exit code {done.returncode}") from error
    return said


def _loaded(what: str, said: Mapping[str, Any], environ: Mapping[str, str]) -> Finding:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Finding(what, Status.WRONG, "OTEL_SDK_DISABLED is true", "OTEL_SDK_DISABLED=false")
    if said["loaded"]:
        return Finding(what, Status.RIGHT, "loaded in every process of Prefect's")
    if environ.get(_PLUGINS, "").strip().lower() not in ("1", "true"):
        value = environ.get(_PLUGINS)
        told = f"{_PLUGINS} is not set" if value is None else f"{_PLUGINS}={value!r}"
        return Finding(what, Status.WRONG, f"{told}: flows are not traced", f"{_PLUGINS}=1")
    blocking = [name for name in ("PREFECT_PLUGINS_ALLOW", "PREFECT_PLUGINS_DENY") if environ.get(name)]
    if blocking:
        told = f"{_PLUGINS} is set, and {' and '.join(blocking)} keep it out"
        return Finding(what, Status.WRONG, told, f"{blocking[0]}: let otel_prefect in")
    told = f"{_PLUGINS} is set, and this Prefect ({said['version']}) has not loaded it"
    return Finding(what, Status.WRONG, told, "pip install 'prefect>=3.8'")


def _expected(said: Mapping[str, Any]) -> Finding:
    what = "versions: prefect"
    if said["surprises"]:
        told = f"Prefect {said['version']} is not as expected: {'; '.join(said['surprises'])}"
        return Finding(what, Status.NOTE, f"{told}. Its spans are left as it makes them")
    return Finding(what, Status.RIGHT, f"{said['version']}, as expected")


def versions(surroundings: Surroundings) -> Iterator[Finding]:  # noqa: ARG001 - what every check takes
    """Compare what is installed with what this package says that it needs."""
    what = "versions: opentelemetry"
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions: otel-prefect", Status.RIGHT, f"{__version__} on Python {python}")
    try:
        requirements = metadata.requires("otel-prefect") or []
    except metadata.PackageNotFoundError:
        yield Finding(
            what, Status.SKIPPED, "otel-prefect is not installed as a package here, as in the image"
        )
        return
    from packaging.requirements import Requirement  # noqa: PLC0415 - of opentelemetry-instrumentation's own

    wrong, right = [], []
    for line in requirements:
        needed = Requirement(line)
        if needed.marker is not None or not needed.name.startswith("opentelemetry-"):
            continue
        try:
            there = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"'{needed.name}{needed.specifier}'")
            continue
        if needed.specifier.contains(there, prereleases=True):
            right.append(f"{needed.name.removeprefix('opentelemetry-')} {there}")
        else:
            wrong.append(f"'{needed.name}{needed.specifier}'")
    if wrong:
        told = f"older than what works, or missing: {', '.join(wrong)}"
        yield Finding(what, Status.WRONG, told, f"pip install {' '.join(wrong)}")
    else:
        yield Finding(what, Status.RIGHT, ", ".join(right))
