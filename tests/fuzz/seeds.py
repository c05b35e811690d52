"""What fuzzers start from: what the encoders of ``tests/encoders`` send."""

from __future__ import annotations

import gzip
import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from backports import zstd

from otel_prefect import semconv
from sidecar.otlp import METRICS
from tests.encoders import programs
from tests.encoders.recorder import read_body, recording
from tests.fuzz import invariants
from tests.fuzz.invariants import SIGNALS
from tests.support import otlp_sink
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterable

# The first is that of the encoders' own Resources.
_RUNS = (
    "3c32c202-9955-4b90-b936-5fbd34f1a6d5",
    "0190b7a5-7a7c-7000-8000-0123456789ab",
    "7f8c1d2e-0000-4000-8000-000000000001",
)


class Seed(NamedTuple):
    """A request: the position of its signal in ``SIGNALS``, and its bytes."""

    signal: int
    body: bytes

    def __repr__(self) -> str:
        return f"<{len(self.body)} bytes of {SIGNALS[self.signal].name}>"


class Seeds(NamedTuple):
    """Distinct requests, in protobuf and in JSON."""

    protobuf: list[Seed]
    json: list[Seed]

    def of(self, check: str) -> Iterable[tuple[int, bytes]]:
        """Return the choice and the bytes of each seed for a check of ``invariants.CHECKS``."""
        if check == "json":
            return self.json
        if check == "wire":
            return self.protobuf
        if check == "regroup":
            return [*self.protobuf, *map(_of_several_runs, self.protobuf)]
        bodies = [seed.body for seed in self.protobuf]
        return [
            *((0, gzip.compress(body)) for body in bodies),
            *((1, zstd.compress(body)) for body in bodies),
        ]


def _of_several_runs(seed: Seed) -> Seed:
    """Return a request of which every other span or log record names one of three runs."""
    signal = SIGNALS[seed.signal]
    message = invariants.parse(signal, seed.body)
    for number, record in enumerate(invariants.records(signal, message)):
        if signal is not METRICS and number % 2:
            record.attributes.add(key=semconv.RECORD_FLOW_RUN_ID).value.string_value = _RUNS[number // 2 % 3]
    return Seed(seed.signal, message.SerializeToString())


class _Acknowledge(QuietHandler):
    """Takes everything, in chunks too."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        read_body(self.rfile, self.headers)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()


def record(languages: Iterable[str] = programs.LANGUAGES) -> Seeds:
    """Run the encoders of these languages and return what they sent."""
    names = [signal.name for signal in SIGNALS]
    found: dict[str, set[Seed]] = {"protobuf": set(), "json": set()}
    with otlp_sink.serving() as sink, serving(_Acknowledge) as http_port:
        for language in languages:
            with recording(sink.grpc_port) as by_grpc, recording(http_port) as by_http:
                environ = {**os.environ, "ENCODER_GRPC": by_grpc.address, "ENCODER_HTTP": by_http.address}
                subprocess.run(programs.command(language), env=environ, check=True, capture_output=True)
                for sent in (*by_grpc.requests(), *by_http.requests()):
                    path = sent.path.lower()
                    signal = next(n for n, name in enumerate(names) if name.removesuffix("s") in path)
                    kind = "json" if sent.content_type == "application/json" else "protobuf"
                    found[kind].add(Seed(signal, sent.body))
    return Seeds(sorted(found["protobuf"]), sorted(found["json"]))
