"""The sidecar's own log: one JSON object a line on stderr, as the Collector's log has it beside this one."""

from __future__ import annotations

import json
import logging
import sys


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object, with the Collector's names for level, time and message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        line = {
            "level": record.levelname.lower(),
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def install() -> None:
    """Send everything from INFO up to stderr in that form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
