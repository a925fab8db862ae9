"""In Chromium: what the page says where the model says nothing, and the card that tells why."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

import pages
from tests.gateway.conftest import MODEL
from tests.gateway.sagemaker import Reply, model_error
from tests.gateway.visit import draw, file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.sagemaker import FakeSageMaker
    from tests.gateway.visit import Visit

WORDS = "The image does not look like a brain MRI: its score is 0.02, at least 0.37 is needed."
SCORES: dict[str, Any] = {"score": 0.0213, "score_threshold": 0.37}
MARKUP = '<img src=x onerror="window.hacked=1">'
WIDTHS = [{"viewport": {"width": width, "height": 640}} for width in (320, 1280)]


def refusal(detail: str = WORDS, **members: object) -> Reply:
    return model_error(422, json.dumps({"detail": detail, **members}))


def plot(*, width: int = 900, height: int = 500) -> str:
    """A drawn plot as a card holds it."""
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).line((40, height - 40, width - 40, 40), fill="navy", width=6)
    content = io.BytesIO()
    image.save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card with a plot, a foreign image, and a table that is wider than a phone."""
    columns = ("architecture", *(f"interval_number_{number}" for number in range(12)))
    table = "\n".join(
        f"| {' | '.join(row)} |" for row in (columns, ["---"] * 13, ["0.911 (0.865 to 0.952)"] * 13)
    )
    text = f"# The card\n\n![Calibration]({plot()})\n\n{table}\n\n![no]({'https'}://example.org/x.png)\n"
    path = tmp_path / "model-card.md"
    path.write_text(text)
    monkeypatch.setattr(pages, "MODEL_CARD", path)
    pages._card.cache_clear()


def test_a_refusal_is_told_kindly_with_its_score_and_what_may_help(
    visit: Visit, sagemaker: FakeSageMaker
) -> None:
    # Given a model that takes an image for no brain MRI
    sagemaker.default = refusal(**SCORES)
    visit.open()

    # When it is asked about it
    visit.choose(file())

    # Then the reason, the score in words and what to do stand there, and nothing of an error
    refused = visit.page.locator("#refusal")
    expect(refused).to_be_visible()
    expect(refused.get_by_role("heading", level=2)).to_have_text("The model cannot judge this image")
    expect(visit.page.locator("#reason")).to_have_text(WORDS)
    expect(visit.page.locator("#score")).to_have_text("2.1\u00a0%")
    expect(visit.page.locator("#needed")).to_have_text("judged from 37.0\u00a0%")
    expect(visit.page.locator("#likeness")).to_have_accessible_name(re.compile(r"2\.1.%.*37\.0.%"))
    expect(refused.get_by_role("listitem")).to_have_count(3)
    expect(refused).to_contain_text("One slice")
    expect(refused).to_contain_text("uncropped")
    expect(refused).to_contain_text("JPEG or PNG")
    expect(refused).to_contain_text("c6af9ac6-7b61-11e6-9a41-93e8deadbeef")
    expect(visit.page.locator("#title")).to_be_hidden()
    expect(visit.page.get_by_role("button", name="Try again")).to_be_hidden()
    expect(visit.page.locator("#status")).to_contain_text(WORDS)

    # And another image can be given at once
    sagemaker.default = Reply()
    visit.choose(file("another.png"))
    visit.expect_answer("YES")
    expect(refused).to_be_hidden()


def test_the_bar_stands_where_the_score_is(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = refusal(score=0.25, score_threshold=0.75)
    visit.page.emulate_media(reduced_motion="reduce")
    visit.open()

    visit.choose(file())

    expect(visit.page.locator("#refusal")).to_be_visible()
    bar, filled, mark = (visit.page.locator(f"#likeness{part}").bounding_box() for part in ("", " i", " u"))
    assert bar
    assert filled
    assert mark
    assert filled["width"] / bar["width"] == pytest.approx(0.25, abs=0.01)
    assert (mark["x"] + mark["width"] / 2 - bar["x"]) / bar["width"] == pytest.approx(0.75, abs=0.01)


def test_a_refusal_by_a_rule_shows_no_score(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given a refusal by score, and after it one by a rule
    sagemaker.replies.append(refusal(**SCORES))
    sagemaker.replies.append(refusal("The image is blank or nearly so."))
    visit.open()
    visit.choose(file())
    expect(visit.page.locator("#scored")).to_be_visible()

    visit.choose(file("blank.png"))

    expect(visit.page.locator("#reason")).to_have_text("The image is blank or nearly so.")
    expect(visit.page.locator("#scored")).to_be_hidden()


def test_a_refusals_words_are_shown_as_text(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = refusal(MARKUP, **SCORES)
    visit.open()

    visit.choose(file())

    expect(visit.page.locator("#reason")).to_have_text(MARKUP)
    assert visit.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("suffix", ["", "/"])
@pytest.mark.parametrize("place", ["footer", "#refusal"])
@pytest.mark.usefixtures("card")
def test_the_model_card_is_a_click_away(
    visit: Visit, sagemaker: FakeSageMaker, suffix: str, place: str
) -> None:
    # Given the page, with and without the stage's slash, and its refusal
    sagemaker.default = refusal(**SCORES)
    visit.open(suffix)
    visit.choose(file())

    # When the link is followed
    visit.page.locator(place).get_by_role("link", name="model card").click()

    # Then the card is there, and a link leads back
    expect(visit.page).to_have_url(f"{visit.url}/model-card")
    expect(visit.page.get_by_role("heading", name="The card")).to_be_visible()
    visit.page.get_by_role("link", name="Classify an image").click()
    expect(visit.page.locator("#drop")).to_be_visible()


@pytest.mark.parametrize("visit", WIDTHS, indirect=True)
@pytest.mark.usefixtures("card")
def test_the_cards_plots_and_tables_fit_any_screen(visit: Visit) -> None:
    visit.page.goto(f"{visit.url}/model-card")

    # The plot is loaded, whole, in its own shape and no wider than the text; the foreign image is text
    image = visit.page.get_by_role("img", name="Calibration")
    assert visit.page.locator("img").count() == 1
    assert image.evaluate("it => [it.naturalWidth, it.naturalHeight]") == [900, 500]
    box = image.bounding_box()
    assert box
    assert box["width"] / box["height"] == pytest.approx(1.8, rel=0.01)
    # The table scrolls by itself, the page does not
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    table = visit.page.get_by_role("region", name="Table: architecture")
    assert table.evaluate("it => it.scrollWidth > it.clientWidth")
    last = visit.page.get_by_role("columnheader", name="interval_number_11")
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport()
    assert visit.page.evaluate("scrollX") == 0


@pytest.mark.parametrize("visit", WIDTHS, indirect=True)
def test_a_refusal_fits_any_screen(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = refusal("word" * 100, score=0.0001, score_threshold=0.9999)
    visit.open()

    visit.choose(file(content=draw(500, 200)))

    expect(visit.page.locator("#refusal h2")).to_be_in_viewport()
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


class TestForcedModel:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        model = {**MODEL, "gates_failed": ["beats_metadata"], "forced": f"a vote {MARKUP}"}
        return {**environment, "MODEL": json.dumps(model)}

    def test_the_page_says_that_it_was_forced_and_why(self, visit: Visit) -> None:
        visit.open()

        warning = visit.page.locator("#warning")
        expect(warning).to_contain_text("did not pass its quality gates (beats_metadata)")
        expect(warning).to_contain_text(f"The reason given: a vote {MARKUP}")
