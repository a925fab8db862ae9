"""What the Lambda tells of its way in: no mode's documents speak of another's, and none holds a secret."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args

import pytest
from openapi_spec_validator import validate

import metrics
from access import HEADERS, Mode
from tests.gateway.conftest import FOLDER
from tests.gateway.events import event
from tests.gateway.sagemaker import PREDICTION, Reply, model_error

if TYPE_CHECKING:
    from tests.gateway.conftest import Send
    from tests.gateway.sagemaker import FakeSageMaker

ADDRESS = "https://people.auth.eu-west-1.amazoncognito.com"
SIGN_IN = {"address": ADDRESS, "client_id": "1example23456789", "scope": "tumor-detector/predict"}
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "SECRET-OF-THE-ROLE",
    "AWS_SESSION_TOKEN": "TOKEN-OF-THE-ROLE",
    "API_KEY": "SECRET-OF-A-CALLER",  # a stack never sets it: the page must not show it if one did
}
MODES = get_args(Mode)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    asked: Mode = request.param
    return asked


@pytest.fixture
def environment(environment: dict[str, str], mode: Mode) -> dict[str, str]:
    return {**environment, **SECRETS, "AUTH": mode, "SIGN_IN": json.dumps(SIGN_IN)}


def page(send: Send) -> str:
    return send(event("get_page")).text


def test_every_mode_has_its_part_of_the_page_and_its_scheme(document: dict[str, Any]) -> None:
    parts = {path.name for path in (FOLDER / "ways_in").iterdir()}
    assert parts == {f"{mode}.{kind}" for mode in MODES for kind in ("html", "js")}
    assert {"none", *document["components"]["securitySchemes"]} == set(MODES) == set(HEADERS)


def test_the_page_has_the_one_modes_code(send: Send, mode: Mode) -> None:
    assert len(page(send).encode()) < 60_000
    marks = {"none": "Everybody is let in", "api_key": "x-api-key", "iam": "aws-sigv4", "cognito": "oauth2"}
    shown = page(send)
    assert [name for name, mark in marks.items() if mark in shown] == [mode]
    assert ("PKCE" in shown) == (mode == "cognito")


def test_the_history_alone_is_kept_for_longer_than_the_tab(send: Send) -> None:
    shown = page(send)
    history = (FOLDER / "page" / "history.js").read_text()
    assert history in shown
    assert not re.search("localStorage|indexedDB|document\\.cookie", shown.replace(history, ""))


def test_no_document_holds_a_secret(send: Send) -> None:
    for path in ("/", "/docs", "/openapi.json", "/health"):
        shown = send(event("get_page", path=path))
        told = shown.text + json.dumps(shown.headers)
        assert not [name for name, secret in SECRETS.items() if secret in told]
        # What a key id, a key's value or a token looks like
        assert not re.search(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\beyJ[\w-]{10,}\.|client_secret", told)


def test_the_page_may_connect_to_its_stage_and_where_people_sign_in(send: Send, mode: Mode) -> None:
    policy = send(event("get_page")).headers["Content-Security-Policy"].split("; ")
    allowed = {"cognito": f"connect-src 'self' {ADDRESS}"}.get(mode, "connect-src 'self'")
    assert [part for part in policy if part.startswith("connect-src")] == [allowed]
    assert {"default-src 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)


def test_the_document_names_the_modes_scheme_alone(send: Send, mode: Mode) -> None:
    served = send(event("get_page", path="/openapi.json")).json

    validate(served)
    schemes = served["components"].get("securitySchemes", {})
    assert list(schemes) == ([] if mode == "none" else [mode])
    guarded = {
        path: operation["security"]
        for path, methods in served["paths"].items()
        for operation in methods.values()
        if "security" in operation
    }
    scopes = [SIGN_IN["scope"]] if mode == "cognito" else []
    assert guarded == ({} if mode == "none" else {"/predict": [{mode: scopes}]})
    if mode == "cognito":
        assert schemes[mode]["flows"]["authorizationCode"] == {
            "authorizationUrl": f"{ADDRESS}/oauth2/authorize",
            "tokenUrl": f"{ADDRESS}/oauth2/token",
            "scopes": {SIGN_IN["scope"]: "Ask the model"},
        }


def test_the_docs_say_how_to_be_let_in(send: Send, mode: Mode) -> None:
    shown = send(event("get_page", path="/docs")).text
    assert ("<h3>Access</h3>" in shown) == (mode != "none")
    marks = {"api_key": "x-api-key", "iam": "--aws-sigv4", "cognito": "Authorization: Bearer"}
    assert [name for name, mark in marks.items() if mark in shown] == ([] if mode == "none" else [mode])


class TestAnotherSitesPages:
    """With an allowed origin."""

    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "ALLOWED_ORIGIN": "https://example.org"}

    def test_they_may_send_what_lets_them_in_and_no_more(self, send: Send, mode: Mode) -> None:
        answer = send(event("predict_without_body", method="OPTIONS"))
        allowed = {
            "none": set(),
            "api_key": {"X-Api-Key"},
            "iam": {"Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token"},
            "cognito": {"Authorization"},
        }
        told = set(answer.headers["Access-Control-Allow-Headers"].split(", "))
        assert told == {"Content-Type", "Traceparent"} | allowed[mode]
        assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"


class TestCounts:
    """What becomes metrics."""

    @pytest.fixture(params=["none"])
    def mode(self, request: pytest.FixtureRequest) -> Mode:
        asked: Mode = request.param
        return asked

    def line(self, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        (line,) = capsys.readouterr().out.splitlines()
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    @pytest.mark.parametrize(
        ("reply", "counted"),
        [
            (Reply(body=json.dumps(PREDICTION).encode()), metrics.YES),
            (Reply(body=json.dumps({**PREDICTION, "label": "NO", "class": 0}).encode()), metrics.NO),
            (model_error(422, json.dumps({"detail": "No brain."})), metrics.REFUSED),
        ],
    )
    def test_each_judged_image_is_counted_once(
        self,
        send: Send,
        sagemaker: FakeSageMaker,
        capsys: pytest.CaptureFixture[str],
        reply: Reply,
        counted: str,
    ) -> None:
        sagemaker.default = reply
        send(event("predict_image"))

        line = self.line(capsys)
        assert {name: line[name] for name in metrics.OUTCOMES} == {
            name: int(name == counted) for name in metrics.OUTCOMES
        }
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == metrics.NAMESPACE
        assert directive["Dimensions"] == [[metrics.DIMENSION]]
        assert line[metrics.DIMENSION] == "tumor-detector-test-real-time"
        assert {told["Name"] for told in directive["Metrics"]} == set(metrics.OUTCOMES)
        assert {told["Unit"] for told in directive["Metrics"]} == {"Count"}
        assert isinstance(line["_aws"]["Timestamp"], int)
        assert line["_aws"]["Timestamp"] > 1_600_000_000_000  # milliseconds
        assert line["model_version"] == "3"

    @pytest.mark.parametrize(
        ("name", "reply"),
        [
            ("get_health", Reply()),
            ("predict_without_body", Reply()),
            ("predict_image", model_error(415, "{}")),
            ("predict_image", model_error(500, "{}")),
            ("predict_image", Reply(body=json.dumps({**PREDICTION, "label": "MAYBE"}).encode())),
        ],
    )
    def test_nothing_else_is_counted(
        self,
        send: Send,
        sagemaker: FakeSageMaker,
        capsys: pytest.CaptureFixture[str],
        name: str,
        reply: Reply,
    ) -> None:
        sagemaker.default = reply
        send(event(name))

        assert not {"_aws", *metrics.OUTCOMES} & self.line(capsys).keys()
