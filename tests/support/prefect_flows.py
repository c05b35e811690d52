"""Runs the flows of ``tests/support/flows`` as a user's containers do, and reads their spans back."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from demo.processes import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.prefect_server import PrefectServer
    from tests.support.otlp_sink import OtlpSink, Received

FOLDER = Path(__file__).parent / "flows"
BIN = Path(sys.executable).parent


def variables(server: PrefectServer, sink: OtlpSink) -> dict[str, str]:
    """Return the environment of a process of the pipeline: the plugin, and polling twice a second."""
    return environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}",
            "PREFECT_PLUGINS_ENABLED": "1",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            **server.variables(),
        }
    )


def run(server: PrefectServer, sink: OtlpSink, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python in the flows' folder to its end."""
    return subprocess.run(
        [sys.executable, *command],
        env={**variables(server, sink), **env},
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@contextmanager
def running(server: PrefectServer, sink: OtlpSink, *command: str) -> Iterator[None]:
    """Keep a program of Python running in the flows' folder for the block."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env=variables(server, sink),
        cwd=FOLDER,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


class Spans:
    """The spans that a sink has received, by name and as a tree."""

    def __init__(self, sink: OtlpSink) -> None:
        self.all = sorted(sink.spans(), key=lambda span: span.record.start_time_unix_nano)
        self._by_id = {span.record.span_id: span for span in self.all}
        assert len(self._by_id) == len(self.all)

    def named(self, name: str) -> list[Received]:
        """Return the spans of a name, by start."""
        return [span for span in self.all if span.record.name == name]

    def one(self, name: str) -> Received:
        """Return the only span of a name."""
        (found,) = self.named(name)
        return found

    def parent(self, span: Received) -> str | None:
        """Return the name of a span's parent; None for a root."""
        if not span.record.parent_span_id:
            return None
        return str(self._by_id[span.record.parent_span_id].record.name)

    def tree(self) -> list[str]:
        """Return the names in order of start, each indented by one space below its parent's."""

        def below(parent: bytes, indent: str) -> Iterator[str]:
            for span in self.all:
                if span.record.parent_span_id == parent:
                    yield indent + span.record.name
                    yield from below(span.record.span_id, indent + " ")

        lines = list(below(b"", ""))
        assert len(lines) == len(self.all), f"spans without their parent: {lines}"
        return lines

    def linked(self, span: Received) -> list[str]:
        """Return the names of the spans that a span is linked to."""
        return [self._by_id[link.span_id].record.name for link in span.record.links]


def status(span: Received) -> str:
    """Return a span's status: OK, ERROR or UNSET."""
    return str(span.record.status.StatusCode.Name(span.record.status.code)).removeprefix("STATUS_CODE_")


def state(span: Received) -> tuple[str, str]:
    """Return the type and name of the state that a run's span says it ended in."""
    return span.attributes["prefect.state.type"], span.attributes["prefect.state.name"]


def exceptions(span: Received) -> list[str]:
    """Return the types of the exceptions that a span has recorded."""
    found = [event for event in span.record.events if event.name == "exception"]
    return [
        attribute.value.string_value
        for event in found
        for attribute in event.attributes
        if attribute.key == "exception.type"
    ]
