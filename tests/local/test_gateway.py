"""API Gateway's limits and its own answers, in front of a Lambda that says what it was sent."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.local.cloud import AT_ONCE, Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

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
PROBLEM = {
    "ResponseTemplates": {"application/json": '{"title": "ours", "type": "$context.error.responseType"}'},
    "ResponseParameters": {"gatewayresponse.header.Content-Type": "'application/problem+json'"},
    "RestApiId": {"Ref": "Api"},
}


def template() -> str:
    uri = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${Function.Arn}/invocations"
    method: dict[str, Any] = {
        "RestApiId": {"Ref": "Api"},
        "HttpMethod": "ANY",
        "AuthorizationType": "NONE",
        "Integration": {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": {"Fn::Sub": uri}},
    }
    root = {"Fn::GetAtt": ["Api", "RootResourceId"]}
    function = {
        "Runtime": "python3.13",
        "Handler": "index.handle",
        "Role": "arn:aws:iam::000000000000:role/front",
        "Code": {"ZipFile": HANDLER},
    }
    proxy = {"RestApiId": {"Ref": "Api"}, "ParentId": root, "PathPart": "{proxy+}"}
    resources: dict[str, Any] = {
        "Function": ("AWS::Lambda::Function", function),
        "Api": (
            "AWS::ApiGateway::RestApi",
            {"Name": "limits", "BinaryMediaTypes": ["image/png"], "MinimumCompressionSize": 1024},
        ),
        "Proxy": ("AWS::ApiGateway::Resource", proxy),
        "ProxyAny": ("AWS::ApiGateway::Method", method | {"ResourceId": {"Ref": "Proxy"}}),
        "RootAny": ("AWS::ApiGateway::Method", method | {"ResourceId": root}),
        "TooLarge": ("AWS::ApiGateway::GatewayResponse", PROBLEM | {"ResponseType": "REQUEST_TOO_LARGE"}),
        "Default": ("AWS::ApiGateway::GatewayResponse", PROBLEM | {"ResponseType": "DEFAULT_5XX"}),
        "Deployment": ("AWS::ApiGateway::Deployment", {"RestApiId": {"Ref": "Api"}, "StageName": "v1"}),
    }
    declared = {
        name: {"Type": kind, "Properties": properties} for name, (kind, properties) in resources.items()
    }
    declared["Deployment"]["DependsOn"] = ["ProxyAny", "RootAny", "TooLarge", "Default"]
    return json.dumps({"Resources": declared, "Outputs": {"ApiId": {"Value": {"Ref": "Api"}}}})


@pytest.fixture(scope="module")
def url(cloud: Cloud) -> Iterator[str]:
    name = f"gateway-{uuid.uuid4().hex[:8]}"
    cloud.stacks.create_stack(StackName=name, TemplateBody=template())
    cloud.stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=AT_ONCE)
    [output] = cloud.stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    yield cloud.aws.gateway_url(output["OutputValue"], "v1")
    cloud.stacks.delete_stack(StackName=name)


def post(url: str, body: bytes) -> requests.Response:
    return requests.post(url, data=body, headers={"Content-Type": "image/png"}, timeout=30)


@pytest.mark.parametrize("path", ["", "/"])
def test_stage_answers_with_and_without_a_slash(url: str, path: str) -> None:
    answer = requests.get(url + path, timeout=30)
    assert (answer.status_code, answer.text.split()[0]) == (200, "/")


def test_binary_body_reaches_the_lambda_unchanged(url: str) -> None:
    body = bytes(range(256)) * 1000
    assert post(f"{url}/predict", body).text == f"/predict {hashlib.sha256(body).hexdigest()}"


def test_body_that_fits_a_lambdas_event_is_let_through(url: str) -> None:
    rest_of_the_event = 8192
    largest = (EVENT_LIMIT - rest_of_the_event) * 3 // 4  # base64 makes 4 bytes of 3
    assert post(f"{url}/predict", bytes(largest)).status_code == 200


@pytest.mark.parametrize("size", [EVENT_LIMIT * 3 // 4, GATEWAY_LIMIT, GATEWAY_LIMIT + 1])
def test_body_over_a_limit_gets_the_gateways_own_answer(url: str, size: int) -> None:
    answer = post(f"{url}/predict", bytes(size))
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {"title": "ours", "type": "REQUEST_TOO_LARGE"}


def test_a_card_full_of_plots_comes_whole(url: str) -> None:
    assert requests.get(f"{url}/model-card", timeout=30).text == "card" * 250_000


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("br, GZIP;q=0.5", "gzip"), ("identity", None), ("br", None)],
)
def test_text_is_compressed_for_whoever_takes_that(url: str, accepted: str, coding: str | None) -> None:
    answer = requests.get(f"{url}/model-card", headers={"Accept-Encoding": accepted}, timeout=30)
    assert answer.headers.get("Content-Encoding") == coding
    assert answer.text == "card" * 250_000
    assert (int(answer.headers["Content-Length"]) < 100_000) == (coding is not None)


def test_little_text_is_sent_as_it_is(url: str) -> None:
    answer = requests.get(f"{url}/predict", headers={"Accept-Encoding": "gzip"}, timeout=30)
    assert answer.text.startswith("/predict ")
    assert "Content-Encoding" not in answer.headers


def test_preflight_is_the_apis_own_to_answer(url: str) -> None:
    answer = requests.options(f"{url}/predict", headers={"Origin": "http://localhost:3000"}, timeout=30)
    assert answer.text.startswith("/predict ")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_lambda_that_fails_shows_nothing_of_its_trace(url: str) -> None:
    answer = requests.get(f"{url}/fail", timeout=30)
    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in answer.text
