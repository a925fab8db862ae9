"""Who is let in, as the laptop's AWS enforces it: the gateway's own template in each mode, deployed.

Its API Gateway enforces API keys, that IAM's requests are signed at all, and Cognito's tokens: signature,
issuer, expiry and scope. It only records the firewall and the second factor, and checks no signature's value.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from playwright.sync_api import expect, sync_playwright

from infra import config, names
from infra.settings.access import Auth, Firewall, SignIn
from scripts.delivery import gateway as delivery
from tests.browser import find_chromium
from tests.gateway.sagemaker import PREDICTION
from tests.gateway.visit import draw, file
from tests.local import gateway_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local.cloud import Cloud

ENDPOINT = names.endpoint("local", mode="real-time")
PERSON, PASSWORD = "ada@example.org", "Correct-horse-7-battery"


@dataclass(frozen=True)
class Deployed:
    """A gateway's stack on the laptop."""

    cloud: Cloud
    url: str
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def ask(self, path: str = "/predict", **headers: str) -> requests.Response:
        """Send an image; what comes back says whether it was let in."""
        headers = {"Content-Type": "image/png", **headers}
        return requests.post(self.url + path, data=draw(), headers=headers, timeout=30)


Deploy = Callable[[Auth], Deployed]


@pytest.fixture(scope="module")
def deploy(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """Deploy the gateway in a mode, before an endpoint that answers YES to everything."""
    config_name = cloud.config(adds=PREDICTION)
    cloud.sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=config_name)
    cloud.wait(ENDPOINT)
    cloud.s3.create_bucket(Bucket=gateway_stack.ASSETS)
    stacks: list[str] = []

    def deploy(auth: Auth) -> Deployed:
        folder = tmp_path_factory.mktemp(auth)
        synthesize(auth, folder, port=cloud.aws.port)
        stacks.append(f"gateway-{auth.replace('_', '-')}")
        outputs = gateway_stack.create(cloud, stacks[-1], folder)
        return Deployed(cloud, cloud.aws.gateway_url(outputs["ApiId"], outputs["StageName"]), outputs)

    yield deploy
    for name in stacks:
        cloud.stacks.delete_stack(StackName=name)
    cloud.delete(ENDPOINT)


@pytest.fixture(scope="module")
def asks_for_a_key(deploy: Deploy) -> Deployed:
    return deploy("api_key")


@pytest.fixture(scope="module")
def asks_for_signatures(deploy: Deploy) -> Deployed:
    return deploy("iam")


@pytest.fixture(scope="module")
def lets_people_sign_in(deploy: Deploy) -> Deployed:
    """With one person, who has set a password."""
    gateway = deploy("cognito")
    people, pool = gateway.client("cognito-idp"), gateway.outputs["UserPoolId"]
    people.admin_create_user(UserPoolId=pool, Username=PERSON, MessageAction="SUPPRESS")
    people.admin_set_user_password(UserPoolId=pool, Username=PERSON, Password=PASSWORD, Permanent=True)
    return gateway


def synthesize(auth: Auth, folder: Path, *, port: int) -> None:
    here = f"http://localhost:{port}"
    sign_in = SignIn(pages=(f"{here}/restapis/{{api_id}}/v1/_user_request_/",), laptop_address=here)
    settings = replace(
        config.load("local"),
        auth=auth,
        sign_in=sign_in if auth == "cognito" else None,
        firewall=Firewall(requests_per_five_minutes=100),
    )
    gateway_stack.synthesize(settings, folder)


def assert_kept_out(answer: requests.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status


def assert_let_in(answer: requests.Response) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.json()["label"] == "YES"


def assert_open(gateway: Deployed) -> None:
    """Everything but asking the model is for everybody."""
    for path in ("", "/", "/docs", "/openapi.json", "/model-card", "/health"):
        assert requests.get(gateway.url + path, timeout=30).status_code == 200


class TestApiKey:
    @pytest.fixture
    def gateway(self, asks_for_a_key: Deployed) -> Deployed:
        return asks_for_a_key

    def test_a_key_lets_in(self, gateway: Deployed) -> None:
        asked = gateway.client("apigateway")
        key = asked.get_api_key(apiKey=gateway.outputs["ApiKeyId"], includeValue=True)["value"]

        assert_kept_out(gateway.ask(), 403)
        assert_kept_out(gateway.ask(**{"x-api-key": f"{key}x"}), 403)
        assert_let_in(gateway.ask(**{"x-api-key": key}))
        assert_open(gateway)

    @pytest.mark.parametrize("path", ["/predict/", "/predict?x=1", "/%70redict", "/health", "/predict//"])
    def test_no_other_spelling_gets_around_it(self, gateway: Deployed, path: str) -> None:
        assert_kept_out(gateway.ask(path), 403)


class TestIam:
    @pytest.fixture
    def gateway(self, asks_for_signatures: Deployed) -> Deployed:
        return asks_for_signatures

    def test_a_signed_request_is_let_in(self, gateway: Deployed) -> None:
        request = AWSRequest(
            "POST", f"{gateway.url}/predict", data=draw(), headers={"Content-Type": "image/png"}
        )
        SigV4Auth(Credentials("000000000000", "laptop"), "execute-api", "us-east-1").add_auth(request)

        assert_kept_out(gateway.ask(), 403)
        assert_let_in(gateway.ask(**dict(request.headers.items())))
        assert_open(gateway)


class TestCognito:
    @pytest.fixture
    def gateway(self, lets_people_sign_in: Deployed) -> Deployed:
        return lets_people_sign_in

    def test_a_person_signs_in_at_the_page_and_is_let_in(self, gateway: Deployed) -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
            page = browser.new_page()

            # Given the page, to which nobody is signed in
            page.goto(gateway.url)
            expect(page.get_by_text("Sign in to ask the model")).to_be_visible()

            # When a person signs in at Cognito's own page
            page.get_by_role("button", name="Sign in").click()
            page.get_by_label("Username").fill(PERSON)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()

            # Then they are back, and their image is judged
            expect(page.get_by_text("Signed in until")).to_be_visible()
            assert page.url == f"{gateway.url}/"
            page.set_input_files("#file", [file()])
            expect(page.locator("#label")).to_have_text("YES")

            # And what opened the gateway opens it to a program too, and no changed copy of it does
            [kept] = json.loads(page.evaluate("JSON.stringify(Object.values(sessionStorage))"))
            token = json.loads(kept)["access"]
            assert_let_in(gateway.ask(Authorization=f"Bearer {token}"))
            for forged in (changed(token, exp=4102444800), f"{token[:-8]}AAAAAAAA", "x.y.z", ""):
                assert_kept_out(gateway.ask(Authorization=f"Bearer {forged}"), 401)

            # And they sign out again
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("button", name="Sign in")).to_be_visible()
            assert page.evaluate("sessionStorage.length") == 0
            browser.close()

    def test_nobody_else_is_let_in_and_all_else_is_open(self, gateway: Deployed) -> None:
        assert_kept_out(gateway.ask(), 401)
        assert_open(gateway)

    def test_smoke_asks_the_lambda_as_no_program_can_sign_in(
        self, gateway: Deployed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given the environment as scripts/smoke finds it
        for name, value in gateway.cloud.aws.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(delivery, "stack_outputs", lambda _stack: gateway.outputs)
        found = delivery.gateway_of(replace(config.load("local"), auth="cognito"))

        # When it asks, Then health is the gateway's answer, and the prediction the Lambda's
        assert found.health().status == 200
        answer = found.predict(draw(), media_type="image/png")
        assert (answer.status, answer.body["label"]) == (200, "YES")

    def test_a_token_without_the_scope_does_not_do(self, gateway: Deployed) -> None:
        # Given a token that Cognito's API gave out for a password, of the same person and pool
        people = gateway.client("cognito-idp")
        pool = gateway.outputs["UserPoolId"]
        other = people.create_user_pool_client(
            UserPoolId=pool, ClientName="other", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
        )["UserPoolClient"]["ClientId"]
        people.set_user_pool_mfa_config(UserPoolId=pool, MfaConfiguration="OFF")
        tokens = people.initiate_auth(
            ClientId=other,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": PERSON, "PASSWORD": PASSWORD},
        )["AuthenticationResult"]

        # When it is sent, Then it opens nothing, and nor does the identity token
        for kind in ("AccessToken", "IdToken"):
            assert_kept_out(gateway.ask(Authorization=f"Bearer {tokens[kind]}"), 401)

    def test_the_page_without_pkce_gets_no_token(self, gateway: Deployed) -> None:
        # Given a code that was asked for with a challenge
        here, page = gateway.cloud.aws.endpoint_url, f"{gateway.url}/"
        query = {
            "response_type": "code", "client_id": gateway.outputs["SignInClientId"], "redirect_uri": page,
            "scope": "tumor-detector/predict", "state": "s", "code_challenge_method": "S256", "nonce": "",
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        }  # fmt: skip
        credentials = {"username": PERSON, "password": PASSWORD}
        back = requests.post(
            f"{here}/login", data=query | credentials, allow_redirects=False, timeout=30
        ).headers["Location"]
        code = re.search(r"code=([^&]+)", back)
        assert code

        # When it is redeemed with another verifier, Then there is no token
        form = {
            "grant_type": "authorization_code", "client_id": query["client_id"], "code": code[1],
            "redirect_uri": page, "code_verifier": "x" * 43,
        }  # fmt: skip
        answer = requests.post(f"{here}/oauth2/token", data=form, timeout=30)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")

    def test_people_are_sent_back_to_this_page_alone(self, gateway: Deployed) -> None:
        query = {
            "response_type": "code", "client_id": gateway.outputs["SignInClientId"],
            "redirect_uri": "https://example.org/",
        }  # fmt: skip
        answer = requests.get(f"{gateway.cloud.aws.endpoint_url}/oauth2/authorize", params=query, timeout=30)
        assert answer.status_code == 400

    def test_the_firewall_is_declared_in_full(self, gateway: Deployed) -> None:
        firewall = gateway.client("wafv2")
        [acl] = [
            firewall.get_web_acl(Name=each["Name"], Scope="REGIONAL", Id=each["Id"])["WebACL"]
            for each in firewall.list_web_acls(Scope="REGIONAL")["WebACLs"]
            if each["Name"].startswith("gateway-cognito")
        ]
        assert [rule["Priority"] for rule in acl["Rules"]] == [0, 1, 2, 3]


def changed(token: str, **claims: object) -> str:
    """Return a token with other claims and its old signature."""
    head, body, signature = token.split(".")
    old = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    new = base64.urlsafe_b64encode(json.dumps(old | claims).encode()).rstrip(b"=").decode()
    return f"{head}.{new}.{signature}"
