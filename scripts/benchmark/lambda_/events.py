"""What the handlers are asked: the event that API Gateway makes of a POST of an image, in three sizes."""

from __future__ import annotations

import base64
import json
import random

MIB = 2**20
SIZES = {"0.1 MiB": MIB // 10, "1 MiB": MIB, "4 MiB": 4 * MIB}
"""Bytes of the image by their names; the last is the most that the gateway takes."""
REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
HEADERS = {
    "accept": "*/*",
    "content-type": "image/jpeg",
    "Host": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
    "User-Agent": "curl/8.5.0",
    "X-Amzn-Trace-Id": "Root=1-6745e2a1-4b1c2d3e4f5a6b7c8d9e0f1a",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
}


def image(size: int) -> bytes:
    """Return bytes in the place of an image file: no handler looks into it, only the container does."""
    return random.Random(size).randbytes(size)  # noqa: S311 - to be the same in every run


def text(size: int) -> str:
    """Return the event as Lambda's runtime gets it, with an image of so many bytes.

    docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    return json.dumps(
        {
            "resource": "/{proxy+}",
            "path": "/predict",
            "httpMethod": "POST",
            "headers": HEADERS,
            "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "pathParameters": {"proxy": "predict"},
            "stageVariables": None,
            "requestContext": {
                "resourcePath": "/{proxy+}",
                "httpMethod": "POST",
                "path": "/v1/predict",
                "protocol": "HTTP/1.1",
                "stage": "v1",
                "requestId": REQUEST_ID,
                "identity": {"sourceIp": "203.0.113.7", "userAgent": "curl/8.5.0"},
            },
            "body": base64.b64encode(image(size)).decode(),
            "isBase64Encoded": True,
        }
    )
