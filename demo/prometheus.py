"""A real Prometheus and its tools on loopback, built from Go modules once."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import yaml

from demo.paths import CACHE
from demo.processes import LOOPBACK, StartError, answers, direct, environment, free_port
from otel_prefect.collector import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from demo.processes import Process, Processes

# Without the discovery of targets in clouds, which is most of Prometheus's size.
_FLAGS: Final = ("-tags", "remove_all_sd", "-trimpath", "-ldflags", "-s -w")
_MODULES: Final = (
    "github.com/prometheus/prometheus/cmd/prometheus@v0.316.0",
    "github.com/prometheus/prometheus/cmd/promtool@v0.316.0",
    "github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1",
    "github.com/prometheus/alertmanager/cmd/amtool@v0.28.1",
)
_LONGEST_WORDS: Final = 800


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus.

    Attributes:
        url: its address.
        process: it.
    """

    url: str
    process: Process

    @property
    def otlp_url(self) -> str:
        """Return where it takes OTLP metrics."""
        return f"{self.url}/api/v1/otlp/v1/metrics"

    @property
    def write_url(self) -> str:
        """Return where it takes remote write."""
        return f"{self.url}/api/v1/write"

    def query(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Return what an instant query answers: the labels and the value of each series.

        Args:
            expression: PromQL that comes to a vector.
            at: seconds since 1970; None: now.

        Raises:
            urllib.error.HTTPError: Prometheus does not take the expression.
        """
        asked = {"query": expression} | ({} if at is None else {"time": str(at)})
        return [(each["metric"], float(each["value"][1])) for each in self.api("query", asked)["result"]]

    def api(self, path: str, arguments: dict[str, str]) -> Any:
        """Return ``data`` of an answer of its HTTP API.

        Args:
            path: behind ``/api/v1/``.
            arguments: of the query.

        Raises:
            urllib.error.HTTPError: it was answered with an error.
        """
        with direct.open(f"{self.url}/api/v1/{path}?{urlencode(arguments)}", timeout=30) as response:
            return json.load(response)["data"]


def start(  # noqa: PLR0913 - what differs between a demo and the tests, each by its name
    processes: Processes,
    folder: Path,
    *,
    rules: Iterable[Path] = (),
    alertmanager: str | None = None,
    evaluation_seconds: float = 15,
    port: int | None = None,
    retention: str = "90d",
    say: Callable[[str], None] = lambda _: None,
) -> Prometheus:
    """Start a Prometheus that takes what the layer ``prometheus`` writes, by either protocol.

    Args:
        processes: the owner of the process.
        folder: takes its configuration and data; data that is there is gone on with.
        rules: files of rules.
        alertmanager: host:port of one that alerts go to.
        evaluation_seconds: between two evaluations of the rules.
        port: to listen on; None: a free one.
        retention: how long it keeps data: what is unusual is told by two months.
        say: takes lines for the user while something is built.

    Raises:
        StartError: it cannot be built, or did not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "global": {"evaluation_interval": f"{round(evaluation_seconds * 1000)}ms"},
        # What docs/metrics.md asks for.
        "storage": {"tsdb": {"out_of_order_time_window": "1h"}, "exemplars": {"max_exemplars": 100_000}},
        "rule_files": [str(path.resolve()) for path in rules],
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    url = f"http://{LOOPBACK}:{port or free_port()}"
    command = [
        str(fetch(say) / "prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--web.enable-otlp-receiver",
        "--web.enable-remote-write-receiver",
        "--enable-feature=exemplar-storage",
    ]
    process = processes.start("prometheus", command, env=environment(), ready=answers(f"{url}/-/ready"))
    return Prometheus(url, process)


def fetch(say: Callable[[str], None] = lambda _: None) -> Path:
    """Return the folder with prometheus, promtool, alertmanager and amtool, which are built once.

    The folder is named by the modules' versions and moved into place when it is whole.

    Raises:
        StartError: there is no Go, or a build failed.
    """
    kind = f"{sys.platform}-{platform.machine()}"
    name = hashlib.sha256(" ".join((*_MODULES, *_FLAGS, kind)).encode()).hexdigest()[:16]
    folder = CACHE / "prometheus" / name
    with build.only_one(folder.with_suffix(".lock")):
        if folder.is_dir():
            return folder
        try:
            go = build.find_go()
        except build.BuildError as error:
            raise StartError(str(error)) from error
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as staging:
            made = Path(staging) / "bin"
            for module in _MODULES:
                _install(go, module, made, say)
            made.rename(folder)
    return folder


def _install(go: Path, module: str, folder: Path, say: Callable[[str], None]) -> None:
    program = module.rpartition("/")[2].partition("@")[0]
    say(f"building {program} (once: two to four minutes for Prometheus and Alertmanager together)")
    done = subprocess.run(
        [str(go), "install", *_FLAGS, module],
        env=build.go_environment(os.environ, go) | {"GOBIN": str(folder), "CGO_ENABLED": "0"},
        cwd=folder.parent,  # no module of its own there
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip()
        raise StartError(
            f"{program} cannot be built from {module}: {build.advice(said) or said[-_LONGEST_WORDS:]}"
        )


if __name__ == "__main__":
    sys.stdout.write(f"{fetch(lambda line: print(line, flush=True))}\n")
