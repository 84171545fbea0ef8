"""Debian's Chromium, driven by Playwright: what the browser tests and the screenshots look through."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scripts.processes import LocalError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # only loopback pages are shown, and containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
PATIENCE = 30_000.0  # milliseconds that a page may take to show something


def executable() -> str:
    """Where the machine's browser is.

    :raises LocalError: if there is none, saying what to install
    """
    for name in NAMES:
        if found := shutil.which(name):
            return found
    raise LocalError("there is no Chromium on this machine. On Debian: apt-get install -y chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser with a profile of its own.

    :raises LocalError: if the machine has none
    """
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
