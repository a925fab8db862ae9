"""Chromium for the tests of pages."""

from __future__ import annotations

import shutil

from playwright.sync_api import expect

from tests.unavailable import unavailable

TIMEOUT_MS = 30_000  # a page may share its cores with all the other tests
NAMES = ("chromium", "chromium-browser", "google-chrome")

expect.set_options(timeout=TIMEOUT_MS)


def find_chromium() -> str:
    """Return the path of a Chromium; without one the test is skipped, and fails in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or unavailable(f"no Chromium on PATH (tried {', '.join(NAMES)})")
