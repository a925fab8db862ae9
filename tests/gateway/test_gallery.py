"""Several images in Chromium: a few at a time, each with its answer, asked again when told to; a history."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from scripts.delivery.answers import COLUMNS
from tests.gateway.looks import SLOW, answer, scan
from tests.gateway.sagemaker import PREDICTION, Reply, error, model_error
from tests.gateway.visit import draw, file

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload

    from tests.gateway.sagemaker import FakeSageMaker
    from tests.gateway.visit import Visit

FORMULAS = ('=HYPERLINK("x")', "+1.png", "-1.png", "@SUM(A1).png", " =1.png", "\uff1d1.png")
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]")
REFUSED = {"detail": 'It is, as they say, "no brain":\n=1+1', "score": 0.02, "score_threshold": 0.37}


def images(count: int) -> list[FilePayload]:
    return [file(f"{number}.png", content=draw(200 + number, 240)) for number in range(count)]


def rows_of(visit: Visit, button: str) -> tuple[bytes, list[dict[str, str]]]:
    """Click what downloads a CSV file and return its bytes and its rows."""
    with visit.page.expect_download() as begun:
        visit.page.get_by_role("button", name=button).click()
    content = begun.value.path().read_bytes()
    return content, list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_each_image_has_its_own_answer(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given a model that says something else of each
    chances = {"one.png": 0.93, "two.png": 0.02, "three.png": 0.5}
    given = [scan(seed, lesion=True, name=name) for seed, name in enumerate(chances)]
    for seed, (one, chance) in enumerate(zip(given, chances.values(), strict=True)):
        sagemaker.answers[one["buffer"]] = answer(seed, lesion=True, probability=chance)
    visit.open()

    # When they are dropped together
    visit.hand_over("drop", *given)

    # Then the gallery and the table show each with its own, and the first is in view
    expect(visit.page.locator("#tally")).to_have_text("3 of 3 through · 2 YES · 1 NO")
    expect(visit.page.get_by_role("option")).to_have_count(3)
    visit.expect_answer("YES")
    expect(visit.page.locator("#probability")).to_have_text("93.0\u00a0%")
    for name, chance in chances.items():
        visit.page.get_by_role("option", name=re.compile(f"^{name}: ")).click()
        expect(visit.page.locator("#probability")).to_have_text(f"{chance * 100:.1f}\u00a0%")
        expect(visit.page.locator("#caption")).to_contain_text(name)
        row = visit.page.get_by_role("row").filter(has_text=name)
        expect(row).to_contain_text(f"{chance * 100:.1f}\u00a0%")
        expect(row).to_have_attribute("aria-current", "true")


def test_a_few_go_off_at_a_time(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=0.4)
    visit.open()

    visit.choose(*images(5))

    most = 0
    for _ in range(100):
        under_way = visit.page.evaluate("images.filter((it) => it.request).length")
        most = max(most, under_way)
        if len(sagemaker.calls) == 5 and not under_way:
            break
        visit.page.wait_for_timeout(20)
    assert most == 2
    expect(visit.page.locator("#tally")).to_have_text("5 of 5 through · 5 YES")
    expect(visit.page.locator("#status")).to_contain_text("5 of 5 through")


def test_the_arrows_walk_the_gallery(visit: Visit) -> None:
    visit.open()
    visit.choose(*images(4))
    expect(visit.page.locator("#tally")).to_contain_text("4 of 4 through")
    options = visit.page.get_by_role("option")

    options.first.focus()
    for key, at in (("ArrowRight", 1), ("End", 3), ("ArrowRight", 3), ("ArrowLeft", 2), ("Home", 0)):
        visit.page.keyboard.press(key)
        expect(options.nth(at)).to_be_focused()
        expect(options.nth(at)).to_have_attribute("aria-selected", "true")
        assert visit.page.locator("[role=option][tabindex='0']").count() == 1

    # Delete takes one out, and the last that is left is no gallery
    for left in (3, 2):
        visit.page.keyboard.press("Delete")
        expect(options).to_have_count(left)
    visit.page.keyboard.press("Delete")
    expect(visit.page.locator("#gallery")).to_be_hidden()
    visit.page.get_by_role("button", name="Remove").click()
    expect(visit.page.locator("#drop")).to_be_visible()
    expect(visit.page.get_by_text("Each image, one answer")).to_be_visible()
    expect(visit.page.locator("#file")).to_be_focused()


def test_all_can_be_cancelled_and_removed(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=0.5)
    visit.open()
    visit.choose(*images(6))
    visit.wait_until(lambda: len(sagemaker.calls) == 2)

    visit.page.get_by_role("button", name="Cancel all").click()

    expect(visit.page.locator("#tally")).to_have_text("6 of 6 through · 6 failed")
    visit.page.wait_for_timeout(600)
    assert len(sagemaker.calls) == 2

    sagemaker.default = Reply()
    visit.page.get_by_role("button", name="Try failed ones again").click()
    expect(visit.page.locator("#tally")).to_have_text("6 of 6 through · 6 YES")
    expect(visit.page.get_by_role("button", name="Try failed ones again")).to_be_hidden()

    visit.page.get_by_role("button", name="Remove all").click()
    expect(visit.page.locator("#all")).to_be_hidden()
    expect(visit.page.locator("#drop")).to_be_visible()


def test_one_that_is_removed_while_it_waits_is_not_sent(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=2.0)
    visit.open()
    visit.choose(*images(3))
    visit.wait_until(lambda: len(sagemaker.calls) == 2)
    visit.page.get_by_role("option").nth(2).click()

    visit.page.get_by_role("button", name="Remove", exact=True).click()

    expect(visit.page.locator("#tally")).to_have_text("2 of 2 through · 2 YES")
    assert len(sagemaker.calls) == 2


def test_the_csv_says_what_the_page_says_and_is_no_formula(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given images whose names a spreadsheet would take for formulas, one that is refused, and one that fails
    given = [file(name, content=draw(200 + at, 240)) for at, name in enumerate(FORMULAS)]
    no_brain = file('a "quoted", name.png', content=draw(300, 300))
    sagemaker.answers[no_brain["buffer"]] = model_error(422, json.dumps(REFUSED))
    visit.open()
    visit.hand_over("drop", *given, no_brain, file("ü.gif", "image/gif", b"GIF89a"))
    expect(visit.page.locator("#tally")).to_contain_text("8 of 8 through")

    # When the CSV is downloaded
    content, rows = rows_of(visit, "Download CSV")

    # Then it has the columns of scripts/predict, and no cell that begins as a formula does
    assert content.startswith(b"\xef\xbb\xbffile,")
    assert b"\n" not in content.replace(b"\r\n", b"").replace(b'brain"":\n=1+1', b"")
    assert tuple(rows[0]) == COLUMNS
    assert [row["file"] for row in rows] == [*(f"'{name}" for name in FORMULAS), no_brain["name"], "ü.gif"]
    assert not [cell for row in rows for cell in row.values() if FORMULA.match(cell)]
    told, refused, failed = rows[0], rows[-2], rows[-1]
    expected = {"answer": "YES", "probability": "0.93", "threshold": "0.41", "status": "200", "detail": ""}
    assert told.items() >= expected.items()
    model = PREDICTION["model"]
    assert isinstance(model, dict)
    assert [told[name] for name in ("model", "version", "sha256")] == list(model.values())
    assert refused.items() >= {"answer": "refused", "status": "422", "score": "0.02"}.items()
    assert refused["detail"] == REFUSED["detail"]
    assert failed["answer"] == "failed"
    assert "image/gif" in failed["detail"]


class TestWaiting:
    """A gateway that says when to come back."""

    def test_a_model_that_wakes_up_is_asked_again(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        # Given an endpoint that is not ready, and says so to whatever comes
        sagemaker.default = error("ModelNotReadyException", status=429)
        visit.page.clock.install()
        visit.open()
        visit.choose(*images(3))
        expect(visit.page.locator("#doing")).to_have_text("The model is waking up…")
        expect(visit.page.locator("#more")).to_have_text(re.compile(r"by itself in [456]\ss"))
        expect(visit.page.locator("#status")).to_contain_text("asked again by itself")
        visit.wait_until(lambda: len(sagemaker.calls) == 2)

        # When less than what it said has passed, then nothing goes off
        visit.page.clock.fast_forward(3000)
        visit.page.wait_for_timeout(300)
        assert len(sagemaker.calls) == 2

        # When it is awake by then, then every image is answered, with nobody's help
        sagemaker.default = Reply()
        visit.page.clock.fast_forward(4000)
        expect(visit.page.locator("#tally")).to_have_text("3 of 3 through · 3 YES")
        visit.expect_answer("YES")
        assert len(sagemaker.calls) == 5

    def test_who_does_not_want_to_wait_need_not(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        sagemaker.replies.append(error("ThrottlingException", status=400))
        visit.page.clock.install()
        visit.page.clock.pause_at(2_000_000_000)
        visit.page.goto(visit.url)
        visit.choose(file())
        expect(visit.page.locator("#doing")).to_have_text("The model is busy…")

        visit.page.get_by_role("button", name="Try now").click()

        visit.expect_answer("YES")

    def test_it_can_be_cancelled_while_it_waits(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        sagemaker.default = error("ModelNotReadyException", status=429)
        visit.page.clock.install()
        visit.open()
        visit.choose(file())
        expect(visit.page.locator("#doing")).to_have_text("The model is waking up…")

        visit.page.get_by_role("button", name="Cancel", exact=True).click()
        visit.page.clock.fast_forward(7000)

        visit.expect_problem("Cancelled", "not judged")
        assert len(sagemaker.calls) == 1

    def test_after_minutes_a_person_decides(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        sagemaker.default = error("ModelNotReadyException", status=429)
        visit.page.clock.install()
        visit.open()
        visit.choose(*images(3))
        expect(visit.page.locator("#doing")).to_have_text("The model is waking up…")

        visit.page.clock.fast_forward(301_000)

        visit.expect_problem("Not ready yet", "try again")
        expect(visit.page.locator("#tally")).to_have_text("3 of 3 through · 3 failed")
        sagemaker.default = Reply()
        visit.page.get_by_role("button", name="Try again").click()
        visit.expect_answer("YES")


class TestSlowNetwork:
    """An upload that takes its time."""

    @pytest.fixture
    def slow(self, visit: Visit) -> FilePayload:
        network = visit.page.context.new_cdp_session(visit.page)
        visit.open()
        network.send("Network.emulateNetworkConditions", SLOW)
        return file("large.png", content=draw() + bytes(400_000))

    def test_its_progress_is_shown(self, visit: Visit, slow: FilePayload) -> None:
        visit.choose(slow)

        shares = set()
        progress = visit.page.locator("#progress")
        for _ in range(40):
            shares.add(progress.evaluate("it => it.value"))
            visit.page.wait_for_timeout(50)
        between = sorted(share for share in shares if 0 < share < 1)
        assert len(between) >= 3
        expect(visit.page.locator("#more")).to_have_text(re.compile(r"\d+\sKiB of 39[0-9]\sKiB"))

    def test_it_can_be_cancelled(self, visit: Visit, slow: FilePayload, sagemaker: FakeSageMaker) -> None:
        visit.choose(slow)
        visit.wait_until(lambda: visit.page.locator("#progress").evaluate("it => it.value") > 0)

        visit.page.get_by_role("button", name="Cancel", exact=True).click()

        visit.expect_problem("Cancelled", "not judged")
        assert not sagemaker.calls

    def test_one_that_stands_still_is_given_up(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        sagemaker.default = Reply(delay_s=3)
        visit.page.clock.install()
        visit.open()
        visit.choose(file())
        expect(visit.page.locator("#doing")).to_have_text("The model is looking…")

        visit.page.clock.fast_forward(61_000)

        visit.expect_problem("No answer", "moved for a minute")
        expect(visit.page.get_by_role("button", name="Try again")).to_be_visible()


class TestHistory:
    """Earlier answers, where a person asked for them."""

    KEPT = "JSON.stringify([{ ...localStorage }, { ...sessionStorage }])"

    def test_nothing_is_kept_unless_asked_for(self, visit: Visit) -> None:
        visit.open()
        visit.choose(file())
        visit.expect_answer("YES")

        assert json.loads(visit.page.evaluate(self.KEPT)) == [{}, {}]
        expect(visit.page.locator("#past")).to_be_hidden()

    def test_it_outlasts_the_tab_and_holds_no_image(self, visit: Visit) -> None:
        visit.open()
        visit.page.get_by_label("Remember answers").check()
        visit.choose(file("=1.png"), file("<b>two</b>.png"))
        expect(visit.page.locator("#past-rows tr")).to_have_count(2)

        visit.page.reload()

        expect(visit.page.locator("#past-rows tr")).to_have_count(2)
        expect(visit.page.locator("#past-rows tr").filter(has_text="<b>two</b>.png")).to_contain_text("93.0")
        for_good, for_the_tab = json.loads(visit.page.evaluate(self.KEPT))
        (kept,) = for_good.values()
        assert for_the_tab == {}
        assert len(kept) < 1000
        assert {name for entry in json.loads(kept) for name in entry} == {
            *("file", "at", "kind", "label", "probability", "threshold", "model", "request_id")
        }
        _, rows = rows_of(visit, "Download as CSV")
        assert {row["file"] for row in rows} == {"'=1.png", "<b>two</b>.png"}

    @pytest.mark.parametrize("way", ["Clear history", "untick"])
    def test_one_click_clears_it(self, visit: Visit, way: str) -> None:
        visit.open()
        visit.page.get_by_label("Remember answers").check()
        visit.choose(file("told.png"))
        expect(visit.page.locator("#past-rows tr")).to_have_count(1)

        if way == "untick":
            visit.page.get_by_label("Remember answers").uncheck()
        else:
            visit.page.get_by_role("button", name=way).click()

        expect(visit.page.locator("#past")).to_be_hidden()
        assert "told.png" not in visit.page.evaluate(self.KEPT)
        assert (visit.page.evaluate("localStorage.length") == 0) == (way == "untick")

    @pytest.mark.parametrize("planted", ["[{}]", "{", "[null, 3]", '"text"', '[{"file": 3}]'])
    def test_what_another_page_left_there_breaks_nothing(self, visit: Visit, planted: str) -> None:
        visit.open()
        visit.page.evaluate("(text) => localStorage.setItem(HISTORY, text)", planted)

        visit.open()

        visit.choose(file())
        visit.expect_answer("YES")

    def test_a_browser_that_keeps_nothing_says_so(self, visit: Visit) -> None:
        visit.page.add_init_script(
            "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"
        )
        visit.open()

        visit.page.get_by_label("Remember answers").click()

        expect(visit.page.get_by_text("This browser keeps nothing")).to_be_visible()
        expect(visit.page.get_by_label("Remember answers")).not_to_be_checked()
        visit.choose(file())
        visit.expect_answer("YES")
