"""A real browser, for what people look at."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

# Debian's, and what others call it; where there is none, the one that `playwright install chromium` fetched.
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, and end it.

    The part of a test session that uses it must be over before anything asynchronous runs: playwright holds
    the thread's event loop.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    # In a container there is often no other user than root, with whom its sandbox does not start.
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
