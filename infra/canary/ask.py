"""The scheduled canary: asks for the release's golden answers, and fails where one is not as promoted.

It calls the gateway's Lambda with the event that API Gateway would send. So it needs no key and no user
whatever `auth` is, and everything from the Lambda on is proved; API Gateway itself has its own alarms.
While the endpoint is updated it may be another release that answers: what differs then is logged, no more.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = tuple[int, dict[str, object]]  # a status and the JSON that came with it

TOLERANCE = 1e-3  # as scripts/smoke
UNPROCESSABLE = 422
REQUEST_ID = "golden-"  # how its request ids begin: infra/gateway/metrics.py leaves them out of the count
PHANTOMS = Path(__file__).with_name("phantoms")


class CanaryError(Exception):
    """What serves is not what was released; the message names each difference."""


class Golden(TypedDict, total=False):
    """One golden answer of the release record."""

    seed: int
    lesion: bool
    probability: float
    refused: bool


def handle(_event: object, _context: object) -> None:
    """Ask for every golden answer.

    Raises
    ------
    CanaryError
        If any differs, unless the endpoint is being updated. Lambda counts it as an error, which is what the
        alarm watches.
    """
    golden: list[Golden] = json.loads(os.environ["GOLDEN"])
    wrong = list(_differences(golden, _predict, sha256=os.environ["MODEL_SHA256"]))
    print(json.dumps({"level": "WARNING" if wrong else "INFO", "asked": len(golden), "wrong": wrong}))
    if wrong and not _updating():
        raise CanaryError("; ".join(wrong))


def _differences(golden: list[Golden], predict: Callable[[Golden], Answer], *, sha256: str) -> Iterator[str]:
    for each in golden:
        status, body = predict(each)
        name = f"golden phantom {each['seed']}"
        if each.get("refused"):
            if status != UNPROCESSABLE:
                yield f"{name}: refusal expected, answered {status}"
            continue
        probability, model = body.get("probability"), body.get("model")
        if not isinstance(probability, float) or not isinstance(model, dict):
            yield f"{name}: answered {status}"
        elif model.get("sha256") != sha256:
            yield f"{name}: another model answered: {str(model.get('sha256'))[:12]}"
        elif abs(probability - each["probability"]) > TOLERANCE:
            yield f"{name}: probability {probability:.4f}, {each['probability']:.4f} expected"


def _predict(golden: Golden) -> Answer:
    phantom = PHANTOMS / phantom_file(seed=golden["seed"], lesion=golden["lesion"])
    event = {
        "resource": "/{proxy+}",
        "httpMethod": "POST",
        "pathParameters": {"proxy": "predict"},
        "headers": {"Content-Type": "image/png"},
        "body": base64.b64encode(phantom.read_bytes()).decode(),
        "isBase64Encoded": True,
        "requestContext": {"requestId": f"{REQUEST_ID}{golden['seed']}"},
    }
    answer = boto3.client("lambda").invoke(
        FunctionName=os.environ["FUNCTION_NAME"], Payload=json.dumps(event).encode()
    )
    envelope = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        return 500, {}
    return envelope["statusCode"], json.loads(envelope["body"])


def _updating() -> bool:
    described = boto3.client("sagemaker").describe_endpoint(EndpointName=os.environ["ENDPOINT_NAME"])
    return described["EndpointStatus"] == "Updating"


def phantom_file(*, seed: int, lesion: bool) -> str:
    """Return the name of a phantom's drawing in `PHANTOMS`."""
    return f"{seed}-{'lesion' if lesion else 'healthy'}.png"
