"""The page in Chromium where not everybody is let in: by a key, by signing in, or not at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from playwright.sync_api import expect

from tests.gateway.sign_in import CLIENT_ID, SCOPE, FakeSignIn
from tests.gateway.visit import Visit, file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.front import Guard, Post
    from tests.gateway.sagemaker import FakeSageMaker

KEY = "a-key-that-is-right"
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"  # AWS's own example, which opens nothing
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
STORES = "() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])"


LOOKS = [
    {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 320))
]


def assert_readable(visit: Visit) -> None:
    """No text is fainter than WCAG 2.2 AA allows, and nothing is cut off at the side."""
    assert visit.faint_texts() == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def stores(visit: Visit) -> tuple[dict[str, str], dict[str, str]]:
    """What the browser keeps for good, and what it keeps for the tab."""
    for_good, for_the_tab = json.loads(visit.page.evaluate(STORES))
    return for_good, for_the_tab


def signature_of(post: Post) -> str:
    """Return what botocore puts into the Authorization header of a request with the same signed headers."""
    named = re.search("SignedHeaders=([^,]+)", post.headers.get("authorization", ""))
    signed = named[1].split(";") if named else []
    request = AWSRequest(
        method="POST",
        url=f"http://{post.headers['host']}{post.target}",
        data=post.body,
        headers={name: post.headers[name] for name in signed if name not in ("host", "x-amz-date")},
    )
    request.context["timestamp"] = post.headers.get("x-amz-date", "")
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET), "execute-api", "eu-west-1")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    scope = f"{ACCESS_KEY}/{signer.credential_scope(request)}"
    signature = signer.signature(to_sign, request)
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"


class TestApiKey:
    """A gateway that asks for a key."""

    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "AUTH": "api_key"}

    @pytest.fixture
    def guard(self) -> Guard:
        return lambda post: None if post.headers.get("x-api-key") == KEY else 403

    def give(self, visit: Visit, key: str) -> None:
        visit.page.get_by_label("API key").fill(key)
        visit.page.get_by_role("button", name="Use this key").click()

    def test_an_image_waits_for_the_key(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        # Given an image that was chosen before a key was typed
        visit.open()
        visit.choose(file())
        visit.expect_problem("An API key is needed", "Type it above")
        expect(visit.page.get_by_label("API key")).to_be_focused()
        assert not any("predict" in asked for asked in visit.requests)

        # When the key is typed, with the blanks that copying it brought
        visit.page.keyboard.type(f"  {KEY} ")
        visit.page.keyboard.press("Enter")

        # Then the image goes off by itself, and the key is in this tab alone
        visit.expect_answer("YES")
        assert len(sagemaker.calls) == 1
        expect(visit.page.get_by_label("API key")).to_be_hidden()
        for_good, for_the_tab = stores(visit)
        assert for_good == {}
        assert list(for_the_tab.values()) == [KEY]
        assert KEY not in visit.page.content()
        assert not any(KEY in asked for asked in visit.requests)

    def test_a_wrong_key_is_forgotten_and_asked_for_again(self, visit: Visit) -> None:
        visit.open()
        self.give(visit, "mistyped")
        visit.choose(file())

        visit.expect_problem("The key was not accepted", "Type it again")
        expect(visit.page.locator("#reference")).to_contain_text("of-the-gateway")
        assert stores(visit) == ({}, {})
        expect(visit.page.get_by_role("button", name="Try again")).to_be_hidden()

        self.give(visit, KEY)
        visit.expect_answer("YES")

    def test_it_lasts_as_long_as_the_tab(self, visit: Visit) -> None:
        visit.open()
        self.give(visit, KEY)
        visit.page.reload()
        visit.choose(file())
        visit.expect_answer("YES")

        with visit.page.context.expect_page() as opened:
            visit.page.evaluate("open(location.href, '_blank', 'noopener')")
        expect(opened.value.get_by_label("API key")).to_be_visible()
        opened.value.close()

    def test_it_can_be_forgotten(self, visit: Visit) -> None:
        visit.open()
        self.give(visit, KEY)

        visit.page.get_by_role("button", name="Forget the key").click()

        assert stores(visit) == ({}, {})
        expect(visit.page.get_by_label("API key")).to_be_visible()

    @pytest.mark.parametrize("key", ["", "   ", "two words", "schlüssel", "line\nbreak"])
    def test_what_no_header_can_carry_is_not_taken(self, visit: Visit, key: str) -> None:
        visit.open()
        visit.page.get_by_label("API key").evaluate("(it, key) => { it.value = key; }", key)
        visit.page.get_by_role("button", name="Use this key").click()

        if key != "line\nbreak":  # an input of one line has no line breaks
            assert stores(visit) == ({}, {})
            expect(visit.page.get_by_label("API key")).to_be_focused()

    @pytest.mark.parametrize("visit", LOOKS, indirect=True)
    def test_it_can_be_read(self, visit: Visit) -> None:
        visit.open()
        assert_readable(visit)
        self.give(visit, "mistyped")
        assert_readable(visit)
        visit.choose(file())
        visit.expect_problem("The key was not accepted", "")
        assert_readable(visit)

    def test_all_images_wait_for_the_key_but_those_that_would_be_refused(
        self, visit: Visit, sagemaker: FakeSageMaker
    ) -> None:
        visit.open()
        visit.choose(file("one.png"), file("two.png"), file("scan.gif", "image/gif", b"GIF89a"))
        visit.expect_problem("An API key is needed", "")
        visit.page.get_by_role("option", name="scan.gif").click()

        self.give(visit, KEY)

        expect(visit.page.locator("#tally")).to_have_text("3 of 3 through · 2 YES · 1 failed")
        visit.expect_problem("Not a JPEG or PNG", "image/gif")
        assert len(sagemaker.calls) == 2


class TestIam:
    """A gateway that asks for signatures."""

    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "AUTH": "iam"}

    def test_the_page_says_that_it_cannot_sign_and_takes_no_image(
        self, visit: Visit, sagemaker: FakeSageMaker
    ) -> None:
        visit.open()

        expect(visit.page.get_by_role("heading", name="This page cannot sign")).to_be_visible()
        expect(visit.page.locator("#file")).to_be_hidden()
        visit.hand_over("drop", file())

        assert not any("predict" in asked for asked in visit.requests)
        assert not sagemaker.calls
        assert stores(visit) == ({}, {})

    def test_the_command_can_be_copied(self, visit: Visit) -> None:
        visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.open()

        visit.page.get_by_role("button", name="Copy").click()

        expect(visit.page.get_by_role("button", name="Copied")).to_be_visible()
        copied = visit.page.evaluate("navigator.clipboard.readText()")
        assert copied == visit.page.locator("#command").text_content()

    @pytest.mark.parametrize("session_token", ["", "of-a-role"])
    def test_the_command_signs_as_aws_checks_it(
        self, visit: Visit, sagemaker: FakeSageMaker, tmp_path: Path, session_token: str, signed: list[bool]
    ) -> None:
        # Given the page's command
        visit.open()
        command = visit.page.locator("#command").text_content()
        assert command
        image = bytes(range(256)) * 40
        (tmp_path / "scan.jpg").write_bytes(image)

        # When a shell runs it with credentials
        credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        done = subprocess.run(
            ["bash", "-c", command.replace("curl ", "curl --silent --noproxy '*' ", 1)],
            cwd=tmp_path,
            env=os.environ | credentials | {"AWS_SESSION_TOKEN": session_token},
            capture_output=True,
            text=True,
            check=True,
        )

        # Then its signature is the one that botocore makes of the same request, and the image arrives whole
        assert signed == [True]
        assert json.loads(done.stdout)["label"] == "YES"
        assert sagemaker.calls[0].body == image

    @pytest.fixture
    def signed(self) -> list[bool]:
        return []

    @pytest.fixture
    def guard(self, signed: list[bool]) -> Guard:
        def check(post: Post) -> int | None:
            signed.append(signature_of(post) == post.headers.get("authorization"))
            return None if signed[-1] else 403

        return check


class TestCognito:
    """A gateway at which people sign in."""

    @pytest.fixture
    def sign_in(self) -> Iterator[FakeSignIn]:
        with FakeSignIn().running() as fake:
            yield fake
        assert fake.faults == []

    @pytest.fixture
    def environment(self, environment: dict[str, str], sign_in: FakeSignIn) -> dict[str, str]:
        told = {"address": sign_in.url, "client_id": CLIENT_ID, "scope": SCOPE}
        return {**environment, "AUTH": "cognito", "SIGN_IN": json.dumps(told)}

    @pytest.fixture
    def elsewhere(self, sign_in: FakeSignIn) -> tuple[str, ...]:
        return (sign_in.url,)

    @pytest.fixture
    def guard(self, sign_in: FakeSignIn) -> Guard:
        def check(post: Post) -> int | None:
            kind, _, token = post.headers.get("authorization", "").partition(" ")
            return None if kind == "Bearer" and token in sign_in.tokens else 401

        return check

    @pytest.fixture(autouse=True)
    def page_is_known(self, visit: Visit, sign_in: FakeSignIn) -> None:
        sign_in.pages.append(f"{visit.url}/")

    def enter(self, visit: Visit) -> None:
        visit.page.get_by_role("button", name="Sign in").click()
        visit.page.get_by_role("link", name="Let me in").click()
        expect(visit.page.get_by_text("Signed in until")).to_be_visible()

    @pytest.mark.parametrize("suffix", ["", "/"])
    def test_who_signs_in_is_let_in(
        self, visit: Visit, sign_in: FakeSignIn, sagemaker: FakeSageMaker, suffix: str
    ) -> None:
        # Given somebody who is not signed in, and an image that is not sent
        visit.open(suffix)
        visit.choose(file())
        visit.expect_problem("Sign in first", "choose the image once more")

        # When they sign in
        self.enter(visit)

        # Then nothing of it stays in the address, and the access token alone in the tab
        assert visit.page.url == f"{visit.url}/"
        for_good, for_the_tab = stores(visit)
        assert for_good == {}
        assert [json.loads(kept)["access"] for kept in for_the_tab.values()] == sign_in.tokens
        assert not re.search("IDENTITY|REFRESH", json.dumps(for_the_tab))

        # And the image is judged
        visit.choose(file())
        visit.expect_answer("YES")
        assert len(sagemaker.calls) == 1

    @pytest.mark.parametrize("visit", LOOKS, indirect=True)
    def test_it_can_be_read(self, visit: Visit) -> None:
        visit.open()
        assert_readable(visit)
        self.enter(visit)
        assert_readable(visit)

    def test_it_lasts_over_a_reload_of_the_tab(self, visit: Visit) -> None:
        visit.open()
        self.enter(visit)

        visit.page.reload()

        expect(visit.page.get_by_text("Signed in until")).to_be_visible()

    def test_who_signs_out_is_out_here_and_there(self, visit: Visit, sign_in: FakeSignIn) -> None:
        visit.open()
        self.enter(visit)

        visit.page.get_by_role("button", name="Sign out").click()

        expect(visit.page.get_by_role("button", name="Sign in")).to_be_visible()
        assert stores(visit) == ({}, {})
        assert any(asked.startswith(f"{sign_in.url}/logout?") for asked in visit.requests)

    def test_a_token_that_the_gateway_refuses_is_forgotten(self, visit: Visit, sign_in: FakeSignIn) -> None:
        visit.open()
        self.enter(visit)
        sign_in.tokens.clear()

        visit.choose(file())

        visit.expect_problem("You were signed out", "Sign in again")
        assert stores(visit) == ({}, {})
        expect(visit.page.get_by_role("button", name="Sign in")).to_be_visible()

    def test_a_token_that_has_lapsed_is_not_sent(
        self, visit: Visit, sign_in: FakeSignIn, sagemaker: FakeSageMaker
    ) -> None:
        visit.open()
        sign_in.lasts_s = 2
        self.enter(visit)
        visit.page.wait_for_timeout(2100)

        visit.choose(file())

        visit.expect_problem("Sign in first", "")
        expect(visit.page.get_by_text("Your sign-in has lapsed")).to_be_visible()
        assert not sagemaker.calls

    def test_who_says_no_is_told_so(self, visit: Visit) -> None:
        visit.open()
        visit.page.get_by_role("button", name="Sign in").click()
        visit.page.get_by_role("link", name="Not me").click()

        expect(visit.page.get_by_text("Signing in did not work. You said no.")).to_be_visible()
        assert visit.page.url == f"{visit.url}/"
        assert stores(visit) == ({}, {})

    @pytest.mark.parametrize("state", ["", "of-another"])
    def test_a_code_that_this_tab_did_not_ask_for_is_not_used(
        self, visit: Visit, sign_in: FakeSignIn, state: str
    ) -> None:
        # Given an address by which somebody else would have this person sign in as them
        planted = f"/?code=theirs&state={state}&error_description=<b>Call+me</b>"

        # When it is opened, also by who has begun to sign in
        visit.open()
        visit.page.get_by_role("button", name="Sign in").click()
        expect(visit.page.get_by_role("link", name="Let me in")).to_be_visible()
        visit.open(planted)

        # Then its code is not even shown to Cognito, nor its text to the person
        expect(visit.page.get_by_text("It was not begun in this tab.")).to_be_visible()
        assert not sign_in.tokens
        assert "Call" not in visit.page.locator("body").inner_text()
        assert not any("oauth2/token" in asked for asked in visit.requests)
        assert stores(visit) == ({}, {})

    def test_a_code_is_good_once(self, visit: Visit, sign_in: FakeSignIn) -> None:
        visit.open()
        visit.page.get_by_role("button", name="Sign in").click()
        link = visit.page.get_by_role("link", name="Let me in").get_attribute("href")
        assert link
        visit.page.goto(link)
        expect(visit.page.get_by_text("Signed in until")).to_be_visible()

        visit.page.goto(link)

        expect(visit.page.get_by_text("Signed in until")).to_be_visible()
        assert len(sign_in.tokens) == 1
