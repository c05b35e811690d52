"""Fuzzes one check with atheris, which follows the branches that bytes take: ``make fuzz``.

    python -m tests.fuzz wire --seconds 60

The corpus is kept in ``.cache/fuzz`` and grows; what breaks a check is written there too, as ``crash-…``.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import atheris

# JSON is read by protobuf's Python code, so its branches are what to follow there.
with atheris.instrument_imports(include=["sidecar", "google.protobuf.json_format"]):
    from tests.fuzz import invariants, seeds

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "fuzz"
# Far above what the longest input takes; what needs longer, or more memory, is not linear.
_LONGEST_INPUT = 65_536
_LONGEST_SECONDS = 5
_MOST_MIB = 1024


def main() -> None:
    """Fuzz until the time is over; ends with an error where a check does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("check", choices=invariants.CHECKS)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    check = invariants.CHECKS[arguments.check]
    corpus = CACHE / arguments.check
    corpus.mkdir(parents=True, exist_ok=True)
    for choice, body in seeds.record().of(arguments.check):
        (corpus / f"seed-{hashlib.sha256(body).hexdigest()[:16]}").write_bytes(bytes([choice]) + body)

    def one_input(data: bytes) -> None:
        check(data[0] if data else 0, data[1:])

    options = [
        f"-max_total_time={arguments.seconds}",
        f"-max_len={_LONGEST_INPUT}",
        f"-timeout={_LONGEST_SECONDS}",
        f"-rss_limit_mb={_MOST_MIB}",
        f"-artifact_prefix={CACHE}/{arguments.check}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
