"""Which runs somebody may have meant who asked for one that is not there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from otel_prefect.view import runs

if TYPE_CHECKING:
    from otel_prefect.prefect.api import Api
    from otel_prefect.view.runs import Run

_MOST: Final = 3
_LEAST_LIKENESS: Final = 0.7


def near(api: Api, asked: str) -> list[Run]:
    """Return the runs of late whose names or ids are like what was asked for; the newest where none is.

    Args:
        api: Prefect's.
        asked: a name or an id.

    Raises:
        NotFound: Prefect cannot be asked.
    """
    newest = runs.newest(api, runs.Wanted(limit=runs.PAGE))
    by_text = {text.lower(): run for run in reversed(newest) for text in (run.name, run.id)}
    alike = difflib.get_close_matches(asked.lower(), by_text, _MOST, _LEAST_LIKENESS)
    return [by_text[text] for text in alike] or newest[:_MOST]
