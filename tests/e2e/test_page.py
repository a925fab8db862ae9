"""The page as a person uses it: Chromium, the real gateway, a dropped image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import TIMEOUT_MS, find_chromium
from tests.e2e.load import IMAGE
from tests.gateway.visit import Visit, file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.e2e.conftest import Demo


@pytest.fixture
def page() -> Iterator[Page]:
    """A fresh Chromium page; any error that it reports fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
        assert errors == []


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_dropped_image_is_classified(demo: Demo, page: Page, ending: str) -> None:
    # Given the page at the printed URL, with and without the slash after the stage
    visit = Visit(page, demo.url)
    visit.open(ending)
    # When a person drops a scan on it
    visit.hand_over("drop", file("scan <b>1</b>.png", content=IMAGE))
    # Then the prediction appears, with where the model found evidence
    page.locator("#answer").wait_for(state="visible", timeout=TIMEOUT_MS)
    assert page.locator("#label").inner_text() in {"YES", "NO"}
    assert "%" in page.locator("#probability").inner_text()
    assert page.locator("#heatmap").is_visible()
    # And the page warns that phantoms trained this model, and what it must not be used for
    assert "phantom" in page.locator("#warning").inner_text().lower()
    assert "not a medical device" in page.locator("body").inner_text().lower()
