"""What a person says that an image shows: sent once, corrected once, sent again after a failure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from tests.gateway.api_gateway import problem
from tests.gateway.label_store import FEEDBACK, FakeStore, s3_error
from tests.gateway.visit import file

if TYPE_CHECKING:
    from tests.gateway.api_gateway import Authorizer
    from tests.gateway.visit import Visit
    from tests.http_server import Call, Reply

NOT_SENT = "Not sent. The label cannot be kept at present; try again. Press the button to try again."


@pytest.fixture
def environment(environment: dict[str, str], store: FakeStore) -> dict[str, str]:
    del store  # it is reset
    return environment | FEEDBACK


@pytest.fixture
def feedback() -> bool:
    return True


def said(store: FakeStore) -> list[object]:
    return [each["label"] for each in store.labels]


def expect_status(page: Page, text: str) -> None:
    expect(page.locator("#feedback-status")).to_have_text(text)


def test_the_keyboard_says_it_and_corrects_it(visit: Visit, store: FakeStore) -> None:
    # Given an answer, When the keyboard presses one button twice
    visit.classify()
    page = visit.page
    tumour, none = (page.get_by_role("button", name=name) for name in ("A tumour", "No tumour"))
    expect_status(page, "")
    none.focus()
    page.keyboard.press("Enter")
    expect_status(page, "Noted: no tumour. Thank you.")
    page.keyboard.press("Enter")
    # Then one label is kept, and the focus stays
    expect(none).to_be_focused()
    expect(none).to_have_attribute("aria-pressed", "true")
    assert said(store) == ["NO"]
    # And the other one corrects it
    page.keyboard.press("Shift+Tab")
    expect(tumour).to_be_focused()
    page.keyboard.press("Space")
    expect_status(page, "Noted: a tumour. Thank you.")
    expect(none).to_have_attribute("aria-pressed", "false")
    assert said(store) == ["NO", "YES"]
    (request_id,) = {str(each["request_id"]) for each in store.labels}
    expect(page.locator("#source")).to_contain_text(request_id)
    assert not any("note" in each for each in store.labels)


def test_a_failure_says_why_and_the_button_sends_again(visit: Visit, store: FakeStore) -> None:
    visit.classify()
    store.failures = [s3_error("NoSuchBucket", 404)]
    button = visit.page.get_by_role("button", name="A tumour")
    button.click()
    expect_status(visit.page, NOT_SENT)
    expect(button).to_have_attribute("aria-disabled", "false")
    button.click()
    expect_status(visit.page, "Noted: a tumour. Thank you.")
    assert said(store) == ["YES"]


def test_without_an_answer_of_the_gateway_it_is_not_sent(visit: Visit, store: FakeStore) -> None:
    visit.classify()
    visit.page.context.set_offline(True)
    visit.page.get_by_role("button", name="A tumour").click()
    expect_status(visit.page, re.compile("^Not sent. The gateway could not be reached."))  # type: ignore[arg-type]
    visit.page.context.set_offline(False)
    assert said(store) == []


def test_each_image_has_a_label_of_its_own(visit: Visit, store: FakeStore) -> None:
    visit.submit(file("a.png"), file("b.png"))
    expect(visit.page.locator("#summary")).to_contain_text("2 of 2 done")
    visit.page.get_by_role("button", name="A tumour").click()
    expect_status(visit.page, "Noted: a tumour. Thank you.")
    visit.page.locator(".thumb").nth(1).click()
    expect_status(visit.page, "")
    visit.page.locator(".thumb").nth(0).click()
    expect_status(visit.page, "Noted: a tumour. Thank you.")
    assert said(store) == ["YES"]


class TestWithAKey:
    """The gateway requires an API key."""

    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "AUTH": "api_key"}

    @pytest.fixture
    def authorizer(self) -> Authorizer:
        def reject(call: Call) -> Reply | int | None:
            return None if call.headers.get("x-api-key") == "the-key" else problem(403)

        return reject

    def test_it_is_sent_with_the_key(self, visit: Visit, store: FakeStore) -> None:
        visit.open()
        visit.page.get_by_label("API key").fill("the-key")
        visit.page.get_by_role("button", name="Use this key").click()
        visit.choose(file())
        visit.expect_answer("YES")
        visit.page.get_by_role("button", name="No tumour").click()
        expect_status(visit.page, "Noted: no tumour. Thank you.")
        # And without one it asks for it
        visit.page.get_by_role("button", name="Remove the key").click()
        visit.page.get_by_role("button", name="A tumour").click()
        expect_status(visit.page, "Not sent. An API key is needed. Press the button to try again.")
        assert said(store) == ["NO"]
        # And a wrong one is removed
        visit.page.get_by_label("API key").fill("another-key")
        visit.page.get_by_role("button", name="Use this key").click()
        visit.page.get_by_role("button", name="A tumour").click()
        expect_status(visit.page, "Not sent. The key was not accepted. Press the button to try again.")
        expect(visit.page.get_by_role("button", name="Use this key")).to_be_visible()
