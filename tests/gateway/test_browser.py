"""One image in the page in Chromium: how it comes in, and how its answer, refusal or problem is shown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.gateway.conftest import MODEL
from tests.gateway.sagemaker import HEATMAP, attributes, model_error, prediction, refusal
from tests.gateway.visit import Visit, draw, file
from tests.http_server import Reply

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload

    from tests.gateway.sagemaker import FakeSageMaker

REASON = "The image does not look like a brain MRI: its score is 0.25, at least 0.75 is needed."
SCORES: dict[str, Any] = {"score": 0.25, "score_threshold": 0.75}
MARKUP = '<img src=x onerror="window.hacked=1">'


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_an_image_can_be_chosen_dropped_or_pasted(visit: Visit, sagemaker: FakeSageMaker, way: str) -> None:
    # When an image is given to the page
    image = file()
    visit.open()
    if way == "choose":
        visit.choose(image)
    else:
        visit.hand_over(way, image)
    # Then its bytes reach the endpoint unchanged, and the answer is shown
    visit.expect_answer("YES")
    assert sagemaker.calls[0].body == image["buffer"]
    assert attributes(sagemaker.calls[0])["heatmap"] == "true"
    expect(visit.page.locator("#probability")).to_have_text("93.0\u00a0%")
    expect(visit.page.locator("#bar")).to_have_accessible_name(re.compile(r"93\.0.%.*41\.0.%"))
    expect(visit.page.locator("#image")).to_be_visible()
    expect(visit.page.locator("#status")).to_contain_text("YES")
    expect(visit.page.locator("#warning")).to_be_hidden()


def test_the_keyboard_alone_is_enough(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = prediction(heatmap=HEATMAP)
    visit.page.on("filechooser", lambda chooser: chooser.set_files(file()))
    visit.open()

    # Given the first stop of the Tab key, with a visible focus
    visit.page.keyboard.press("Tab")
    assert visit.page.locator("#drop").evaluate("it => getComputedStyle(it).outlineStyle") == "solid"

    # When the Enter key opens the file chooser there and a file is chosen
    visit.page.keyboard.press("Enter")

    # Then the answer comes, and Tab reaches every control of it
    visit.expect_answer("YES")
    reached = []
    for _ in range(7):
        visit.page.keyboard.press("Tab")
        reached.append(visit.page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    meaning = "What do these numbers mean?"
    assert reached == ["remove", "", "opacity", meaning, "Model card", "remember", "Model card"]
    # And an arrow key puts the heatmap beside the image
    visit.page.locator("[name=layout]").first.focus()
    visit.page.keyboard.press("ArrowRight")
    expect(visit.page.locator("#original")).to_be_visible()


def test_a_cancelled_request_stays_cancelled_and_keeps_the_focus(
    visit: Visit, sagemaker: FakeSageMaker
) -> None:
    sagemaker.default = Reply(delay_s=0.5)
    visit.submit()
    visit.page.get_by_role("button", name="Cancel").focus()
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#result")).to_be_focused()
    visit.page.keyboard.press("Tab")
    expect(visit.page.get_by_role("button", name="Try again")).to_be_focused()
    visit.page.wait_for_timeout(700)
    visit.expect_problem("Cancelled", "not classified")


def test_the_heatmap_lies_exactly_over_the_image(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given evidence at the right of an image that is not square, strong evidence at the bottom
    sagemaker.default = prediction(heatmap=HEATMAP)
    visit.classify(file(content=draw(500, 200)))

    # Then the overlay covers the image: clear at the left, the more opaque the stronger at the right
    canvas = visit.page.locator("#heatmap")
    expect(canvas).to_be_visible()
    box = visit.box("#heatmap")
    assert box == visit.box("#image")
    assert box["width"] / box["height"] == pytest.approx(2.5, rel=0.02)
    channels = canvas.evaluate("it => [...it.getContext('2d').getImageData(0, 0, 2, 2).data]")
    assert channels[3::4] == [0, 76, 0, 255]
    assert channels[12] > channels[14], "warm"

    # And the slider fades it from the keyboard
    visit.page.get_by_label("Heatmap", exact=True).press("Home")
    assert canvas.evaluate("it => it.style.opacity") == "0"


@pytest.mark.parametrize(
    ("label", "values", "box"),
    [
        ("YES", [[0.9, 0, 0.4], [0.45, 0, 0.4], [0, 0.8, 0.4]], [0, 0, 1, 2]),
        ("YES", [[0, 0.1, 0.9], [0, 0.5, 1.0], [0, 0.49, 0]], [1, 0, 2, 2]),
        ("YES", [[0.7, 0.7, 0.7]] * 3, [0, 0, 3, 3]),
        ("YES", [[0, 0, 0]] * 3, None),
        ("NO", [[0, 0.6, 0]] * 3, None),
    ],
)
def test_the_connected_cells_from_half_of_the_maximum_are_outlined(
    visit: Visit, sagemaker: FakeSageMaker, label: str, values: list[list[float]], box: list[int] | None
) -> None:
    heatmap = {"width": 3, "height": 3, "values": values}
    sagemaker.default = prediction(label=label, **{"class": int(label == "YES")}, heatmap=heatmap)
    visit.classify(label=label)
    outline = visit.page.locator("#outline")
    found = outline.evaluate("it => ['x', 'y', 'width', 'height'].map((name) => it.getBBox()[name])")
    assert found == (box or [0, 0, 0, 0])
    assert visit.box("#outline") == visit.box("#image")
    expect(visit.page.locator("#region")).to_have_text(re.compile("strongest" if box else "No region"))


def test_a_low_reliability_is_said_with_its_reasons(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given an answer of low reliability: it is said beside the answer and aloud
    sagemaker.replies.append(prediction(reliability="low", reasons=["One.", MARKUP]))
    visit.classify(file("unsure.png"))
    said = f"Low reliability: One. {MARKUP}"
    expect(visit.page.locator("#doubt")).to_have_text(said)
    expect(visit.page.locator("#doubt")).to_be_visible()
    expect(visit.page.locator("#status")).to_contain_text(said)
    # When another image is answered, it is in the table only
    visit.choose(file("sure.png"))
    expect(visit.page.locator("#doubt")).to_be_hidden()
    expect(visit.page.locator("#rows th .small")).to_have_text([said])


def test_the_heatmap_can_stand_beside_the_image_and_goes_with_its_answer(
    visit: Visit, sagemaker: FakeSageMaker
) -> None:
    # Given an answer with a heatmap beside the image
    sagemaker.replies.extend([prediction(heatmap=HEATMAP), Reply(delay_s=0.5)])
    visit.classify()
    visit.page.get_by_label("Side by side").check()
    plain, covered = visit.box("#original"), visit.box("#image")
    assert covered == visit.box("#heatmap")
    assert (plain["y"], plain["height"]) == (covered["y"], covered["height"])
    assert plain["x"] + plain["width"] <= covered["x"]

    # When another image is answered without one
    visit.choose(file("another.png"))

    # Then no heatmap is shown, neither while it is classified nor with its answer
    expect(visit.page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    expect(visit.page.locator("#heatmap")).to_be_hidden(timeout=1)
    visit.expect_answer("YES")
    for name in ("heatmap", "heatmap-controls", "original"):
        expect(visit.page.locator(f"#{name}")).to_be_hidden()
    expect(visit.page.locator("#image")).to_be_visible()


def test_a_negative_prediction_is_explained(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = prediction(label="NO", **{"class": 0}, probability=0.0004)
    visit.classify(label="NO")
    expect(visit.page.locator("#probability")).to_have_text("<\u00a00.1\u00a0%")
    expect(visit.page.locator("#explanation")).to_contain_text("below")
    visit.page.get_by_text("What do these numbers mean?").click()
    expect(visit.page.locator("#frequency")).to_contain_text("Of 100 images")
    expect(visit.page.locator("#frequency")).to_contain_text("fewer than 1 should show a tumour")


@pytest.mark.parametrize(
    ("given", "title", "detail"),
    [
        (file("scan.gif", "image/gif", b"GIF89a"), "Unsupported file", "image/gif"),
        (file("text.png", content=b"a text"), "Unsupported file", "of type image/png. Choose a JPEG, PNG or"),
        (file("IM0001", "", b"\x08\0\5\0CS"), "Unsupported file", "Choose a JPEG, PNG or DICOM image"),
        (file("empty.png", content=b""), "Empty file", "no content"),
        (
            file("large.png", content=bytes(4 * 2**20 + 1)),
            "Too large",
            "4.1\u00a0MiB; the limit is 4\u00a0MiB",
        ),
    ],
)
def test_an_invalid_file_is_not_sent(
    visit: Visit, sagemaker: FakeSageMaker, given: FilePayload, title: str, detail: str
) -> None:
    visit.submit(given)
    visit.expect_problem(title, detail)
    expect(visit.page.locator("#retry")).to_be_hidden()
    assert not any("predict" in url for url in visit.requests)
    assert not sagemaker.calls


def test_a_problem_shows_the_containers_detail(visit: Visit, sagemaker: FakeSageMaker) -> None:
    detail = "The JPEG is lossless."
    sagemaker.default = model_error(415, json.dumps({"detail": detail}))
    visit.submit(file(content=b"\xff\xd8\xff\xf7"))
    visit.expect_problem("Unsupported file", detail)
    expect(visit.page.locator("#reference")).to_contain_text("c6af9ac6-7b61-11e6-9a41-93e8deadbeef")
    expect(visit.page.locator("#frame")).to_be_hidden()  # there is nothing to preview
    expect(visit.page.locator("#undisplayable")).to_be_visible()


def test_a_refusal_shows_its_reason_its_score_and_what_may_help(
    visit: Visit, sagemaker: FakeSageMaker
) -> None:
    # Given a refusal by score, a refusal by a rule, and an answer
    rule = "The image is blank or nearly so."
    sagemaker.replies.extend([refusal(REASON, **SCORES), refusal(rule)])
    visit.page.emulate_media(reduced_motion="reduce")
    visit.submit()

    # Then the first shows the reason, the score and advice, and nothing of an error
    refused = visit.page.locator("#refusal")
    expect(refused).to_be_visible()
    expect(refused.get_by_role("heading", level=2)).to_have_text("The model cannot classify this image")
    expect(visit.page.locator("#reason")).to_have_text(REASON)
    expect(visit.page.locator("#score")).to_have_text("25.0\u00a0%")
    expect(visit.page.locator("#score-threshold")).to_have_text("classified from 75.0\u00a0%")
    expect(visit.page.locator("#similarity")).to_have_accessible_name(re.compile(r"25\.0.%.*75\.0.%"))
    expect(refused.get_by_role("listitem")).to_have_count(3)
    for advice in ("One slice", "uncropped", "JPEG or PNG", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"):
        expect(refused).to_contain_text(advice)
    expect(visit.page.locator("#title")).to_be_hidden()
    expect(visit.page.get_by_role("button", name="Try again")).to_be_hidden()
    expect(visit.page.locator("#status")).to_contain_text(REASON)
    bar, filled, mark = (visit.box(f"#similarity{part}") for part in ("", " i", " u"))
    assert filled["width"] / bar["width"] == pytest.approx(0.25, abs=0.01)
    assert (mark["x"] + mark["width"] / 2 - bar["x"]) / bar["width"] == pytest.approx(0.75, abs=0.01)

    # And the second shows no score, and the answer no refusal
    visit.choose(file("blank.png"))
    expect(visit.page.locator("#reason")).to_have_text(rule)
    expect(visit.page.locator("#scored")).to_be_hidden()
    visit.choose(file("another.png"))
    visit.expect_answer("YES")
    expect(refused).to_be_hidden()


def test_a_lost_network_is_reported(visit: Visit) -> None:
    visit.open()
    visit.page.context.set_offline(True)
    visit.choose(file())
    visit.expect_problem("No answer", "could not be reached")


def test_an_answer_never_stands_beside_another_image(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given an image that is being classified
    sagemaker.default = Reply(delay_s=0.5)
    visit.submit(file("first.png"))
    expect(visit.page.get_by_role("button", name="Cancel")).to_be_visible()
    # When an invalid one takes its place
    visit.choose(file("second.gif", "image/gif", b"GIF89a"))
    # Then the answer of the first goes into its row, not into the view
    visit.expect_problem("Unsupported file", "image/gif")
    expect(visit.page.locator("#rows tr").first).to_contain_text("93.0")
    visit.expect_problem("Unsupported file", "image/gif")
    visit.page.get_by_role("option", name="first.png").click()
    visit.expect_answer("YES")


def test_outside_text_is_shown_as_text(visit: Visit, sagemaker: FakeSageMaker) -> None:
    visit.open()
    sagemaker.default = prediction(model={**MODEL, "name": MARKUP})
    visit.hand_over("drop", file(f"{MARKUP}.png"))
    expect(visit.page.locator("#caption")).to_contain_text(MARKUP)
    expect(visit.page.locator("#prediction-source")).to_contain_text(MARKUP)
    expect(visit.page.locator("#gallery img")).to_have_count(1)
    for reply, shown in (
        (model_error(400, json.dumps({"detail": MARKUP})), "#detail"),
        (refusal(MARKUP, **SCORES), "#reason"),
    ):
        sagemaker.default = reply
        visit.choose(file())
        expect(visit.page.locator(shown)).to_have_text(MARKUP)
    assert visit.page.evaluate("window.hacked") is None
    assert visit.page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("scan\u202egnp.exe", "scan\ufffdgnp.exe"),
        ("two\nlines\t.png", "two\ufffdlines\ufffd.png"),
        ("\u0000\u001b[31m\u200b.png", "\ufffd\ufffd[31m\ufffd.png"),
        ("\u05d0\u05d1 scan \u0627.png", "\u05d0\u05d1 scan \u0627.png"),
        ("{{script}} ${base} %s.png", "{{script}} ${base} %s.png"),
    ],
)
def test_no_file_name_can_pass_for_another(visit: Visit, name: str, shown: str) -> None:
    visit.open()
    visit.hand_over("drop", file(name), file("another.png"))
    expect(visit.page.locator("#summary")).to_contain_text("2 of 2 done")
    # Isolated from the text around it, whichever direction its letters have
    assert visit.page.locator("#caption bdi").text_content() == shown
    assert visit.page.locator("#rows th bdi").first.text_content() == shown
    assert visit.page.locator("#image").get_attribute("alt") == f"Preview of {shown}"


def test_the_endpoints_status_is_followed(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.status = "Creating"
    visit.page.clock.install()
    visit.open()
    expect(visit.page.locator("#model")).to_have_text(re.compile("not ready"))
    sagemaker.status = "InService"
    visit.page.clock.fast_forward(6000)
    expect(visit.page.locator("#model")).to_have_text(f"Ready: {MODEL['name']} version {MODEL['version']}")


class TestWarnings:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        failed = {"gates_failed": ["beats_metadata", MARKUP, "several_sources"], "forced": f"a vote {MARKUP}"}
        return {**environment, "MODEL": json.dumps({**MODEL, "kind": "phantom", **failed})}

    def test_a_phantom_model_of_one_source_that_was_forced_has_warnings(self, visit: Visit) -> None:
        visit.open()
        warning = visit.page.locator("#warning")
        expect(warning).to_contain_text("drawn phantoms")
        expect(warning).to_contain_text("Trained on images of one source: figures inside one source do not")
        expect(warning).to_contain_text(f"did not pass its quality gates (beats_metadata, {MARKUP}, several")
        expect(warning).to_contain_text(f"The reason given: a vote {MARKUP}")


def test_a_violation_of_the_pages_policy_is_noticed(visit: Visit) -> None:
    visit.open()
    visit.page.evaluate("document.body.append(Object.assign(new Image(), { src: 'http://192.0.2.1/x.png' }))")
    visit.page.evaluate("document.body.setAttribute('style', 'color: red')")
    visit.wait_until(lambda: {"img-src", "style-src-attr"} <= set(visit.console))
    visit.console.clear()
    visit.requests.clear()


@pytest.mark.parametrize(("suffix", "place"), [("", "footer"), ("/", "#refusal")])
def test_with_and_without_the_slash_the_model_card_is_a_click_away(
    visit: Visit, sagemaker: FakeSageMaker, suffix: str, place: str
) -> None:
    sagemaker.default = refusal()
    visit.open(suffix)
    links = visit.page.locator("footer a").evaluate_all("links => links.map((link) => link.href)")
    assert links == [f"{visit.url}/{path}" for path in ("model-card", "docs", "openapi.json")]
    visit.choose(file())
    visit.page.locator(place).get_by_role("link", name="model card").click()
    expect(visit.page).to_have_url(f"{visit.url}/model-card")
    expect(visit.page.get_by_role("heading", name="The card")).to_be_visible()
    visit.page.get_by_role("link", name="Classify an image").click()
    expect(visit.page.locator("#drop")).to_be_visible()


@pytest.mark.parametrize("width", [320, 1280])
def test_the_cards_plots_and_tables_fit_any_screen(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 640})
    visit.page.goto(f"{visit.url}/model-card")
    # The plot is loaded in its own shape and no wider than the text; the remote image stays text
    image = visit.page.locator("img")
    expect(image).to_have_accessible_name("Calibration")
    assert image.evaluate("it => [it.naturalWidth, it.naturalHeight]") == [900, 500]
    box = visit.box("img")
    assert box["width"] / box["height"] == pytest.approx(1.8, rel=0.01)
    # The table scrolls, the page does not
    assert visit.has_no_overflow()
    table = visit.page.get_by_role("region", name="Table: architecture")
    assert table.evaluate("it => it.scrollWidth > it.clientWidth")
    last = visit.page.get_by_role("columnheader", name="interval_number_11")
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport()
    assert visit.page.evaluate("scrollX") == 0
