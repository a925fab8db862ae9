"""Chromium for the tests that look at a page."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import expect

PATIENCE_MS = 30_000  # a page may share its cores with all the other tests
NAMES = ("chromium", "chromium-browser", "google-chrome")

expect.set_options(timeout=PATIENCE_MS)


def find_chromium() -> str:
    """Return the path of a Chromium; skip the test where there is none, and fail it in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"no Chromium on PATH (tried {', '.join(NAMES)})"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}: CI must have one")
        pytest.skip(reason)
    return found
