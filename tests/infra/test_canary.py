"""The scheduled canary, run against a gateway's Lambda that answers rightly and wrongly."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import boto3
import pytest
from PIL import Image, ImageChops

from infra.canary import ask
from model import golden, phantom
from scripts.delivery import smoke

SHA256 = "a" * 64
GOLDEN = [
    {"seed": 101, "lesion": True, "probability": 0.93},
    {"seed": 102, "lesion": False, "refused": True},
]


class Gateway:
    """Stands in for the APIs of Lambda and SageMaker; keeps the events that it was called with."""

    def __init__(
        self, *answers: tuple[int, dict[str, object]], crashes: bool = False, endpoint: str = "InService"
    ) -> None:
        self.answers = list(answers)
        self.crashes = crashes
        self.endpoint = endpoint
        self.events: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, object]:  # noqa: N803
        assert FunctionName == "tumor-detector-prod-gateway"
        self.events.append(json.loads(Payload))
        if self.crashes:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "x"}')}
        status, body = self.answers[len(self.events) - 1]
        envelope = {"statusCode": status, "body": json.dumps(body)}
        return {"Payload": io.BytesIO(json.dumps(envelope).encode())}

    def describe_endpoint(self, *, EndpointName: str) -> dict[str, object]:  # noqa: N803
        assert EndpointName == "tumor-detector-prod-real-time"
        return {"EndpointStatus": self.endpoint}


def prediction(probability: float = 0.93, sha256: str = SHA256) -> tuple[int, dict[str, object]]:
    return 200, {"probability": probability, "model": {"sha256": sha256}}


REFUSAL: tuple[int, dict[str, object]] = (422, {"title": "Not a brain MRI"})


def run(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    monkeypatch.setenv("GOLDEN", json.dumps(GOLDEN))
    monkeypatch.setenv("MODEL_SHA256", SHA256)
    monkeypatch.setenv("FUNCTION_NAME", "tumor-detector-prod-gateway")
    monkeypatch.setenv("ENDPOINT_NAME", "tumor-detector-prod-real-time")
    services = {"lambda": gateway, "sagemaker": gateway}
    monkeypatch.setattr(boto3, "client", lambda service: services[service])
    ask.handle({}, None)


def test_right_answers_pass_and_one_line_is_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, Gateway(prediction(0.9305), REFUSAL))
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"level": "INFO", "asked": 2, "wrong": []}


def test_it_sends_the_phantoms_as_api_gateway_would(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(prediction(), REFUSAL)
    run(monkeypatch, gateway)
    event = gateway.events[0]
    assert (event["httpMethod"], event["pathParameters"]) == ("POST", {"proxy": "predict"})
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == (ask.PHANTOMS / "101-lesion.png").read_bytes()


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((prediction(0.9285), REFUSAL), "golden phantom 101: probability 0.9285, 0.9300 expected"),
        ((prediction(sha256="b" * 64), REFUSAL), "golden phantom 101: another model answered: bbbbbbbbbbbb"),
        (((503, {"detail": "not ready"}), REFUSAL), "golden phantom 101: answered 503"),
        ((prediction(), prediction()), "golden phantom 102: refusal expected, answered 200"),
    ],
)
def test_a_wrong_answer_fails_with_its_difference(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[tuple[int, dict[str, object]], ...], said: str
) -> None:
    with pytest.raises(ask.CanaryError) as error:
        run(monkeypatch, Gateway(*answers))
    assert str(error.value) == said


def test_what_differs_while_the_endpoint_is_updated_is_logged_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, Gateway(prediction(sha256="b" * 64), REFUSAL, endpoint="Updating"))
    told = json.loads(capsys.readouterr().out)
    assert told["level"] == "WARNING"
    assert told["wrong"] == ["golden phantom 101: another model answered: bbbbbbbbbbbb"]


def test_a_gateway_that_crashes_fails_on_every_phantom(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ask.CanaryError) as error:
        run(monkeypatch, Gateway(crashes=True))
    assert str(error.value).split("; ") == [
        "golden phantom 101: answered 500",
        "golden phantom 102: refusal expected, answered 500",
    ]


def test_it_allows_what_the_smoke_test_allows() -> None:
    assert ask.TOLERANCE == smoke.TOLERANCE


@pytest.mark.parametrize(("seed", "lesion"), golden.PHANTOMS)
def test_its_drawings_are_those_that_a_promotion_asks_about(seed: int, lesion: bool) -> None:
    drawing = Image.open(ask.PHANTOMS / ask.phantom_file(seed=seed, lesion=lesion))
    assert ImageChops.difference(drawing, phantom.draw(seed=seed, lesion=lesion)).getbbox() is None


def test_it_has_no_drawing_that_nothing_asks_about() -> None:
    asked = {ask.phantom_file(seed=seed, lesion=lesion) for seed, lesion in golden.PHANTOMS}
    assert {path.name for path in ask.PHANTOMS.iterdir()} == asked
