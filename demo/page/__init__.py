"""A page of the shipped dashboards with a running Prometheus's answers: what Grafana shows, in one file.

``answers`` asks the dashboards' own queries, ``units`` writes numbers, ``drawing`` draws a panel, ``html``
puts the page together.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from demo.page import answers, html

if TYPE_CHECKING:
    from pathlib import Path

    from demo.prometheus import Prometheus


def write(path: Path, server: Prometheus, seconds: float, now: float | None = None) -> Path:
    """Write the page, and return its path.

    Args:
        path: of the HTML file.
        server: has the metrics.
        seconds: before now that are shown.
        now: the end of the range, in seconds since 1970; None: now.
    """
    span = answers.Span(time.time() if now is None else now, seconds)
    path.write_text(html.page(server, span), encoding="utf-8")
    return path
