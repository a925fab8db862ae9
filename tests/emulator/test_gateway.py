"""API Gateway's limits and its own answers, in front of a Lambda that echoes its request."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.emulator.deployment import resource

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
    api, root = {"Ref": "Api"}, {"Fn::GetAtt": ["Api", "RootResourceId"]}
    uri = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${Function.Arn}/invocations"
    integration = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": {"Fn::Sub": uri}}

    def method(path: dict[str, Any]) -> dict[str, Any]:
        return resource(
            "ApiGateway::Method",
            RestApiId=api,
            ResourceId=path,
            HttpMethod="ANY",
            AuthorizationType="NONE",
            Integration=integration,
        )

    def problem(kind: str) -> dict[str, Any]:
        body = '{"title": "ours", "type": "$context.error.responseType"}'
        return resource(
            "ApiGateway::GatewayResponse",
            RestApiId=api,
            ResponseType=kind,
            ResponseTemplates={"application/json": body},
            ResponseParameters={"gatewayresponse.header.Content-Type": "'application/problem+json'"},
        )

    described = {
        "ProxyAny": method({"Ref": "Proxy"}),
        "RootAny": method(root),
        "TooLarge": problem("REQUEST_TOO_LARGE"),
        "Default": problem("DEFAULT_5XX"),
    }
    deployment = resource("ApiGateway::Deployment", RestApiId=api, StageName="v1")
    resources = described | {
        "Function": resource(
            "Lambda::Function",
            Runtime="python3.13",
            Handler="index.handle",
            Role="arn:aws:iam::000000000000:role/gateway",
            Code={"ZipFile": HANDLER},
        ),
        "Api": resource(
            "ApiGateway::RestApi", Name="limits", BinaryMediaTypes=["image/png"], MinimumCompressionSize=1024
        ),
        "Proxy": resource("ApiGateway::Resource", RestApiId=api, ParentId=root, PathPart="{proxy+}"),
        "Deployment": deployment | {"DependsOn": list(described)},
    }
    return {"Resources": resources, "Outputs": {"ApiId": {"Value": api}}}


@pytest.fixture(scope="module")
def url(cloud: Cloud) -> Iterator[str]:
    name = f"gateway-{uuid.uuid4().hex[:8]}"
    yield cloud.gateway_url(cloud.create_stack(name, template())["ApiId"], "v1")
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
