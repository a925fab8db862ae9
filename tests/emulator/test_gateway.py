"""API Gateway's limits and its own answers, in front of a Lambda that echoes its request."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
import pytest
import requests
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda
from aws_cdk.assertions import Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.emulator.cloud import Cloud

GATEWAY_LIMIT = 10_485_760
EVENT_LIMIT = 6_291_456
HANDLER = """
import base64, hashlib
def handle(event, context):
    if event["path"] == "/fail":
        raise RuntimeError("a secret of the trace")
    if event["path"] == "/model-card":
        return {"statusCode": 200, "body": "card" * 250_000}
    body = event["body"] or ""
    body = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
    return {"statusCode": 200, "body": event["path"] + " " + hashlib.sha256(body).hexdigest()}
"""


def template() -> dict[str, Any]:
    stack = cdk.Stack(cdk.App(), "limits", synthesizer=cdk.LegacyStackSynthesizer())
    runtime, code = aws_lambda.Runtime.PYTHON_3_13, aws_lambda.Code.from_inline(HANDLER)
    function = aws_lambda.Function(stack, "Function", runtime=runtime, handler="index.handle", code=code)
    api = apigateway.LambdaRestApi(
        stack,
        "Api",
        handler=function,
        binary_media_types=["image/png"],
        min_compression_size=cdk.Size.bytes(1024),
        deploy_options=apigateway.StageOptions(stage_name="v1"),
        cloud_watch_role=False,
    )
    for kind in (apigateway.ResponseType.REQUEST_TOO_LARGE, apigateway.ResponseType.DEFAULT_5_XX):
        api.add_gateway_response(
            kind.response_type,
            type=kind,
            response_headers={"Content-Type": "'application/problem+json'"},
            templates={"application/json": '{"title": "ours", "type": "$context.error.responseType"}'},
        )
    cdk.CfnOutput(stack, "ApiId", value=api.rest_api_id)
    described: dict[str, Any] = Template.from_stack(stack).to_json()
    return described


@pytest.fixture(scope="module")
def url(cloud: Cloud) -> Iterator[str]:
    name = f"gateway-{uuid.uuid4().hex[:8]}"
    yield cloud.gateway_url({**cloud.create_stack(name, template()), "StageName": "v1"})
    cloud.delete_stack(name)


def post(url: str, body: bytes) -> requests.Response:
    return requests.post(url, data=body, headers={"Content-Type": "image/png"}, timeout=30)


def test_the_largest_body_of_an_event_reaches_the_lambda_unchanged(url: str) -> None:
    rest_of_the_event = 8192
    largest = (EVENT_LIMIT - rest_of_the_event) * 3 // 4  # base64 makes 4 bytes of 3
    body = (bytes(range(256)) * (largest // 256 + 1))[:largest]
    assert post(f"{url}/predict", body).text == f"/predict {hashlib.sha256(body).hexdigest()}"


@pytest.mark.parametrize("size", [EVENT_LIMIT * 3 // 4, GATEWAY_LIMIT, GATEWAY_LIMIT + 1])
def test_body_over_a_limit_gets_the_gateways_own_answer(url: str, size: int) -> None:
    answer = post(f"{url}/predict", bytes(size))
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {"title": "ours", "type": "REQUEST_TOO_LARGE"}


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("br, GZIP;q=0.5", "gzip"), ("identity", None), ("br", None)],
)
def test_a_large_answer_is_compressed_for_clients_that_accept_it(
    url: str, accepted: str, coding: str | None
) -> None:
    answer = requests.get(f"{url}/model-card", headers={"Accept-Encoding": accepted}, timeout=30)
    assert answer.headers.get("Content-Encoding") == coding
    assert answer.text == "card" * 250_000
    assert (int(answer.headers["Content-Length"]) < 100_000) == (coding is not None)


def test_a_small_answer_is_not_compressed(url: str) -> None:
    answer = requests.get(f"{url}/predict", headers={"Accept-Encoding": "gzip"}, timeout=30)
    assert answer.text.startswith("/predict ")
    assert "Content-Encoding" not in answer.headers


def test_the_api_answers_its_own_preflights(url: str) -> None:
    answer = requests.options(f"{url}/predict", headers={"Origin": "http://localhost:3000"}, timeout=30)
    assert answer.text.startswith("/predict ")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_trace_of_a_failing_lambda_stays_hidden(url: str) -> None:
    answer = requests.get(f"{url}/fail", timeout=30)
    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in answer.text
