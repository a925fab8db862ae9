"""What a person says that an image shows: sent once, corrected once, sent again after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from tests.gateway.api_gateway import problem
from tests.gateway.label_store import FEEDBACK, FakeStore, s3_error
from tests.gateway.visit import file

if TYPE_CHECKING:
    from tests.gateway.api_gateway import Authorizer
    from tests.gateway.visit import Visit

AGAIN = "Press the button to try again."


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, **FEEDBACK, "AUTH": "api_key"}


@pytest.fixture
def authorizer() -> Authorizer:
    return lambda call: None if call.headers.get("x-api-key") == "the-key" else problem(403)


@pytest.fixture
def page(visit: Visit) -> Page:
    """The page with two images that were classified with the key."""
    visit.open()
    use_key(visit.page, "the-key")
    visit.choose(file("a.png"), file("b.png"))
    expect(visit.page.locator("#summary")).to_contain_text("2 of 2 done")
    return visit.page


def use_key(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def say(page: Page, name: str, status: str) -> None:
    page.get_by_role("button", name=name).click()
    expect_status(page, status)


def expect_status(page: Page, text: str) -> None:
    expect(page.locator("#feedback-status")).to_have_text(text)


def test_the_keyboard_says_it_and_corrects_it(page: Page, store: FakeStore) -> None:
    # When the keyboard presses one button twice
    tumour, none = (page.get_by_role("button", name=name) for name in ("A tumour", "No tumour"))
    none.focus()
    page.keyboard.press("Enter")
    expect_status(page, "Noted: no tumour. Thank you.")
    page.keyboard.press("Enter")
    # Then one label is kept, and the focus stays
    expect(none).to_be_focused()
    expect(none).to_have_attribute("aria-pressed", "true")
    # And the other one corrects it
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect_status(page, "Noted: a tumour. Thank you.")
    expect(tumour).to_be_focused()
    expect(none).to_have_attribute("aria-pressed", "false")
    assert [(each["label"], "note" in each) for each in store.labels] == [("NO", False), ("YES", False)]
    expect(page.locator("#source")).to_contain_text(str(store.labels[0]["request_id"]))
    # And another image has its own
    page.locator(".thumb").nth(1).click()
    expect_status(page, "")
    page.locator(".thumb").nth(0).click()
    expect_status(page, "Noted: a tumour. Thank you.")


def test_a_failure_says_why_and_the_button_sends_again(page: Page, store: FakeStore) -> None:
    store.failures = [s3_error("NoSuchBucket", 404)]
    say(page, "A tumour", f"Not sent. The label cannot be kept at present. {AGAIN}")
    page.context.set_offline(True)
    say(page, "A tumour", f"Not sent. The gateway could not be reached. {AGAIN}")
    page.context.set_offline(False)
    page.get_by_role("button", name="Remove the key").click()
    say(page, "A tumour", f"Not sent. An API key is needed. {AGAIN}")
    use_key(page, "another-key")
    say(page, "A tumour", f"Not sent. The key was not accepted. {AGAIN}")
    use_key(page, "the-key")
    assert not store.labels
    say(page, "A tumour", "Noted: a tumour. Thank you.")
    assert [each["label"] for each in store.labels] == ["YES"]
