"""What a check finds, and what it is told."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from otel_prefect.collector import destination
from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_prefect import semconv
    from otel_prefect.doctor.aws import Aws


class Status(Enum):
    """How it is with one thing."""

    RIGHT = "ok"
    NOTE = "note"
    """Works, and is worth knowing; no reason to fail."""
    WRONG = "wrong"
    SKIPPED = "skipped"
    """Could not be looked at, or need not be."""


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        what: what was looked at.
        status: how it is.
        said: what was found, in a sentence.
        mend: the one command or variable that mends it; empty where there is none.
        statement: the statement of a policy that mends it.
    """

    what: str
    status: Status
    said: str
    mend: str = ""
    statement: Mapping[str, Any] | None = None


@dataclass
class Surroundings:
    """What checks look at, and what earlier ones have learnt for later ones.

    Attributes:
        environ: the variables.
        send: whether a test span and log line may be sent.
        seconds: how long a check may take.
        deadline: when the running check has to be done, in seconds of the monotonic clock; by the runner.
        aws: AWS as these variables lead to it; asks nothing until it is used.
        sidecar_healthy: whether the sidecar has said that it is well; None while it was not asked.
        sidecar_takes: whether it takes what is sent to it; None while nothing was.
        credentials: what is wrong with AWS's, as the end of a sentence; empty while nothing is known to be.
        denied: layers that AWS refuses something to that they need.
    """

    environ: Mapping[str, str]
    aws: Aws
    send: bool = True
    seconds: float = 30.0
    deadline: float = 0.0
    sidecar_healthy: bool | None = None
    sidecar_takes: bool | None = None
    credentials: str = ""
    denied: set[str] = field(default_factory=set)

    @cached_property
    def picked(self) -> destination.Picked | None:
        """The layer that ``auto`` is; None where it is not written. X-Ray is asked once."""
        return destination.pick(self.environ) if destination.is_asked_for(self.environ) else None

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The layers that data goes to, as ``signal/name``; none where a variable cannot be used.

        The check ``destinations`` says so then. ``auto`` is the layer that it would be for a sidecar.
        """
        environ = self.environ
        if self.picked is not None:
            environ = destination.with_layers(environ, self.picked.layer)
        try:
            return collector.layers(environ)
        except collector.UnknownLayer:
            return ()

    def value(self, variable: semconv.Variable) -> str:
        """Return a variable's value, its default where it is unset or empty."""
        return self.environ.get(variable.name) or variable.default

    def left(self) -> float:
        """Return the seconds that the running check has left, 0.1 at least."""
        return max(self.deadline - time.monotonic(), 0.1)


@dataclass(frozen=True)
class Check:
    """One subject.

    Attributes:
        name: as ``--only`` takes it.
        run: finds; it may raise, which is a finding too.
    """

    name: str
    run: Callable[[Surroundings], Iterable[Finding]]
