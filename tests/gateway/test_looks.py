"""Every state of the page in Chromium: clean to axe-core, readable and whole in both themes at every width.

`pytest tests/gateway/test_looks.py --screenshots` also draws the pictures that stand in the README.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import pages
from tests.gateway.looks import LOOKS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.gateway.looks import Look
    from tests.gateway.sagemaker import FakeSageMaker
    from tests.gateway.visit import Visit

HERE = Path(__file__).parent
SCREENSHOTS = HERE / "screenshots"
CARD = HERE.parent / "fixtures" / "releases" / "dev.79c2d1f307e0.model-card.md"
HEIGHTS = {320: 640, 1280: 860, 1920: 1080, 3840: 2160}
# Of the pictures, each state's theme and width; of the other states there is none.
SHOTS = {
    "empty": [("light", 1280), ("light", 320)],
    "sending": [("light", 1280)],
    "looking": [("dark", 1280)],
    "waking": [("dark", 1280)],
    "yes": [("light", 1280), ("dark", 320)],
    "no": [("dark", 1280)],
    "beside": [("light", 1280)],
    "several": [("light", 1280), ("light", 320), ("dark", 3840)],
    "under-way": [("dark", 1280)],
    "refusal": [("light", 1280)],
    "problem": [("light", 1280)],
    "no-image": [("dark", 320)],
    "history": [("light", 1280)],
    "phantom": [("light", 1280)],
    "api-key": [("dark", 1280)],
    "cognito": [("light", 1280)],
    "iam": [("dark", 1280)],
}
MOST_PIXELS = 1000  # in a picture's width: larger screens are shown smaller
QUALITY = 55
MOST_BYTES = 600_000  # of all pictures


@pytest.fixture
def look(request: pytest.FixtureRequest) -> Look:
    found: Look = LOOKS[request.param]
    return found


@pytest.fixture
def environment(environment: dict[str, str], look: Look) -> dict[str, str]:
    return {**environment, **look.environment}


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MODEL_CARD", CARD)
    pages._card.cache_clear()


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("look", LOOKS, indirect=True)
def test_it_is_right_for_everybody(
    visit: Visit, sagemaker: FakeSageMaker, look: Look, request: pytest.FixtureRequest
) -> None:
    visit.page.emulate_media(reduced_motion="reduce")
    visit.page.set_viewport_size({"width": 1280, "height": HEIGHTS[1280]})
    look.reach(visit, sagemaker)

    for theme, width in (("light", 1280), ("dark", 320)):
        show(visit.page, theme, width)
        assert visit.violations() == [], (theme, width)
        assert visit.faint_texts() == [], (theme, width)
    for width in HEIGHTS:
        show(visit.page, "dark", width)
        assert visit.fits(), width
    if request.config.getoption("--screenshots"):
        name = request.node.callspec.params["look"]
        for theme, width in SHOTS.get(name, []):
            show(visit.page, theme, width)
            keep(visit.page.screenshot(full_page=True), SCREENSHOTS / picture_of(name, theme, width))


def picture_of(name: str, theme: str, width: int) -> str:
    return f"{name}-{theme}-{width}.webp"


def show(page: Page, theme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")


def keep(picture: bytes, path: Path) -> None:
    """Write a small file, about as wide as a page of text is."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    if image.width > MOST_PIXELS:
        height = round(image.height * MOST_PIXELS / image.width)
        image = image.resize((MOST_PIXELS, height), Image.Resampling.LANCZOS)
    path.parent.mkdir(exist_ok=True)
    image.save(path, quality=QUALITY, method=6)


def test_the_pictures_are_small_and_no_state_lacks_its() -> None:
    expected = {picture_of(name, theme, width) for name, shots in SHOTS.items() for theme, width in shots}
    files = list(SCREENSHOTS.iterdir())
    assert {path.name for path in files} == expected
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert LOOKS.keys() - SHOTS.keys() == {"docs", "card"}
