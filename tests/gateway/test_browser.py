"""The page in Chromium: every way in, every state, and not one request or script from elsewhere."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.gateway.conftest import MODEL
from tests.gateway.sagemaker import PREDICTION, Reply, error, model_error
from tests.gateway.visit import Visit, draw, file

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload

    from tests.gateway.sagemaker import FakeSageMaker

# Of a model whose threshold is 0.41: no evidence for either, where half the image speaks for each.
HEATMAP = {"width": 2, "height": 2, "values": [[0.0, 0.41], [0.41, 1.0]]}
MARKUP = '<img src=x onerror="window.hacked=1">'


def prediction(**changes: object) -> Reply:
    return Reply(body=json.dumps({**PREDICTION, **changes}).encode())


@pytest.mark.parametrize("suffix", ["", "/"])
def test_it_works_with_and_without_the_slash(visit: Visit, suffix: str) -> None:
    visit.open(suffix)
    expect(visit.page.locator("#model")).to_have_class("small up")

    visit.choose(file())

    visit.expect_answer("YES")
    links = visit.page.locator("footer a").evaluate_all("links => links.map((link) => link.href)")
    assert links == [f"{visit.url}/{path}" for path in ("model-card", "docs", "openapi.json")]


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_an_image_comes_in_chosen_dropped_or_pasted(visit: Visit, sagemaker: FakeSageMaker, way: str) -> None:
    # Given the page
    visit.open()
    image = file()

    # When an image is given to it
    if way == "choose":
        visit.choose(image)
    else:
        visit.hand_over(way, image)

    # Then its very bytes reach the endpoint, and the answer is shown
    visit.expect_answer("YES")
    assert sagemaker.calls[0].body == image["buffer"]
    assert sagemaker.calls[0].attributes["heatmap"] == "true"
    expect(visit.page.locator("#probability")).to_have_text("93.0\u00a0%")
    expect(visit.page.locator("#bar")).to_have_accessible_name(re.compile(r"93\.0.%.*41\.0.%"))
    expect(visit.page.locator("#image")).to_be_visible()
    expect(visit.page.locator("#status")).to_contain_text("YES")


def test_the_keyboard_alone_is_enough(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = prediction(heatmap=HEATMAP)
    visit.page.on("filechooser", lambda chooser: chooser.set_files(file()))
    visit.open()

    # Given the first stop of the Tab key, which shows that it is one
    visit.page.keyboard.press("Tab")
    assert visit.page.locator("#drop").evaluate("it => getComputedStyle(it).outlineStyle") == "solid"

    # When the Enter key opens the file chooser there and a file is chosen
    visit.page.keyboard.press("Enter")

    # Then the answer comes, and the keys reach all that can be done with it
    visit.expect_answer("YES")
    reached = []
    for _ in range(7):
        visit.page.keyboard.press("Tab")
        reached.append(visit.page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    meaning = "What do these numbers mean?"
    assert reached == ["remove", "", "opacity", meaning, "Model card", "remember", "Model card"]
    # And an arrow lays the heatmap beside the image
    visit.page.locator("[name=layout]").first.focus()
    visit.page.keyboard.press("ArrowRight")
    expect(visit.page.locator("#original")).to_be_visible()


def test_no_key_is_lost_with_what_had_the_focus(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=0.5)
    visit.open()
    visit.choose(file())
    visit.page.get_by_role("button", name="Cancel").focus()

    visit.page.keyboard.press("Enter")

    expect(visit.page.locator("#reading")).to_be_focused()
    visit.page.keyboard.press("Tab")
    expect(visit.page.get_by_role("button", name="Try again")).to_be_focused()


def test_the_heatmap_lies_exactly_over_the_image(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given a model that sees evidence for NO at the upper left and for YES at the lower right
    sagemaker.default = prediction(heatmap=HEATMAP)
    visit.open()

    # When it is asked about an image that is no square
    visit.choose(file(content=draw(500, 200)))

    # Then the overlay covers the image, cool there, warm here and clear elsewhere
    visit.expect_answer("YES")
    canvas = visit.page.locator("#heatmap")
    expect(canvas).to_be_visible()
    assert canvas.bounding_box() == visit.page.locator("#image").bounding_box()
    box = canvas.bounding_box()
    assert box
    assert box["width"] / box["height"] == pytest.approx(2.5, rel=0.02)
    channels = canvas.evaluate("it => [...it.getContext('2d').getImageData(0, 0, 2, 2).data]")
    (red, _, blue, opaque), clear, also_clear, (red_, _, blue_, opaque_) = zip(
        *[iter(channels)] * 4, strict=True
    )
    assert (clear[3], also_clear[3], opaque, opaque_) == (0, 0, 255, 255)
    assert red < blue
    assert red_ > blue_

    assert canvas.evaluate("() => [0.2, 0.3, 0.5, 0.6].map((it) => colour(it, 0.41)[0] > 200)") == [
        *(False, False, True, True)  # warm from the threshold on, where the answer is YES
    ]

    # And the slider, by the keyboard, fades it
    visit.page.get_by_label("Heatmap", exact=True).press("Home")
    assert canvas.evaluate("it => it.style.opacity") == "0"


def test_the_heatmap_can_lie_beside_the_image(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.replies.append(prediction(heatmap=HEATMAP))
    visit.open()
    visit.choose(file())
    visit.expect_answer("YES")

    visit.page.get_by_label("Side by side").check()

    plain, covered, canvas = (
        visit.page.locator(f"#{name}").bounding_box() for name in ("original", "image", "heatmap")
    )
    assert plain
    assert covered
    assert covered == canvas
    assert (plain["y"], plain["height"]) == (covered["y"], covered["height"])
    assert plain["x"] + plain["width"] <= covered["x"]

    # And an answer without one has nothing to stand beside
    visit.choose(file("another.png"))
    visit.expect_answer("YES")
    expect(visit.page.locator("#original")).to_be_hidden()
    expect(visit.page.locator("#image")).to_be_visible()


def test_without_a_heatmap_none_is_shown(visit: Visit, sagemaker: FakeSageMaker) -> None:
    visit.open()
    sagemaker.replies.append(prediction(heatmap=HEATMAP))
    visit.choose(file())
    expect(visit.page.locator("#heat")).to_be_visible()

    sagemaker.replies.append(Reply(delay_s=0.5))
    visit.choose(file("another.png"))

    # Not while the model looks at the other image, nor after it
    expect(visit.page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    expect(visit.page.locator("#heatmap")).to_be_hidden(timeout=1)
    visit.expect_answer("YES")
    expect(visit.page.locator("#heat")).to_be_hidden()
    expect(visit.page.locator("#heatmap")).to_be_hidden()


def test_no_is_told_as_no(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = prediction(label="NO", **{"class": 0}, probability=0.0004)
    visit.open()

    visit.choose(file())

    visit.expect_answer("NO")
    expect(visit.page.locator("#probability")).to_have_text("<\u00a00.1\u00a0%")
    expect(visit.page.locator("#words")).to_contain_text("below")
    visit.page.get_by_text("What do these numbers mean?").click()
    expect(visit.page.locator("#frequency")).to_contain_text("Of 100 images")
    expect(visit.page.locator("#frequency")).to_contain_text("fewer than 1 should show a tumour")


@pytest.mark.parametrize(
    ("given", "title", "detail"),
    [
        (file("scan.gif", "image/gif", b"GIF89a"), "Not a JPEG or PNG", "image/gif"),
        (file("empty.png", content=b""), "Empty file", "no content"),
        (
            file("large.png", content=b"x" * (4 * 1024 * 1024 + 1)),
            "Too large",
            "4.1\u00a0MiB; at most 4\u00a0MiB",
        ),
    ],
)
def test_what_would_be_refused_is_not_even_sent(
    visit: Visit, sagemaker: FakeSageMaker, given: FilePayload, title: str, detail: str
) -> None:
    visit.open()

    visit.choose(given)

    visit.expect_problem(title, detail)
    expect(visit.page.locator("#again")).to_be_hidden()
    assert not any("predict" in asked for asked in visit.requests)
    assert not sagemaker.calls


def test_a_problem_is_told_in_the_containers_words(visit: Visit, sagemaker: FakeSageMaker) -> None:
    words = "The bytes are neither a JPEG nor a PNG image."
    sagemaker.default = model_error(415, json.dumps({"detail": words}))
    visit.open()

    visit.choose(file(content=b"a text named .png"))

    visit.expect_problem("Not a JPEG or PNG", words)
    expect(visit.page.locator("#reference")).to_contain_text("c6af9ac6-7b61-11e6-9a41-93e8deadbeef")
    expect(visit.page.locator("#frame")).to_be_hidden()  # there is nothing to preview
    expect(visit.page.locator("#unseen")).to_be_visible()


def test_what_may_pass_can_be_tried_again(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given an endpoint that fails once
    sagemaker.replies.append(error("InternalFailure", status=500))
    visit.open()
    visit.choose(file())
    visit.expect_problem("The model failed", "failed")

    # When it is asked again
    visit.page.get_by_role("button", name="Try again").click()

    # Then it answers
    visit.expect_answer("YES")


def test_a_request_can_be_cancelled(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=0.5)
    visit.open()
    visit.choose(file())

    visit.page.get_by_role("button", name="Cancel").click()

    visit.expect_problem("Cancelled", "not judged")
    visit.page.wait_for_timeout(700)
    visit.expect_problem("Cancelled", "not judged")


def test_no_network_is_told(visit: Visit) -> None:
    visit.open()
    visit.page.context.set_offline(True)

    visit.choose(file())

    visit.expect_problem("No answer", "could not be reached")


def test_an_answer_never_stands_beside_another_image(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given an image that the model still looks at
    sagemaker.default = Reply(delay_s=0.5)
    visit.open()
    visit.choose(file("first.png"))
    expect(visit.page.get_by_role("button", name="Cancel")).to_be_visible()

    # When another one takes its place that is refused at once
    visit.choose(file("second.gif", "image/gif", b"GIF89a"))

    # Then the first one's answer is not shown when it comes, but where it belongs
    visit.expect_problem("Not a JPEG or PNG", "image/gif")
    expect(visit.page.locator("#rows tr").first).to_contain_text("93.0")
    visit.expect_problem("Not a JPEG or PNG", "image/gif")
    visit.page.get_by_role("option", name="first.png").click()
    visit.expect_answer("YES")


def test_outside_text_is_shown_as_text(visit: Visit, sagemaker: FakeSageMaker) -> None:
    visit.open()
    sagemaker.default = prediction(model={**MODEL, "name": MARKUP})
    visit.hand_over("drop", file(f"{MARKUP}.png"))
    expect(visit.page.locator("#caption")).to_contain_text(MARKUP)
    expect(visit.page.locator("#by")).to_contain_text(MARKUP)
    expect(visit.page.locator("#gallery img")).to_have_count(1)

    sagemaker.default = model_error(400, json.dumps({"detail": MARKUP}))
    visit.choose(file())

    expect(visit.page.locator("#detail")).to_have_text(MARKUP)
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

    expect(visit.page.locator("#tally")).to_contain_text("2 of 2 through")
    # Set apart from what stands around it, whichever way its letters run
    assert visit.page.locator("#caption bdi").text_content() == shown
    assert visit.page.locator("#rows th bdi").first.text_content() == shown
    assert visit.page.locator("#image").get_attribute("alt") == f"Preview of {shown}"


def test_an_endpoint_that_is_down_is_told_and_so_is_that_it_is_back(
    visit: Visit, sagemaker: FakeSageMaker
) -> None:
    sagemaker.status = "Creating"
    visit.page.clock.install()
    visit.open()
    expect(visit.page.locator("#model")).to_have_text(re.compile("not ready"))

    sagemaker.status = "InService"
    visit.page.clock.fast_forward(6000)

    expect(visit.page.locator("#model")).to_have_text(f"Ready: {MODEL['name']} version {MODEL['version']}")


class TestPhantomModel:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        model = {**MODEL, "kind": "phantom", "gates_failed": ["beats_metadata", MARKUP]}
        return {**environment, "MODEL": json.dumps(model)}

    def test_it_is_called_what_it_is(self, visit: Visit) -> None:
        visit.open()

        warning = visit.page.locator("#warning")
        expect(warning).to_be_visible()
        expect(warning).to_contain_text("drawn phantoms")
        expect(warning).to_contain_text(f"beats_metadata, {MARKUP}")


def test_a_model_of_real_images_that_passed_has_no_warning(visit: Visit) -> None:
    visit.open()

    expect(visit.page.locator("#warning")).to_be_hidden()


@pytest.mark.parametrize(
    "visit", [{"viewport": {"width": width, "height": 640}} for width in (320, 1280, 3840)], indirect=True
)
def test_nothing_is_cut_off_at_any_width(visit: Visit, sagemaker: FakeSageMaker) -> None:
    def assert_no_sideways_scrolling() -> None:
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    sagemaker.default = prediction(heatmap=HEATMAP)
    visit.open()
    assert_no_sideways_scrolling()

    visit.choose(file("a-very-long-name" * 12 + ".png"))

    visit.expect_answer("YES")
    expect(visit.page.locator("#label")).to_be_in_viewport()
    assert_no_sideways_scrolling()
    caption = visit.page.locator("#caption")
    assert caption.evaluate("it => it.scrollWidth <= it.clientWidth")
    visit.page.goto(f"{visit.url}/docs")
    assert_no_sideways_scrolling()


def test_a_breach_of_the_pages_policy_would_be_seen(visit: Visit) -> None:
    visit.open()
    visit.page.evaluate("document.body.append(Object.assign(new Image(), { src: 'http://192.0.2.1/x.png' }))")
    visit.page.evaluate("document.body.setAttribute('style', 'color: red')")

    visit.wait_until(lambda: {"img-src", "style-src-attr"} <= set(visit.complaints))

    visit.complaints.clear()
    visit.requests.clear()
