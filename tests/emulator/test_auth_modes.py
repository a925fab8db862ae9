"""Access control, as local AWS enforces it, with the gateway's own template deployed in each mode.

Its API Gateway enforces API keys, that IAM's requests are signed at all, and Cognito's tokens: signature,
issuer, expiry and scope. It only records the firewall and the second factor, and checks no signature's value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from playwright.sync_api import expect, sync_playwright

from infra import config, names
from infra.config.environment import Auth, Feedback, Firewall, SignIn
from infra.local_aws import ACCOUNT, HOST
from scripts.api import gateway as delivery
from tests.browser import find_chromium
from tests.e2e.load import assert_problem
from tests.emulator.deployment import create_gateway
from tests.gateway.sagemaker import PREDICTION
from tests.gateway.visit import draw, file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulator.cloud import Cloud

NOTE = "a note for no log"
PERSON, PASSWORD = "ada@example.org", "Correct-horse-7-battery"


@dataclass(frozen=True)
class Deployed:
    """A gateway's stack in local AWS."""

    cloud: Cloud
    url: str
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def predict(self, path: str = "/predict", **headers: str) -> requests.Response:
        """Send an image."""
        headers = {"Content-Type": "image/png", **headers}
        return requests.post(self.url + path, data=draw(), headers=headers, timeout=30)


Deploy = Callable[[Auth], Deployed]


@pytest.fixture(scope="module")
def deploy(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """Deploy the gateway in a mode, once, in front of an endpoint that always predicts YES."""
    config_name = cloud.config(adds=PREDICTION)
    deployed: list[str] = []  # environments

    @cache
    def deploy(auth: Auth) -> Deployed:
        chosen = settings(auth, port=cloud.aws.port)
        cloud.endpoint(config_name, name=names.endpoint(chosen.environment, mode="real-time"))
        deployed.append(chosen.environment)
        cloud.create_bucket(label_bucket(auth))
        outputs = create_gateway(cloud, chosen, tmp_path_factory.mktemp(auth))
        return Deployed(cloud, cloud.gateway_url(outputs), outputs)

    yield deploy
    for name in deployed:
        cloud.delete_stack(names.stack(name, "gateway"))
        cloud.delete(names.endpoint(name, mode="real-time"))


@pytest.fixture(scope="module")
def cognito(deploy: Deploy) -> Deployed:
    """The gateway with one user, who has a password; the page at the address of Cognito's redirects."""
    deployed = deploy("cognito")
    gateway = replace(deployed, url=deployed.url.replace(HOST, "localhost"))
    people, pool = gateway.client("cognito-idp"), gateway.outputs["UserPoolId"]
    people.admin_create_user(UserPoolId=pool, Username=PERSON, MessageAction="SUPPRESS")
    people.admin_set_user_password(UserPoolId=pool, Username=PERSON, Password=PASSWORD, Permanent=True)
    return gateway


def settings(auth: Auth, *, port: int) -> config.Settings:
    here = f"http://localhost:{port}"
    sign_in = SignIn(pages=(f"{here}/restapis/{{api_id}}/v1/_user_request_/",), local_address=here)
    return replace(
        config.load("local"),
        environment=auth.replace("_", ""),  # functions have their environment's name
        auth=auth,
        sign_in=sign_in if auth == "cognito" else None,
        firewall=Firewall(requests_per_five_minutes=100),
        feedback=Feedback(expire_days=1),
    )


def label_bucket(auth: Auth) -> str:
    return names.bucket(auth.replace("_", ""), "labels", account=ACCOUNT, region="us-east-1")


def label(gateway: Deployed, request_id: str, **headers: str) -> requests.Response:
    """Say that the image of a prediction shows a tumour."""
    url = f"{gateway.url}/predictions/{request_id}/label"
    return requests.post(url, json={"label": "YES", "note": NOTE}, headers=headers, timeout=30)


def labels_of(gateway: Deployed, auth: Auth, request_id: str) -> list[dict[str, Any]]:
    """Return the labels of a prediction."""
    s3, bucket = gateway.cloud.s3, label_bucket(auth)
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"labels/{request_id}/").get("Contents", [])
    return [json.load(s3.get_object(Bucket=bucket, Key=each["Key"])["Body"]) for each in found]


def assert_predicted(answer: requests.Response) -> None:
    assert (answer.status_code, answer.json().get("label")) == (200, "YES"), answer.text


@pytest.mark.parametrize(("auth", "status"), [("api_key", 403), ("iam", 403), ("cognito", 401)])
def test_only_predictions_need_credentials(deploy: Deploy, auth: Auth, status: int) -> None:
    gateway = deploy(auth)
    assert_problem(gateway.predict(), status)
    for path in ("", "/", "/docs", "/openapi.json", "/model-card", "/health"):
        assert requests.get(gateway.url + path, timeout=30).status_code == 200


def test_only_the_right_key_is_accepted(deploy: Deploy) -> None:
    gateway = deploy("api_key")
    key = gateway.cloud.api_key(gateway.outputs)
    assert_problem(gateway.predict(**{"x-api-key": f"{key}x"}), 403)
    assert_predicted(gateway.predict(**{"x-api-key": key}))


def test_a_label_needs_the_key_and_is_kept_once_for_it(deploy: Deploy) -> None:
    # Given a prediction
    gateway = deploy("api_key")
    key = {"x-api-key": gateway.cloud.api_key(gateway.outputs)}
    request_id = gateway.predict(**key).json()["request_id"]

    # When it is labelled without the key, and 100 times at once with it
    assert_problem(label(gateway, request_id, **{"x-api-key": "another"}), 403)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: label(gateway, request_id, **key), range(100)))

    # Then the key has one label there, an id that was not given has none, and no log has the note
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    (found,) = labels_of(gateway, "api_key", request_id)
    assert (found["caller"], found["label"], found["note"]) == (gateway.outputs["ApiKeyId"], "YES", NOTE)
    assert_problem(label(gateway, request_id[:-13], **key), 404)
    logs = gateway.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        assert NOTE not in str(logs.filter_log_events(logGroupName=group["logGroupName"])["events"])


@pytest.mark.parametrize("path", ["/predict/", "/predict?x=1", "/%70redict", "/health", "/predict//"])
def test_no_other_spelling_of_the_path_needs_no_key(deploy: Deploy, path: str) -> None:
    assert_problem(deploy("api_key").predict(path), 403)


def test_a_signed_request_is_accepted(deploy: Deploy) -> None:
    gateway = deploy("iam")
    headers = {"Content-Type": "image/png"}
    request = AWSRequest("POST", f"{gateway.url}/predict", data=draw(), headers=headers)
    SigV4Auth(Credentials("000000000000", "local"), "execute-api", "us-east-1").add_auth(request)
    assert_predicted(gateway.predict(**dict(request.headers.items())))


def test_a_person_signs_in_at_the_page_and_gets_a_prediction(cognito: Deployed) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = browser.new_page()

        # Given the page, to which nobody is signed in
        page.goto(cognito.url)
        expect(page.get_by_text("Sign in to classify images")).to_be_visible()

        # When a person signs in at Cognito's own page
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Username").fill(PERSON)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()

        # Then they are back, and their image is classified
        expect(page.get_by_text("Signed in until")).to_be_visible()
        assert page.url == f"{cognito.url}/"
        page.set_input_files("#file", [file()])
        expect(page.locator("#label")).to_have_text("YES")

        # And a program may use their token too, but no changed copy of it
        [kept] = json.loads(page.evaluate("JSON.stringify(Object.values(sessionStorage))"))
        token = json.loads(kept)["access"]
        answer = cognito.predict(Authorization=f"Bearer {token}")
        assert_predicted(answer)

        # And what they say at the page and by the program is theirs
        page.get_by_role("button", name="No tumour").click()
        expect(page.get_by_text("Noted: no tumour")).to_be_visible()
        assert label(cognito, answer.json()["request_id"], Authorization=f"Bearer {token}").ok
        (found,) = labels_of(cognito, "cognito", answer.json()["request_id"])
        user = cognito.client("cognito-idp").admin_get_user(
            UserPoolId=cognito.outputs["UserPoolId"], Username=PERSON
        )
        assert {"Name": "sub", "Value": found["caller"]} in user["UserAttributes"]
        for forged in (changed(token, exp=4102444800), f"{token[:-8]}AAAAAAAA", "x.y.z", ""):
            assert_problem(cognito.predict(Authorization=f"Bearer {forged}"), 401)

        # And they sign out again
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0
        browser.close()


def test_smoke_invokes_the_lambda_as_no_program_can_sign_in(
    cognito: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the environment as scripts/smoke finds it
    cognito.cloud.connect(monkeypatch)
    monkeypatch.setattr(delivery, "stack_outputs", lambda _stack: cognito.outputs)
    client = delivery.gateway_client(settings("cognito", port=cognito.cloud.aws.port))

    # When it runs, Then the gateway reports its health, and the Lambda itself predicts
    assert client.health().status == "ok"
    assert client.predict(draw()).label == "YES"


def test_a_token_without_the_scope_is_rejected(cognito: Deployed) -> None:
    # Given tokens that Cognito's API issues for the same user's password
    people, pool = cognito.client("cognito-idp"), cognito.outputs["UserPoolId"]
    other = people.create_user_pool_client(
        UserPoolId=pool, ClientName="other", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
    )["UserPoolClient"]["ClientId"]
    people.set_user_pool_mfa_config(UserPoolId=pool, MfaConfiguration="OFF")
    tokens = people.initiate_auth(
        ClientId=other,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": PERSON, "PASSWORD": PASSWORD},
    )["AuthenticationResult"]

    # When one is sent, Then it is rejected, and so is the identity token
    for kind in ("AccessToken", "IdToken"):
        assert_problem(cognito.predict(Authorization=f"Bearer {tokens[kind]}"), 401)


def changed(token: str, **claims: object) -> str:
    """Return a token with other claims and its old signature."""
    head, body, signature = token.split(".")
    old = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    new = base64.urlsafe_b64encode(json.dumps(old | claims).encode()).rstrip(b"=").decode()
    return f"{head}.{new}.{signature}"
