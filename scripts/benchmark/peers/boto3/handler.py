"""The least that a handler can do: boto3's client made at import, the body decoded, the endpoint asked."""

from __future__ import annotations

import base64
import os
from typing import Any

import boto3

RUNTIME = boto3.client("sagemaker-runtime")
ENDPOINT_NAME = os.environ["ENDPOINT_NAME"]


def handle(event: dict[str, Any], _context: object) -> dict[str, object]:
    """Answer with what the endpoint says, whatever it is."""
    answer = RUNTIME.invoke_endpoint(
        EndpointName=ENDPOINT_NAME,
        ContentType="application/octet-stream",
        Body=base64.b64decode(event["body"]),
    )
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": answer["Body"].read().decode(),
        "isBase64Encoded": False,
    }
