"""The page as a person uses it: Chromium, the real gateway, a dropped image."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import TIMEOUT_MS, find_chromium
from tests.e2e.load import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.e2e.conftest import Demo

DROP = """
([encoded, name]) => {
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type: "image/png" }));
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}
"""


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
    page.goto(demo.url + ending)
    # When a person drops a scan on it
    page.evaluate(DROP, [base64.b64encode(IMAGE).decode(), "scan <b>1</b>.png"])
    # Then the prediction appears, with where the model found evidence
    page.locator("#answer").wait_for(state="visible", timeout=TIMEOUT_MS)
    assert page.locator("#label").inner_text() in {"YES", "NO"}
    assert "%" in page.locator("#probability").inner_text()
    assert page.locator("#heatmap").is_visible()
    # And the page warns that phantoms trained this model, and what it must not be used for
    assert "phantom" in page.locator("#warning").inner_text().lower()
    assert "not a medical device" in page.locator("body").inner_text().lower()
