"""The page as a person uses it: Chromium, the real gateway, a dropped image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import TIMEOUT_MS
from tests.e2e.load import IMAGE
from tests.gateway.visit import Visit, file

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.conftest import Demo


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
