"""Several images in the page in Chromium: concurrency, retries, downloads and the history."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from scripts.api.output import COLUMNS
from tests.gateway.sagemaker import MODEL, error, model_error
from tests.gateway.ui_states import answered_scan
from tests.gateway.visit import draw, file
from tests.http_server import Reply

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
    # When images with different predictions are dropped together
    probabilities = (0.93, 0.02, 0.5)
    scans = [answered_scan(sagemaker, seed, each) for seed, each in enumerate(probabilities)]
    visit.open()
    visit.hand_over("drop", *scans)
    # Then the gallery and the table show each image's own answer, and the first is in view
    expect(visit.page.locator("#summary")).to_have_text("3 of 3 done · 2 YES · 1 NO")
    expect(visit.page.get_by_role("option")).to_have_count(3)
    visit.expect_answer("YES")
    expect(visit.page.locator("#probability")).to_have_text("93.0\u00a0%")
    for scan, probability in zip(scans, probabilities, strict=True):
        visit.page.get_by_role("option", name=re.compile(f"^{scan['name']}: ")).click()
        expect(visit.page.locator("#probability")).to_have_text(f"{probability * 100:.1f}\u00a0%")
        expect(visit.page.locator("#caption")).to_contain_text(scan["name"])
        row = visit.page.get_by_role("row").filter(has_text=scan["name"])
        expect(row).to_contain_text(f"{probability * 100:.1f}\u00a0%")
        expect(row).to_have_attribute("aria-current", "true")


def test_two_are_sent_at_a_time(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=0.4)
    visit.submit(*images(5))
    most = 0
    for _ in range(100):
        under_way = visit.page.evaluate("images.filter((it) => it.request).length")
        most = max(most, under_way)
        if len(sagemaker.calls) == 5 and not under_way:
            break
        visit.page.wait_for_timeout(20)
    assert most == 2
    expect(visit.page.locator("#summary")).to_have_text("5 of 5 done · 5 YES")
    expect(visit.page.locator("#status")).to_contain_text("5 of 5 done")


def test_the_arrow_keys_move_through_the_gallery(visit: Visit) -> None:
    visit.submit(*images(4))
    expect(visit.page.locator("#summary")).to_contain_text("4 of 4 done")
    options = visit.page.get_by_role("option")
    options.first.focus()
    for key, at in (("ArrowRight", 1), ("End", 3), ("ArrowRight", 3), ("ArrowLeft", 2), ("Home", 0)):
        visit.page.keyboard.press(key)
        expect(options.nth(at)).to_be_focused()
        expect(options.nth(at)).to_have_attribute("aria-selected", "true")
        assert visit.page.locator("[role=option][tabindex='0']").count() == 1

    # Delete removes one, and a single image has no gallery
    for left in (3, 2):
        visit.page.keyboard.press("Delete")
        expect(options).to_have_count(left)
    visit.page.keyboard.press("Delete")
    expect(visit.page.locator("#gallery")).to_be_hidden()
    visit.page.get_by_role("button", name="Remove").click()
    expect(visit.page.locator("#drop")).to_be_visible()
    expect(visit.page.get_by_text("One answer for each image")).to_be_visible()
    expect(visit.page.locator("#file")).to_be_focused()


def test_all_can_be_cancelled_and_removed(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=0.5)
    visit.submit(*images(6))
    visit.wait_until(lambda: len(sagemaker.calls) == 2)
    visit.page.get_by_role("button", name="Cancel all").click()
    expect(visit.page.locator("#summary")).to_have_text("6 of 6 done · 6 failed")
    visit.page.wait_for_timeout(600)
    assert len(sagemaker.calls) == 2
    sagemaker.default = Reply()
    visit.page.get_by_role("button", name="Retry failed images").click()
    expect(visit.page.locator("#summary")).to_have_text("6 of 6 done · 6 YES")
    expect(visit.page.get_by_role("button", name="Retry failed images")).to_be_hidden()
    visit.page.get_by_role("button", name="Remove all").click()
    expect(visit.page.locator("#all")).to_be_hidden()
    expect(visit.page.locator("#drop")).to_be_visible()


def test_an_image_removed_while_it_waits_is_not_sent(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=2.0)
    visit.submit(*images(3))
    visit.wait_until(lambda: len(sagemaker.calls) == 2)
    visit.page.get_by_role("option").nth(2).click()
    visit.page.get_by_role("button", name="Remove", exact=True).click()
    expect(visit.page.locator("#summary")).to_have_text("2 of 2 done · 2 YES")
    assert len(sagemaker.calls) == 2


def test_the_csv_holds_the_answers_and_no_formula(visit: Visit, sagemaker: FakeSageMaker) -> None:
    # Given images whose names are formulas to a spreadsheet, one that is refused, and one that fails
    named = [file(name, content=draw(200 + at, 240)) for at, name in enumerate(FORMULAS)]
    refused_file = file('a "quoted", name.png', content=draw(300, 300))
    sagemaker.by_image[refused_file["buffer"]] = model_error(422, json.dumps(REFUSED))
    visit.open()
    visit.hand_over("drop", *named, refused_file, file("ü.gif", "image/gif", b"GIF89a"))
    expect(visit.page.locator("#summary")).to_contain_text("8 of 8 done")

    # When the CSV is downloaded
    content, rows = rows_of(visit, "Download CSV")

    # Then it has the columns of scripts/predict, and no cell begins as a formula does
    assert content.startswith(b"\xef\xbb\xbffile,")
    assert b"\n" not in content.replace(b"\r\n", b"").replace(b'brain"":\n=1+1', b"")
    assert tuple(rows[0]) == COLUMNS
    assert [row["file"] for row in rows] == [
        *(f"'{name}" for name in FORMULAS),
        refused_file["name"],
        "ü.gif",
    ]
    assert not [cell for row in rows for cell in row.values() if FORMULA.match(cell)]
    predicted, refused, failed = rows[0], rows[-2], rows[-1]
    expected = {"answer": "YES", "probability": "0.93", "threshold": "0.41", "status": "200", "detail": ""}
    assert predicted.items() >= expected.items()
    assert [predicted[name] for name in ("model", "version", "sha256")] == list(MODEL.values())
    assert refused.items() >= {"answer": "refused", "status": "422", "score": "0.02"}.items()
    assert refused["detail"] == REFUSED["detail"]
    assert failed["answer"] == "failed"
    assert "image/gif" in failed["detail"]


class TestStartingModel:
    """A gateway that answers 503 with Retry-After."""

    @pytest.fixture(autouse=True)
    def starting(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        sagemaker.default = error("ModelNotReadyException", status=429)
        visit.page.clock.install()
        visit.submit(*images(3))
        expect(visit.page.locator("#activity")).to_have_text("The model is starting…")
        visit.wait_until(lambda: len(sagemaker.calls) == 2)

    def test_every_image_is_retried_after_the_given_time(
        self, visit: Visit, sagemaker: FakeSageMaker
    ) -> None:
        expect(visit.page.locator("#activity-detail")).to_have_text(re.compile(r"in [456]\ss"))
        expect(visit.page.locator("#status")).to_contain_text("retried automatically")
        visit.page.clock.fast_forward(3000)
        visit.page.wait_for_timeout(300)
        assert len(sagemaker.calls) == 2, "nothing is sent earlier"
        sagemaker.default = Reply()
        visit.page.clock.fast_forward(4000)
        expect(visit.page.locator("#summary")).to_have_text("3 of 3 done · 3 YES")
        visit.expect_answer("YES")
        assert len(sagemaker.calls) == 5

    def test_a_waiting_image_can_be_sent_at_once(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        sagemaker.default = Reply()
        visit.page.get_by_role("button", name="Try now").click()
        visit.expect_answer("YES")

    def test_a_waiting_image_can_be_cancelled(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        visit.page.get_by_role("button", name="Cancel all").click()
        visit.page.clock.fast_forward(7000)
        visit.expect_problem("Cancelled", "not classified")
        assert len(sagemaker.calls) == 2

    def test_retries_end_after_minutes(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        visit.page.clock.fast_forward(301_000)
        visit.expect_problem("Not ready yet", "try again")
        expect(visit.page.locator("#summary")).to_have_text("3 of 3 done · 3 failed")
        sagemaker.default = Reply()
        visit.page.get_by_role("button", name="Try again").click()
        visit.expect_answer("YES")


def test_a_request_without_progress_times_out(visit: Visit, sagemaker: FakeSageMaker) -> None:
    sagemaker.default = Reply(delay_s=3)
    visit.page.clock.install()
    visit.submit()
    expect(visit.page.locator("#activity")).to_have_text("Classifying…")
    visit.page.clock.fast_forward(61_000)
    visit.expect_problem("No answer", "transferred for a minute")
    expect(visit.page.get_by_role("button", name="Try again")).to_be_visible()


class TestHistory:
    """Earlier answers, which are kept only if the person asks for it."""

    def test_on_request_it_outlasts_the_tab_holds_no_image_and_can_be_cleared(self, visit: Visit) -> None:
        # Given an answer, of which nothing is kept by default
        visit.classify()
        assert visit.stores() == ({}, {})
        expect(visit.page.locator("#entries")).to_be_hidden()
        # When the person asks for it, then the next answers outlast the tab, without their images
        remember = visit.page.get_by_label("Remember answers")
        remember.check()
        visit.choose(file("=1.png"), file("<b>two</b>.png"))
        expect(visit.page.locator("#entry-rows tr")).to_have_count(2)
        visit.page.reload()
        expect(visit.page.locator("#entry-rows tr")).to_have_count(2)
        expect(visit.page.locator("#entry-rows tr").filter(has_text="<b>two</b>.png")).to_contain_text("93.0")
        local, session = visit.stores()
        (kept,) = local.values()
        assert session == {}
        assert len(kept) < 1000
        assert {name for entry in json.loads(kept) for name in entry} == {
            *("file", "at", "kind", "label", "probability", "threshold", "model", "request_id")
        }
        _, rows = rows_of(visit, "Download as CSV")
        assert {row["file"] for row in rows} == {"'=1.png", "<b>two</b>.png"}
        # And one click clears it, or ends it
        visit.page.get_by_role("button", name="Clear history").click()
        expect(visit.page.locator("#entries")).to_be_hidden()
        assert [*visit.stores()[0].values()] == ["[]"]
        visit.choose(file("kept.png"))
        expect(visit.page.locator("#entry-rows tr")).to_have_count(1)
        remember.uncheck()
        expect(visit.page.locator("#entries")).to_be_hidden()
        assert visit.stores() == ({}, {})

    @pytest.mark.parametrize("planted", ["[{}]", "{", "[null, 3]", '"text"', '[{"file": 3}]'])
    def test_a_corrupt_history_breaks_nothing(self, visit: Visit, planted: str) -> None:
        visit.open()
        visit.page.evaluate("(text) => localStorage.setItem(HISTORY, text)", planted)
        visit.classify()

    def test_a_browser_without_storage_is_named(self, visit: Visit) -> None:
        visit.page.add_init_script(
            "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"
        )
        visit.open()
        visit.page.get_by_label("Remember answers").click()
        expect(visit.page.get_by_text("This browser stores nothing")).to_be_visible()
        expect(visit.page.get_by_label("Remember answers")).not_to_be_checked()
        visit.choose(file())
        visit.expect_answer("YES")
