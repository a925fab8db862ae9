"""The scheduled canary: sends the release's golden phantoms and fails if an answer differs from the record.

It invokes the gateway's Lambda with the event that API Gateway would send. It therefore needs no key and no
user in any auth mode, and covers everything behind API Gateway, which has alarms of its own.
"""

from __future__ import annotations

import json
import os
from typing import Any

import boto3

from .golden import PHANTOMS, difference, phantom_file, predict_event

# While an update is under way another release may still answer: differences are logged, not raised.
UPDATING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})


class CanaryError(Exception):
    """The served model does not match the release; the message lists each difference."""


def handle(_event: object, _context: object) -> None:
    """Check every golden answer.

    Raises
    ------
    CanaryError
        If any differs and no update is under way. Lambda counts it as an error, which the alarm watches.
    """
    # Seed, lesion and probability of each; without a probability, a refusal is promised.
    golden: list[dict[str, Any]] = json.loads(os.environ["GOLDEN"])
    differences = [
        f"golden phantom {each['seed']}: {found}" for each in golden if (found := _difference(each))
    ]
    level = "WARNING" if differences else "INFO"
    print(json.dumps({"level": level, "checked": len(golden), "differences": differences}))
    if differences and _endpoint_status() not in UPDATING:
        raise CanaryError("; ".join(differences))


def _difference(golden: dict[str, Any]) -> str | None:
    phantom = PHANTOMS / phantom_file(seed=golden["seed"], lesion=golden["lesion"])
    request_id = f"{os.environ['REQUEST_ID_PREFIX']}{golden['seed']}"
    event = predict_event(phantom.read_bytes(), media_type="image/png", request_id=request_id)
    answer = boto3.client("lambda").invoke(
        FunctionName=os.environ["FUNCTION_NAME"], Payload=json.dumps(event).encode()
    )
    envelope = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        status, body = 500, {"detail": "the gateway's Lambda failed"}
    else:
        status, body = envelope["statusCode"], json.loads(envelope["body"])
    return difference(status, body, probability=golden.get("probability"), sha256=os.environ["MODEL_SHA256"])


def _endpoint_status() -> str:
    described = boto3.client("sagemaker").describe_endpoint(EndpointName=os.environ["ENDPOINT_NAME"])
    return described["EndpointStatus"]
