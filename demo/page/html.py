"""Puts the page together: all dashboards below each other, in one file without any other."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dashboards.boards import BOARDS
from demo.page import answers, drawing

if TYPE_CHECKING:
    from dashboards.panels import Board, Panel
    from demo.page.answers import Span
    from demo.prometheus import Prometheus

STYLE: Final = Path(__file__).with_name("style.css")


def page(server: Prometheus, span: Span) -> str:
    """Return the page.

    Raises:
        urllib.error.HTTPError: Prometheus does not take a query.
    """
    links = "".join(f'<a href="#{board.name}">{escape(board.title)}</a>' for board in BOARDS)
    boards = "".join(_board(board, server, span) for board in BOARDS)
    shown = f"{_at(span.start)} to {_at(span.end)}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>otel-prefect: dashboards</title><style>{STYLE.read_text()}</style></head><body>"
        f"<header><h1>otel-prefect</h1><nav>{links}</nav><p>{shown}</p></header>"
        f"<main>{boards}</main></body></html>\n"
    )


def _board(board: Board, server: Prometheus, span: Span) -> str:
    sections = "".join(
        f'<h3>{escape(section.title)}</h3><div class="grid">'
        + "".join(_panel(each, server, span) for each in section.panels)
        + "</div>"
        for section in board.sections
    )
    head = f"<h2>{escape(board.title)}</h2><p>{escape(board.about)}</p>"
    return f'<section id="{board.name}">{head}{sections}</section>'


def _panel(panel: Panel, server: Prometheus, span: Span) -> str:
    inside = drawing.panel(panel, answers.of(panel, server, span), span)
    return (
        f'<article style="--width:{panel.width}">'
        f'<h4 title="{escape(panel.meaning)}">{escape(panel.title)}</h4>'
        f"{inside}</article>"
    )


def _at(seconds: float) -> str:
    return time.strftime("%d %b %Y %H:%M UTC", time.gmtime(seconds))
