"""What the gateway serves in each auth mode: one mode's documents never mention another's, and no secret."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args

import pytest
from openapi_spec_validator import validate

from infra.lambdas.gateway.settings import Mode
from infra.site import render
from infra.site.render import script
from tests.gateway.events import event
from tests.gateway.label_store import FEEDBACK

if TYPE_CHECKING:
    from tests.gateway.conftest import Send

ADDRESS = "https://people.auth.eu-west-1.amazoncognito.com"
SIGN_IN = {"address": ADDRESS, "client_id": "1example23456789", "scope": "tumor-detector/predict"}
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "SECRET-OF-THE-ROLE",
    "AWS_SESSION_TOKEN": "TOKEN-OF-THE-ROLE",
    "API_KEY": "SECRET-OF-A-CALLER",  # a stack never sets it: the page must not show it if one did
}
# Text that identifies each mode's part of the page and of the documentation.
ON_THE_PAGE = {
    "none": "rejected: () => null",
    "api_key": "x-api-key",
    "iam": "aws-sigv4",
    "cognito": "code_challenge",
}
IN_THE_DOCS = {"api_key": "x-api-key", "iam": "--aws-sigv4", "cognito": "Authorization: Bearer"}


@pytest.fixture(params=get_args(Mode))
def mode(request: pytest.FixtureRequest) -> Mode:
    mode: Mode = request.param
    return mode


@pytest.fixture
def environment(environment: dict[str, str], mode: Mode) -> dict[str, str]:
    return {**environment, **SECRETS, **FEEDBACK, "AUTH": mode, "SIGN_IN": json.dumps(SIGN_IN)}


def test_the_page_has_the_code_of_one_mode(send: Send, mode: Mode) -> None:
    page = send(event("get_page")).text
    assert [name for name, mark in ON_THE_PAGE.items() if mark in page] == [mode]
    assert "Not a medical device" in page
    assert "{{" not in page
    assert len(page.encode()) < 60_000


def test_the_page_writes_no_markup_and_only_its_history_outlasts_the_tab(send: Send) -> None:
    page, later = (send(event("get_page", path=path)).text for path in ("/", "/dicom.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page + later)
    history = script("page/history.js")
    assert history in page
    assert not re.search("localStorage|indexedDB|document\\.cookie", page.replace(history, ""))


def test_no_document_holds_a_secret(send: Send) -> None:
    for path in ("/", "/docs", "/openapi.json", "/health"):
        answer = send(event("get_page", path=path))
        sent = answer.text + json.dumps(answer.headers)
        assert not [name for name, secret in SECRETS.items() if secret in sent]
        # The form of a key id and of a token
        assert not re.search(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\beyJ[\w-]{10,}\.|client_secret", sent)


def test_the_page_may_connect_to_its_stage_and_to_the_sign_in_page(send: Send, mode: Mode) -> None:
    policy = send(event("get_page")).headers["Content-Security-Policy"].split("; ")
    allowed = {"cognito": f"connect-src 'self' {ADDRESS}"}.get(mode, "connect-src 'self'")
    assert [part for part in policy if part.startswith("connect-src")] == [allowed]


def test_the_document_has_the_security_scheme_of_the_mode(
    send: Send, mode: Mode, document: dict[str, Any]
) -> None:
    served = send(event("get_page", path="/openapi.json")).json
    validate(served)
    assert "Not a medical device" in served["info"]["description"]
    schemes = served["components"].pop("securitySchemes", {})
    assert list(schemes) == ([] if mode == "none" else [mode])
    scopes = [SIGN_IN["scope"]] if mode == "cognito" else []
    for path in ("/predict", "/predictions/{request_id}/label"):
        security = served["paths"][path]["post"].pop("security", [])
        assert security == ([] if mode == "none" else [{mode: scopes}])
    if mode == "cognito":
        assert schemes[mode]["flows"]["authorizationCode"] == {
            "authorizationUrl": f"{ADDRESS}/oauth2/authorize",
            "tokenUrl": f"{ADDRESS}/oauth2/token",
            "scopes": {SIGN_IN["scope"]: "Classify images"},
        }
    whole = render.openapi("none", feedback=True)
    assert served == whole, "the rest is the same"
    for kind in ("schemas", "headers", "responses"):
        assert whole["components"][kind].items() <= document["components"][kind].items()


def test_the_docs_describe_the_authentication(send: Send, mode: Mode) -> None:
    docs = send(event("get_page", path="/docs")).text
    assert ("<h3>Authentication</h3>" in docs) == (mode != "none")
    assert [name for name, mark in IN_THE_DOCS.items() if mark in docs] == [mode] * (mode != "none")


class TestWithAnAllowedOrigin:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "ALLOWED_ORIGIN": "https://example.org"}

    def test_it_may_read_every_answer_and_send_the_headers_of_the_mode(self, send: Send, mode: Mode) -> None:
        answer = send(event("predict_image", method="OPTIONS", body=b""))
        expected = {
            "none": set(),
            "api_key": {"X-Api-Key"},
            "iam": {"Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"},
            "cognito": {"Authorization"},
        }
        allowed = set(answer.headers["Access-Control-Allow-Headers"].split(", "))
        assert allowed == {"Content-Type", "Traceparent"} | expected[mode]
        assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        for sent in (event("predict_image"), event("predict_image", body=b""), event("get_page", path="/x")):
            assert send(sent).headers["Access-Control-Allow-Origin"] == "https://example.org"
