"""The container image, built as ``make image`` builds it, and run as a container is."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import os
import re
import secrets
import signal
import stat
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from demo import aws, readback
from demo.processes import Processes
from image import go_modules, requirements
from otel_prefect import __version__, semconv
from otel_prefect.collector import build as collector_build
from otel_prefect.collector import start as collector
from tests.support import container_image, otlp
from tests.support.own_network import own_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from tests.support.container_image import Container, Image

APPLICATION = "opt/otel-prefect"
MOUNTED = ("dev/", "proc/", "sys/", "etc/hosts")
LARGEST_MB = 120
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image. In CI it has to be built; elsewhere what it takes may be missing."""
    reason = container_image.missing()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with container_image.built(tmp_path_factory.mktemp("image")) as made:
        yield made


@pytest.fixture(scope="module")
def moto(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[aws.Aws]:  # noqa: ARG001 - no image, no need
    """AWS, in a network of its own, in which all ports that the image has by default are free."""
    with own_network(), Processes(tmp_path_factory.mktemp("aws")) as processes:
        yield aws.start(processes)


@pytest.fixture
def container(image: Image, moto: aws.Aws, tmp_path: Path) -> Iterator[Container]:
    """A healthy container of the image that writes to AWS; nothing is set but what AWS is reached by."""
    with container_image.run(image, tmp_path, **moto.variables()) as started:
        started.wait_healthy()
        yield started


def files(root: Path) -> dict[str, os.stat_result]:
    """Return what is in a root file system, by path; but for what an engine mounts over."""
    found = {str(path.relative_to(root)): path.lstat() for path in root.rglob("*")}
    return {path: info for path, info in found.items() if not path.startswith(MOUNTED)}


def added(image: Image) -> dict[str, os.stat_result]:
    base = files(image.base)
    return {path: info for path, info in files(image.root).items() if path not in base}


def send(kind: str, request: Message) -> int:
    """Send OTLP to the port that it has by default; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", 4318, timeout=20)
    body = request.SerializeToString()
    connection.request("POST", f"/v1/{kind}", body, {"Content-Type": "application/x-protobuf"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_run_is_taken_and_has_arrived_at_aws_when_the_container_has_ended(
    container: Container, moto: aws.Aws
) -> None:
    """With a read-only root and no privileges; SIGTERM empties the queues."""
    run_id = str(uuid.uuid4())
    trace_id, span_id = run_id.replace("-", ""), secrets.token_hex(8)
    resource = {"service.name": "ingestion", semconv.FLOW_RUN_ID: run_id}
    assert send("traces", otlp.traces(resource, otlp.span("load", trace_id, span_id))) == 200
    assert send("logs", otlp.logs(resource, otlp.record("orders are in"))) == 200
    assert container.stop() == 0, container.stderr.read_text()
    assert list(readback.xray(moto.client("xray"), run_id).segments) == [span_id]
    events = readback.cloudwatch(moto.client("logs"), semconv.ENV_LOG_GROUP.default, run_id)
    assert [event["message"] for event in events] == ["orders are in"]
    assert (container.accounts["given_up"], container.accounts["left_on_disk"]) == ({}, {})


def test_it_runs_as_a_user_who_can_change_nothing_but_the_volume(container: Container) -> None:
    """The user of the image, no group of root's, no capability; all else is read-only, and is its owner's."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{container.pid()}/status").read_text().splitlines()
    )
    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert (status["Groups"].strip(), int(status["CapEff"], 16), int(status["CapPrm"], 16)) == ("", 0, 0)
    for place in ("/opt/otel-prefect/written", "/tmp/written", "/etc/written"):
        refused = container.execute("python", "-c", f"open({place!r}, 'w')")
        assert "Read-only file system" in refused.stderr
    written = {info.st_uid for info in files(container.volume).values()}
    assert written == {10001}


def test_a_container_that_takes_no_data_is_unhealthy(container: Container) -> None:
    assert container.health().returncode == 0
    os.kill(container.pid(), signal.SIGSTOP)
    done = container.health()
    os.kill(container.pid(), signal.SIGCONT)
    assert done.returncode == 1
    assert "nothing answers" in done.stderr


def test_nothing_that_python_imports_is_compiled_again(container: Container) -> None:
    """Not at the start, and not at a health check, whose whole cost that would be."""
    verbose = container.execute("python", "-v", "-m", "sidecar", "health")
    assert verbose.returncode == 0, verbose.stderr
    imported = container.execute("python", "-v", "-c", "import sidecar.lifecycle, sidecar.left_behind")
    for done in (verbose, imported):
        assert done.stderr.count("/bytecode/") > 50
        assert re.findall(r"^# code object from '.*\.py'$", done.stderr, re.MULTILINE) == []


def test_it_adds_less_to_its_base_than_it_may(image: Image) -> None:
    size = sum(info.st_size for info in added(image).values() if stat.S_ISREG(info.st_mode))
    assert 60e6 < size < LARGEST_MB * 1e6, f"{size / 1e6:.1f} MB"


def test_what_it_adds_is_roots_and_none_of_it_may_be_written_by_others(image: Image) -> None:
    changed = added(image)
    volume = {path: info for path, info in changed.items() if not path.startswith(APPLICATION)}
    application = {path: info for path, info in changed.items() if path.startswith(APPLICATION)}
    assert {path.split("/")[-1] for path in volume} == {"otel-prefect"}
    assert [(info.st_uid, stat.S_IMODE(info.st_mode)) for info in volume.values()] == [(10001, 0o755)]
    assert {info.st_uid for info in application.values()} == {0}
    modes = {stat.S_IMODE(info.st_mode) for info in application.values() if not stat.S_ISLNK(info.st_mode)}
    assert modes == {0o644, 0o755}


def test_it_says_what_it_is_and_how_it_is_run(image: Image) -> None:
    """By the labels and fields that engines, registries and ECS read."""
    config = image.config
    assert (config["User"], list(config["Volumes"])) == ("10001:10001", [semconv.ENV_DATA_DIR.default])
    assert (config["Entrypoint"], config["Cmd"]) == ([], ["python", "-m", "sidecar"])
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "sidecar", "health"]
    label = {
        name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()
    }
    assert (label["title"], label["version"], label["licenses"]) == (
        "otel-prefect",
        __version__,
        "Apache-2.0",
    )
    # Of the commit that was there when it was built.
    git = ("git", "cat-file", "-t", label["revision"])
    assert subprocess.run(git, capture_output=True, text=True, check=True).stdout == "commit\n"


def test_what_the_build_was_told_is_not_in_it(image: Image) -> None:
    """Settings of the host that builds, tests, the lock, pip's cache and what lists packages stay out."""
    changed = added(image)
    contents = [path for path, info in changed.items() if stat.S_ISREG(info.st_mode)]
    canary = image.canary.encode()
    assert [path for path in contents if canary in (image.root / path).read_bytes()] == []
    assert image.canary not in json.dumps(image.config)
    assert {
        path.split("/")[2] for path in changed if path.count("/") >= 2 and path.startswith(APPLICATION)
    } == {
        *("LICENSE", "bytecode", "collector-config", "otel_prefect", "otelcol-prefect"),
        *("sbom.cdx.json", "sidecar", "venv"),
    }
    assert [path for path in contents if path.endswith("bin/pip") or "cyclonedx" in path] == []


def test_its_bill_of_materials_lists_what_is_installed_and_nothing_else(image: Image) -> None:
    """Python packages and Go modules with their versions, in CycloneDX's format."""
    text = (image.root / APPLICATION / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        "otel-prefect",
        __version__,
    )
    (site_packages,) = (image.root / APPLICATION / "venv" / "lib").glob("python3*/site-packages")
    installed = {
        f"pypi/{each.metadata['Name']}@{each.version}"
        for each in importlib.metadata.distributions(path=[str(site_packages)])
    }
    listed = {f"{each['bom-ref']}@{each['version']}" for each in bill["components"]}
    assert {each for each in listed if each.startswith("pypi/")} == installed
    program = go_modules.read(image.root / APPLICATION / "otelcol-prefect")
    modules = {f"golang/{path}@{version}" for path, version in program.modules.items()}
    assert listed - installed == {*modules, f"golang/stdlib@{program.go}"}


def test_the_modules_of_a_program_are_read_as_go_reads_them() -> None:
    """Replaced ones as what stands in their place."""
    go = str(collector_build.find_go())
    said = subprocess.run(
        (go, "version", "-m", str(collector.find())), capture_output=True, text=True, check=True
    ).stdout
    program = go_modules.read(collector.find())
    lines = [line.split("\t")[1:] for line in said.splitlines()[1:]]
    rows = [line for line in lines if line[0] in ("dep", "=>")]
    replaced = {index for index, row in enumerate(rows[1:]) if row[0] == "=>"}
    assert program.modules == {row[1]: row[2] for index, row in enumerate(rows) if index not in replaced}
    assert said.split("\n")[0].endswith(f": go{program.go}")
    assert len(program.modules) > 100


def test_a_program_that_is_not_gos_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(go_modules.NotGo, match="other does not say which Go modules"):
        go_modules.read(other)


def test_another_collector_is_of_the_manifests_version_by_default() -> None:
    """The layers are written for that version of the components."""
    version = collector_build.builder_version(container_image.ROOT / "collector-config" / "builder.yaml")
    (default,) = re.findall(
        "^ARG COLLECTOR_IMAGE=.*:(.*)$", (container_image.ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert default == version


def test_its_packages_are_those_of_the_lock() -> None:
    """`make image-requirements` writes them; all have hashes."""
    for path, text in requirements.files().items():
        assert path.read_text() == text, f"{path.name} is old: run `make image-requirements`"
        assert text.count("==") <= text.count("--hash=sha256:")
