"""The page in Chromium with authentication: by API key, by sign-in, and by IAM signatures."""

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

from tests.gateway.api_gateway import problem
from tests.gateway.sign_in import CLIENT_ID, SCOPE, FakeSignIn
from tests.gateway.visit import Visit, file
from tests.http_server import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.api_gateway import Authorizer
    from tests.gateway.sagemaker import FakeSageMaker
    from tests.http_server import Call

KEY = "a-key-that-is-right"
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"  # AWS's own example, which opens nothing
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def signature_of(call: Call) -> str:
    """Return what botocore puts into the Authorization header of a request with the same signed headers."""
    named = re.search("SignedHeaders=([^,]+)", call.headers.get("authorization", ""))
    signed = named[1].split(";") if named else []
    request = AWSRequest(
        method="POST",
        url=f"http://{call.headers['host']}{call.target}",
        data=call.body,
        headers={name: call.headers[name] for name in signed if name not in ("host", "x-amz-date")},
    )
    request.context["timestamp"] = call.headers.get("x-amz-date", "")
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET), "execute-api", "eu-west-1")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    scope = f"{ACCESS_KEY}/{signer.credential_scope(request)}"
    signature = signer.signature(to_sign, request)
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"


class TestApiKey:
    """A gateway that requires an API key."""

    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "AUTH": "api_key"}

    @pytest.fixture
    def in_front(self) -> list[Reply]:
        """What a firewall or a proxy answers first."""
        return []

    @pytest.fixture
    def authorizer(self, in_front: list[Reply]) -> Authorizer:
        return lambda call: (
            in_front.pop() if in_front else None if call.headers.get("x-api-key") == KEY else 403
        )

    def enter(self, visit: Visit, key: str) -> None:
        visit.page.get_by_label("API key").fill(key)
        visit.page.get_by_role("button", name="Use this key").click()

    def test_all_valid_images_wait_for_the_key(self, visit: Visit, sagemaker: FakeSageMaker) -> None:
        # Given images that were chosen before a key was entered
        visit.submit(file("one.png"), file("two.png"), file("scan.gif", "image/gif", b"GIF89a"))
        visit.expect_problem("An API key is needed", "Enter it above")
        expect(visit.page.get_by_label("API key")).to_be_focused()
        assert not any("predict" in url for url in visit.requests)
        # When the key is entered, with blanks around it
        visit.page.keyboard.type(f"  {KEY} ")
        visit.page.keyboard.press("Enter")
        # Then the valid ones are sent, and only this tab keeps the key
        expect(visit.page.locator("#summary")).to_have_text("3 of 3 done · 2 YES · 1 failed")
        visit.expect_answer("YES")
        assert len(sagemaker.calls) == 2
        expect(visit.page.get_by_label("API key")).to_be_hidden()
        local, session = visit.stores()
        assert local == {}
        assert list(session.values()) == [KEY]
        assert KEY not in visit.page.content()
        assert not any(KEY in url for url in visit.requests)
        visit.page.get_by_role("option", name="scan.gif").click()
        visit.expect_problem("Unsupported file", "image/gif")

    def test_a_rejected_key_is_removed_and_requested_again(self, visit: Visit) -> None:
        visit.open()
        self.enter(visit, "mistyped")
        visit.choose(file())
        visit.expect_problem("The key was not accepted", "Enter it again")
        expect(visit.page.locator("#reference")).to_contain_text("of-the-gateway")
        assert visit.stores() == ({}, {})
        expect(visit.page.get_by_role("button", name="Try again")).to_be_hidden()
        self.enter(visit, KEY)
        visit.expect_answer("YES")

    @pytest.mark.parametrize(
        "answer", [problem(403, {"X-Error-Type": "WAF_FILTERED"}), Reply(403, b"Blocked", "text/html")]
    )
    def test_a_firewalls_or_a_proxys_403_leaves_the_key(
        self, visit: Visit, in_front: list[Reply], answer: Reply
    ) -> None:
        in_front.append(answer)
        visit.open()
        self.enter(visit, KEY)
        visit.choose(file())
        visit.expect_problem("Not authorised", "")
        assert list(visit.stores()[1].values()) == [KEY]
        visit.page.get_by_role("button", name="Try again").click()
        visit.expect_answer("YES")

    def test_the_key_is_kept_until_the_tab_closes_or_it_is_removed(self, visit: Visit) -> None:
        visit.open()
        self.enter(visit, KEY)
        visit.page.reload()
        visit.choose(file())
        visit.expect_answer("YES")
        with visit.page.context.expect_page() as opened:
            visit.page.evaluate("open(location.href, '_blank', 'noopener')")
        expect(opened.value.get_by_label("API key")).to_be_visible()
        opened.value.close()
        visit.page.get_by_role("button", name="Remove the key").click()
        assert visit.stores() == ({}, {})
        expect(visit.page.get_by_label("API key")).to_be_visible()

    @pytest.mark.parametrize("key", ["", "   ", "two words", "schlüssel"])
    def test_a_key_that_no_header_can_carry_is_not_accepted(self, visit: Visit, key: str) -> None:
        visit.open()
        self.enter(visit, key)
        assert visit.stores() == ({}, {})
        expect(visit.page.get_by_label("API key")).to_be_focused()


class TestIam:
    """A gateway that requires signatures."""

    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "AUTH": "iam"}

    @pytest.fixture
    def authorizer(self) -> Authorizer:
        return lambda call: None if signature_of(call) == call.headers.get("authorization") else 403

    def test_the_page_takes_no_image_and_its_command_can_be_copied(
        self, visit: Visit, sagemaker: FakeSageMaker
    ) -> None:
        visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.open()
        expect(visit.page.get_by_role("heading", name="This page cannot sign")).to_be_visible()
        expect(visit.page.locator("#file")).to_be_hidden()
        visit.hand_over("drop", file())
        assert not any("predict" in url for url in visit.requests)
        assert not sagemaker.calls
        assert visit.stores() == ({}, {})
        visit.page.get_by_role("button", name="Copy").click()
        expect(visit.page.get_by_role("button", name="Copied")).to_be_visible()
        copied = visit.page.evaluate("navigator.clipboard.readText()")
        assert copied == visit.page.locator("#command").text_content()

    @pytest.mark.parametrize("session_token", ["", "of-a-role"])
    def test_the_command_signs_as_botocore_does(
        self, visit: Visit, sagemaker: FakeSageMaker, tmp_path: Path, session_token: str
    ) -> None:
        # When a shell runs the page's command with credentials
        visit.open()
        command = visit.page.locator("#command").text_content()
        assert command
        image = bytes(range(256)) * 40
        (tmp_path / "scan.jpg").write_bytes(image)
        credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        done = subprocess.run(
            ["bash", "-c", command.replace("curl ", "curl --silent --noproxy '*' ", 1)],
            cwd=tmp_path,
            env=os.environ | credentials | {"AWS_SESSION_TOKEN": session_token},
            capture_output=True,
            text=True,
            check=True,
        )
        # Then its signature is accepted, and the image arrives unchanged
        assert json.loads(done.stdout)["label"] == "YES"
        assert sagemaker.calls[0].body == image


class TestCognito:
    """A gateway that requires a sign-in."""

    @pytest.fixture
    def sign_in(self) -> Iterator[FakeSignIn]:
        with FakeSignIn().running() as fake:
            yield fake
        assert fake.violations == []

    @pytest.fixture
    def environment(self, environment: dict[str, str], sign_in: FakeSignIn) -> dict[str, str]:
        members = {"address": sign_in.url, "client_id": CLIENT_ID, "scope": SCOPE}
        return {**environment, "AUTH": "cognito", "SIGN_IN": json.dumps(members)}

    @pytest.fixture
    def authorizer(self, sign_in: FakeSignIn) -> Authorizer:
        def check(call: Call) -> int | None:
            kind, _, token = call.headers.get("authorization", "").partition(" ")
            return None if kind == "Bearer" and token in sign_in.tokens else 401

        return check

    @pytest.fixture(autouse=True)
    def register_page(self, visit: Visit, sign_in: FakeSignIn) -> None:
        sign_in.pages.append(f"{visit.url}/")
        visit.other_origins.append(sign_in.url)

    def enter(self, visit: Visit) -> None:
        visit.page.get_by_role("button", name="Sign in").click()
        visit.page.get_by_role("link", name="Let me in").click()
        expect(visit.page.get_by_text("Signed in until")).to_be_visible()

    @pytest.mark.parametrize("suffix", ["", "/"])
    def test_a_person_signs_in_classifies_and_signs_out(
        self, visit: Visit, sign_in: FakeSignIn, sagemaker: FakeSageMaker, suffix: str
    ) -> None:
        # Given a person who is not signed in, and an image that is not sent
        visit.open(suffix)
        visit.choose(file())
        visit.expect_problem("Sign in first", "choose the image once more")
        # When they sign in
        self.enter(visit)
        # Then the address holds no code, the tab keeps only the access token, and an image is classified
        assert visit.page.url == f"{visit.url}/"
        local, session = visit.stores()
        assert local == {}
        assert [json.loads(kept)["access"] for kept in session.values()] == sign_in.tokens
        assert not re.search("IDENTITY|REFRESH", json.dumps(session))
        visit.choose(file())
        visit.expect_answer("YES")
        assert len(sagemaker.calls) == 1
        # And the session outlasts a reload, and ends with the sign-out
        visit.page.reload()
        expect(visit.page.get_by_text("Signed in until")).to_be_visible()
        visit.page.get_by_role("button", name="Sign out").click()
        expect(visit.page.get_by_role("button", name="Sign in")).to_be_visible()
        assert visit.stores() == ({}, {})
        assert any(url.startswith(f"{sign_in.url}/logout?") for url in visit.requests)

    def test_a_rejected_token_is_removed_and_an_expired_one_not_sent(
        self, visit: Visit, sign_in: FakeSignIn, sagemaker: FakeSageMaker
    ) -> None:
        visit.open()
        self.enter(visit)
        sign_in.tokens.clear()
        visit.choose(file())
        visit.expect_problem("You were signed out", "Sign in again")
        assert visit.stores() == ({}, {})
        sign_in.expires_in_s = 2
        self.enter(visit)
        visit.page.wait_for_timeout(2100)
        visit.choose(file())
        visit.expect_problem("Sign in first", "")
        expect(visit.page.get_by_text("Your session has expired")).to_be_visible()
        assert not sagemaker.calls

    def test_a_denied_sign_in_is_reported(self, visit: Visit) -> None:
        visit.open()
        visit.page.get_by_role("button", name="Sign in").click()
        visit.page.get_by_role("link", name="Not me").click()
        expect(visit.page.get_by_text("Sign-in failed. You said no.")).to_be_visible()
        assert visit.page.url == f"{visit.url}/"
        assert visit.stores() == ({}, {})

    @pytest.mark.parametrize("state", ["", "of-another"])
    def test_a_code_that_this_tab_did_not_request_is_not_used(
        self, visit: Visit, sign_in: FakeSignIn, state: str
    ) -> None:
        # Given a person who has begun to sign in
        visit.open()
        visit.page.get_by_role("button", name="Sign in").click()
        expect(visit.page.get_by_role("link", name="Let me in")).to_be_visible()
        # When they open an address with somebody else's code
        visit.open(f"/?code=theirs&state={state}&error_description=<b>Call+me</b>")
        # Then neither Cognito gets the code, nor the person the text
        expect(visit.page.get_by_text("It was not started in this tab.")).to_be_visible()
        assert not sign_in.tokens
        assert "Call" not in visit.page.locator("body").inner_text()
        assert not any("oauth2/token" in url for url in visit.requests)
        assert visit.stores() == ({}, {})

    def test_a_code_is_used_once(self, visit: Visit, sign_in: FakeSignIn) -> None:
        visit.open()
        visit.page.get_by_role("button", name="Sign in").click()
        link = visit.page.get_by_role("link", name="Let me in").get_attribute("href")
        assert link
        visit.page.goto(link)
        expect(visit.page.get_by_text("Signed in until")).to_be_visible()
        visit.page.goto(link)
        expect(visit.page.get_by_text("Signed in until")).to_be_visible()
        assert len(sign_in.tokens) == 1
