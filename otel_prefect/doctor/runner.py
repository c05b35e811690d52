"""Runs checks one after the other, each in bounded time and none with the power to end the others."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_prefect.doctor.findings import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_prefect.doctor.findings import Check, Surroundings

# A check that keeps to its deadline by itself says more than one that is left behind.
_GRACE_SECONDS: Final = 3.0


@dataclass
class Examined:
    """What one check came to.

    Attributes:
        check: its name.
        findings: what it found, in order.
        seconds: how long it took.
    """

    check: str
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0


def run(
    checks: Iterable[Check], surroundings: Surroundings, started: Callable[[str], None] = lambda _: None
) -> list[Examined]:
    """Run checks in order and return what they found.

    Each has ``surroundings.seconds`` and three more. One that takes longer is left behind in its thread, and
    that is a finding, as is an exception that a check did not expect.

    Args:
        checks: what to look at.
        surroundings: given to each.
        started: takes the name of a check when it begins.
    """
    return [_examine(check, surroundings, started) for check in checks]


def _examine(check: Check, surroundings: Surroundings, started: Callable[[str], None]) -> Examined:
    examined = Examined(check.name)
    began = time.monotonic()
    surroundings.deadline = began + surroundings.seconds
    started(check.name)
    # A daemon: nothing that hangs keeps the program from ending.
    thread = threading.Thread(target=_fill, args=(check, surroundings, examined.findings), daemon=True)
    thread.start()
    thread.join(surroundings.seconds + _GRACE_SECONDS)
    examined.findings = list(examined.findings)
    if thread.is_alive():
        examined.findings.append(
            Finding(
                check.name,
                Status.WRONG,
                f"not done after {surroundings.seconds:g} s",
                "run again with a longer --timeout",
            )
        )
    examined.seconds = time.monotonic() - began
    return examined


def _fill(check: Check, surroundings: Surroundings, findings: list[Finding]) -> None:
    try:
        for finding in check.run(surroundings):
            findings.append(finding)  # noqa: PERF402 - one by one: what was found stays where a later one hangs
    except Exception as error:  # a check that fails is a failed check
        said = " ".join(str(error).split())
        findings.append(
            Finding(check.name, Status.WRONG, f"the check itself failed: {type(error).__name__}: {said}")
        )
