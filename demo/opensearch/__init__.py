"""A real OpenSearch node on loopback, from Maven's jars."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request

from demo import java
from demo.paths import CACHE
from demo.processes import LOOPBACK, StartError, direct, environment, free_port
from otel_prefect.collector import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo.processes import Process, Processes

_POM = Path(__file__).with_name("pom.xml")
_NODE = Path(__file__).with_name("Node.java")
_COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
# The runner takes no other ports: it probes from baseHttpPort + 1 to 9299.
_FIRST_PORT, _LAST_PORT = 9201, 9299
_ATTEMPTS = 3
# A node for some thousand documents: little heap, and start-up counts more than peak speed.
_JVM = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
)


class _PortTakenError(StartError):
    """Raised when the node found its port taken."""


@dataclass(frozen=True)
class OpenSearch:
    """A running node.

    Attributes:
        url: its HTTP address; no security.
        process: the JVM.
    """

    url: str
    process: Process

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return the parsed answer.

        Raises:
            urllib.error.HTTPError: it was answered with an error.
        """
        request = Request(  # noqa: S310 - always http on loopback
            f"{self.url}/{path.lstrip('/')}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with direct.open(request, timeout=30) as response:
            return json.load(response)

    def stop(self) -> None:
        """Stop the node; its data folder stays."""
        self.process.stop()


def start(processes: Processes, folder: Path, say: Callable[[str], None] = lambda _: None) -> OpenSearch:
    """Start a node; the first time its jars are fetched into ``.cache/opensearch``.

    Args:
        processes: the owner of the process.
        folder: takes the node's data.
        say: takes lines for the user while something is fetched.

    Raises:
        StartError: no Java, no Maven, no free port, or the node did not come up.
    """
    program = fetch(say)
    runtime = java.find(say)
    for _ in range(_ATTEMPTS - 1):
        # Between choosing a port and binding it, somebody else may take it.
        with suppress(_PortTakenError):
            return _start_once(processes, folder, program, runtime)
    return _start_once(processes, folder, program, runtime)


def _start_once(processes: Processes, folder: Path, program: Path, runtime: Path) -> OpenSearch:
    # A random place to begin, so that nodes started side by side do not all try the same ports.
    port = free_port(random.randint(_FIRST_PORT, _LAST_PORT - 30), _LAST_PORT)  # noqa: S311 - no secret
    url = f"http://{LOOPBACK}:{port}"
    cluster = f"demo-{os.getpid()}-{port}"
    command = [
        *(str(runtime), *_JVM, "-cp", f"{program / 'classes'}:{program / 'jars'}/*", _NODE.stem),
        *("-basePath", str(folder / cluster), "-numOfNode", "1"),
        *("-baseHttpPort", str(port - 1), "-clusterName", cluster),
    ]

    def ready() -> bool:
        try:
            with direct.open(url, timeout=2) as response:
                # The name tells our node from another one that took the port before it.
                return bool(json.load(response)["cluster_name"] == cluster)
        except (OSError, ValueError, KeyError):
            return False

    try:
        process = processes.start("opensearch", command, env=environment(), ready=ready, timeout=120)
    except StartError as error:
        if "BindException" in str(error):
            raise _PortTakenError(str(error)) from error
        raise
    return OpenSearch(url, process)


def fetch(say: Callable[[str], None]) -> Path:
    """Return the folder with OpenSearch's ``jars`` and our ``classes``, making it once.

    The folder is named by the hash of what it is made from and moved into place when it is whole,
    so a cut-off fetch leaves nothing that could be taken for it.

    Raises:
        StartError: Maven is missing or failed, or there is no Java.
    """
    made_from = hashlib.sha256(_POM.read_bytes() + _NODE.read_bytes()).hexdigest()[:16]
    folder = CACHE / "opensearch" / made_from
    with build.only_one(folder.with_suffix(".lock")):
        if folder.is_dir():
            return folder
        maven = shutil.which("mvn")
        if maven is None:
            raise StartError(
                "OpenSearch's jars are fetched with Maven, which is missing: apt-get install maven"
            )
        runtime = java.find(say)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as staging:
            program = Path(staging) / "program"
            _copy_jars(maven, Path(staging) / "repository", program / "jars", say)
            _compile_node(runtime, program)
            program.rename(folder)
    return folder


def _compile_node(runtime: Path, program: Path) -> None:
    """Compile ``Node.java`` with a compiler that is a jar: the Java at hand may be one without."""
    jars = sorted((program / "jars").glob("*.jar"))
    command = [
        *(str(runtime), "-cp", f"{program / 'jars'}/*", _COMPILER),
        *("-source", str(java.NEEDED), "-target", str(java.NEEDED), "-proc:none"),
        *("-cp", ":".join(map(str, jars)), "-d", str(program / "classes"), str(_NODE)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StartError(f"{_NODE.name} cannot be compiled: {(done.stderr or done.stdout).strip()}")


def _copy_jars(maven: str, repository: Path, target: Path, say: Callable[[str], None]) -> None:
    say("fetching OpenSearch (119 jars, 74 MB) into .cache/opensearch")
    # The repository is Maven's own cache; it goes with the staging folder, only the jars stay.
    command = [
        *(maven, "--batch-mode", "--file", str(_POM), f"-Dmaven.repo.local={repository}"),
        *("dependency:copy-dependencies", f"-DoutputDirectory={target}"),
    ]
    output: list[str] = []
    jars = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            for line in process.stdout:
                output.append(line)
                if "Downloaded" in line and ".jar" in line:
                    jars += 1
                    if jars % 40 == 0:
                        say(f"fetching OpenSearch: {jars} files")
        except BaseException:
            # An interrupt must not wait for the whole fetch.
            process.kill()
            raise
    if process.returncode != 0:
        problem = next((line for line in output if line.startswith("[ERROR]")), "no message").strip()
        raise StartError(
            f"OpenSearch's jars could not be fetched: mvn ended with {process.returncode}: {problem}"
        )
