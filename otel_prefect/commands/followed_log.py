"""What a run that goes on says, read again and again without reading all of it each time."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_prefect.commands.sources.source import Source
    from otel_prefect.view.log_lines import Line


class FollowedLog:
    """The log of one run.

    Attributes:
        missing: what the last reading says is missing; empty where nothing is.
    """

    def __init__(self, source: Source, trace_id: str, began: float) -> None:
        """Begin with nothing.

        Args:
            source: what has the log.
            trace_id: 32 hex digits.
            began: when the run did, in seconds since 1970.
        """
        self.missing = ""
        self._source, self._trace_id, self._began = source, trace_id, began
        self._read_until = began
        self._seen: Counter[int] = Counter()

    def read(self, now: float, *, whole: bool = False) -> list[Line]:
        """Return the lines that are new since the last reading, by time.

        Args:
            now: seconds since 1970.
            whole: also those that came so late that a source does not look for them otherwise.
        """
        start = self._began if whole else self._read_until
        lines, self.missing = self._source.lines(self._trace_id, start, now)
        if not self.missing:
            self._read_until = now
        return self._new(lines)

    def _new(self, lines: Iterable[Line]) -> list[Line]:
        """Return the lines that were not read before; two alike are two."""
        seen: Counter[int] = Counter()
        new = []
        for line in lines:
            key = hash(json.dumps(dict(line.fields), sort_keys=True, default=str))
            seen[key] += 1
            if seen[key] > self._seen[key]:
                self._seen[key] += 1
                new.append(line)
        return new
