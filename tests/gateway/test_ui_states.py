"""Every state of the page in Chromium: accessible, readable and complete in both themes at every width.

`pytest tests/gateway/test_ui_states.py --screenshots` also redraws the screenshots of the documentation.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.gateway.ui_states import UI_STATES

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.gateway.sagemaker import FakeSageMaker
    from tests.gateway.ui_states import UiState
    from tests.gateway.visit import Visit

HERE = Path(__file__).parent
SCREENSHOTS = HERE / "screenshots"
HEIGHTS = {320: 640, 1280: 860, 1920: 1080, 3840: 2160}
MAX_WIDTH = 1000  # in pixels: wider screens are scaled down
QUALITY = 55
MAX_BYTES = 600_000  # of all screenshots


@pytest.fixture(params=UI_STATES)
def state(request: pytest.FixtureRequest) -> UiState:
    state: UiState = UI_STATES[request.param]
    return state


@pytest.fixture
def environment(environment: dict[str, str], state: UiState) -> dict[str, str]:
    return {**environment, **state.environment}


def test_each_state_is_accessible_at_every_width(
    visit: Visit, sagemaker: FakeSageMaker, state: UiState, request: pytest.FixtureRequest
) -> None:
    visit.page.emulate_media(reduced_motion="reduce")
    visit.page.set_viewport_size({"width": 1280, "height": HEIGHTS[1280]})
    state.steps(visit, sagemaker)
    for theme, width in (("light", 1280), ("dark", 320)):
        show(visit.page, theme, width)
        assert visit.violations() == [], (theme, width)
    for width in HEIGHTS:
        show(visit.page, "dark", width)
        assert visit.has_no_overflow(), width
    if request.config.getoption("--screenshots"):
        name = request.node.callspec.params["state"]
        for theme, width in state.shots:
            show(visit.page, theme, width)
            save(visit.page.screenshot(full_page=True), SCREENSHOTS / file_name(name, theme, width))


def file_name(name: str, theme: str, width: int) -> str:
    return f"{name}-{theme}-{width}.webp"


def show(page: Page, theme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")


def save(screenshot: bytes, path: Path) -> None:
    """Write a small file, about as wide as a page of text."""
    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    if image.width > MAX_WIDTH:
        height = round(image.height * MAX_WIDTH / image.width)
        image = image.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
    path.parent.mkdir(exist_ok=True)
    image.save(path, quality=QUALITY, method=6)


def test_each_state_has_its_screenshots_and_they_are_small() -> None:
    expected = {
        file_name(name, theme, width) for name, state in UI_STATES.items() for theme, width in state.shots
    }
    files = list(SCREENSHOTS.iterdir())
    assert {path.name for path in files} == expected
    assert sum(path.stat().st_size for path in files) < MAX_BYTES
