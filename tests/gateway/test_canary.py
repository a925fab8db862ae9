"""The scheduled canary against a gateway's Lambda that answers as released and otherwise."""

from __future__ import annotations

import base64
import io
import json
from contextlib import nullcontext
from typing import Any

import boto3
import numpy as np
import pytest
from PIL import Image, ImageChops

from infra.lambdas.canary import golden, handler
from infra.lambdas.gateway import metrics
from model.data import phantom
from model.release.golden import PHANTOMS

SHA256 = "a" * 64
UPDATING = ("Creating", "Updating", "SystemUpdating", "RollingBack")
GOLDEN = [
    {"seed": 101, "lesion": True, "probability": 0.93},
    {"seed": 102, "lesion": False, "refused": True},
]

Answer = tuple[int, dict[str, object]] | None
"""Status and body, or None where the Lambda crashes."""


class Gateway:
    """The APIs of Lambda and SageMaker, with the events of each invocation."""

    def __init__(self, *answers: Answer, endpoint: str = "InService") -> None:
        self.answers = list(answers)
        self.endpoint = endpoint
        self.events: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, object]:  # noqa: N803
        assert FunctionName == "tumor-detector-prod-gateway"
        self.events.append(json.loads(Payload))
        answer = self.answers[len(self.events) - 1]
        if answer is None:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "x"}')}
        status, body = answer
        envelope = {"statusCode": status, "body": json.dumps(body)}
        return {"Payload": io.BytesIO(json.dumps(envelope).encode())}

    def describe_endpoint(self, *, EndpointName: str) -> dict[str, object]:  # noqa: N803
        assert EndpointName == "tumor-detector-prod-real-time"
        return {"EndpointStatus": self.endpoint}


def prediction(probability: float = 0.93, sha256: str = SHA256) -> Answer:
    return 200, {"probability": probability, "model": {"sha256": sha256}}


NOT_REFUSED = "a refusal was expected, the answer is"
CRASHED = "the gateway's Lambda failed"
REFUSAL: Answer = (422, {"title": "Not a brain MRI"})


def run(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    monkeypatch.setenv("GOLDEN", json.dumps(GOLDEN))
    monkeypatch.setenv("MODEL_SHA256", SHA256)
    monkeypatch.setenv("FUNCTION_NAME", "tumor-detector-prod-gateway")
    monkeypatch.setenv("REQUEST_ID_PREFIX", metrics.UNCOUNTED)
    monkeypatch.setenv("ENDPOINT_NAME", "tumor-detector-prod-real-time")
    services = {"lambda": gateway, "sagemaker": gateway}
    monkeypatch.setattr(boto3, "client", lambda service: services[service])
    handler.handle({}, None)


def test_it_sends_uncounted_events_of_api_gateway_and_logs_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = Gateway(prediction(0.9305), REFUSAL)
    run(monkeypatch, gateway)
    event = gateway.events[0]
    assert (event["httpMethod"], event["pathParameters"]) == ("POST", {"proxy": "predict"})
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == (golden.PHANTOMS / "101-lesion.png").read_bytes()
    assert all(event["requestContext"]["requestId"].startswith(metrics.UNCOUNTED) for event in gateway.events)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"level": "INFO", "checked": 2, "differences": []}


@pytest.mark.parametrize(
    ("answers", "difference"),
    [
        ((prediction(0.9285), REFUSAL), "golden phantom 101: the probability is 0.9285, expected 0.9300"),
        ((prediction(sha256="b" * 64), REFUSAL), "golden phantom 101: another model answered: bbbbbbbbbbbb"),
        (((503, {"detail": "not ready"}), REFUSAL), "golden phantom 101: the answer is 503: not ready"),
        ((prediction(), prediction()), f"golden phantom 102: {NOT_REFUSED} 200"),
        (
            (None, None),
            f"golden phantom 101: the answer is 500: {CRASHED}; golden phantom 102: {NOT_REFUSED} 500",
        ),
    ],
)
def test_a_difference_is_raised(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[Answer, ...], difference: str
) -> None:
    with pytest.raises(handler.CanaryError) as error:
        run(monkeypatch, Gateway(*answers))
    assert str(error.value) == difference


@pytest.mark.parametrize("status", [*UPDATING, "InService", "Failed", "OutOfService"])
def test_a_difference_is_always_logged_and_not_raised_during_an_update(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: str
) -> None:
    with nullcontext() if status in UPDATING else pytest.raises(handler.CanaryError):
        run(monkeypatch, Gateway(prediction(sha256="b" * 64), REFUSAL, endpoint=status))
    line = json.loads(capsys.readouterr().out)
    assert line["level"] == "WARNING"
    assert line["differences"] == ["golden phantom 101: another model answered: bbbbbbbbbbbb"]


def test_its_phantoms_are_those_of_a_promotion() -> None:
    files = {golden.phantom_file(seed=seed, lesion=lesion): (seed, lesion) for seed, lesion in PHANTOMS}
    assert {path.name for path in golden.PHANTOMS.iterdir()} == files.keys()
    for name, (seed, lesion) in files.items():
        difference = ImageChops.difference(
            Image.open(golden.PHANTOMS / name), phantom.draw(seed=seed, lesion=lesion)
        )
        # Another processor's instructions round a few pixels differently.
        assert np.asarray(difference).max() <= 1, name
