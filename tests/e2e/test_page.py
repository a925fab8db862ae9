"""The page as a person meets it: Chromium, the real gateway, a dropped image."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from model import phantom
from tests.browser import find_chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.e2e.conftest import Laptop

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
def page(laptop: Laptop) -> Iterator[Page]:
    """A fresh Chromium page; anything that it reports on its console fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        browser.close()
        assert complaints == []


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_dropped_image_is_classified(laptop: Laptop, page: Page, ending: str) -> None:
    # Given the page at the printed URL, with and without the slash after the stage
    page.goto(laptop.url + ending)
    # When a person drops a scan on it
    image = phantom.png(seed=7, lesion=True)
    page.evaluate(DROP, [base64.b64encode(image).decode(), "scan <b>1</b>.png"])
    # Then the reading appears: what the same image is answered over HTTP, and where the model looked
    page.locator("#answer").wait_for(state="visible", timeout=30_000)
    assert page.locator("#label").inner_text() in {"YES", "NO"}
    assert "%" in page.locator("#probability").inner_text()
    assert page.locator("#heatmap").is_visible()
    # And the page says that drawings trained this model, and what it must not be used for
    assert "phantom" in page.locator("#warning").inner_text().lower()
    assert "not a medical device" in page.locator("body").inner_text().lower()
