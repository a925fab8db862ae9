"""Paths and methods: which exist, what each allows, and that the OpenAPI document says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from tests.gateway.events import BINARY_TYPES, event
from upload import FORM_FIELD, FORM_TYPE, IMAGE_TYPES, MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from types import ModuleType

    from tests.gateway.conftest import Send
    from tests.gateway.sagemaker import FakeSageMaker

GET_PATHS = ("/", "/openapi.json", "/docs", "/health")


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)


def test_the_document_says_that_this_is_no_medical_device(document: dict[str, Any]) -> None:
    assert "Not a medical device" in document["info"]["description"]


def test_the_document_has_the_handlers_paths_and_methods(
    handler: ModuleType, document: dict[str, Any]
) -> None:
    documented = {path: {method.upper() for method in methods} for path, methods in document["paths"].items()}

    assert documented == {path: set(methods) for path, methods in handler.ROUTES.items()}


def test_the_document_has_the_handlers_media_types_and_limits(
    handler: ModuleType, document: dict[str, Any]
) -> None:
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    image = document["components"]["schemas"]["Image"]

    assert set(content) == {*IMAGE_TYPES, FORM_TYPE} == set(BINARY_TYPES)
    assert image["maxLength"] == MAX_IMAGE_BYTES
    assert content[FORM_TYPE]["schema"]["required"] == [FORM_FIELD]


def test_the_documents_examples_follow_its_schemas(document: dict[str, Any]) -> None:
    shown = [
        (content["schema"], example)
        for methods in document["paths"].values()
        for operation in methods.values()
        for answer in operation["responses"].values()
        for content in answer.get("content", {}).values()
        for example in (
            *(named["value"] for named in content.get("examples", {}).values()),
            *([content["example"]] if "example" in content else []),
        )
    ]

    assert shown
    for schema, example in shown:
        OAS31Validator({**schema, "components": document["components"]}).validate(example)


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_get_without_the_body(send: Send, path: str) -> None:
    got, head = send(event("get_page", path=path)), send(event("get_page", path=path, method="HEAD"))

    assert (head.status, head.headers, head.text) == (200, got.headers, "")


def test_head_of_an_endpoint_that_is_down_is_503(send: Send, sagemaker: FakeSageMaker) -> None:
    sagemaker.status = "Failed"

    answer = send(event("get_health", method="HEAD"))

    assert (answer.status, answer.text) == (503, "")


@pytest.mark.parametrize(
    ("path", "allow"), [*((path, "GET, HEAD, OPTIONS") for path in GET_PATHS), ("/predict", "OPTIONS, POST")]
)
def test_options_names_the_methods(send: Send, path: str, allow: str) -> None:
    answer = send(event("get_page", method="OPTIONS", path=path))

    assert (answer.status, answer.headers["Allow"], answer.text) == (204, allow, "")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/predict", "OPTIONS, POST"),
        ("HEAD", "/predict", "OPTIONS, POST"),
        ("DELETE", "/predict", "OPTIONS, POST"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("PUT", "/health", "GET, HEAD, OPTIONS"),
        ("PATCH", "/docs", "GET, HEAD, OPTIONS"),
    ],
)
def test_another_method_is_405_with_those_allowed(send: Send, method: str, path: str, allow: str) -> None:
    answer = send(event("get_page", method=method, path=path))

    assert (answer.status, answer.headers["Allow"]) == (405, allow)


@pytest.mark.parametrize(
    "path", ["/wp-login.php", "/predict/", "/predict/x", "//", "/Predict", "/<script>", "/" + "x" * 9000]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_an_unknown_path_is_404(send: Send, method: str, path: str) -> None:
    answer = send(event("get_unknown_path", method=method, path=path))

    assert answer.status == 404
    assert len(answer.text) < 500


def test_every_answer_forbids_sniffing_framing_and_referrers(send: Send) -> None:
    names = ("get_page", "get_health", "get_unknown_path", "predict_image", "predict_without_body")

    for answer in map(send, map(event, names)):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
@pytest.mark.parametrize("path", [*GET_PATHS, "/model-card", "/predict", "/nothing"])
def test_every_answer_names_its_request(send: Send, method: str, path: str) -> None:
    answer = send(event("get_page", method=method, path=path))

    assert answer.headers["X-Request-Id"] == "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    if answer.status >= 400 and answer.text:
        assert answer.json["request_id"] == answer.headers["X-Request-Id"]


class TestWithoutAnAllowedOrigin:
    def test_no_answer_lets_another_origin_read_it(self, send: Send) -> None:
        for answer in map(send, (event("predict_image"), event("get_page", method="OPTIONS"))):
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]


class TestWithAnAllowedOrigin:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "ALLOWED_ORIGIN": "https://example.org"}

    def test_every_answer_names_it(self, send: Send) -> None:
        for answer in map(
            send, (event("predict_image"), event("predict_without_body"), event("get_unknown_path"))
        ):
            assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"

    def test_a_preflight_may_post_an_image(self, send: Send) -> None:
        answer = send(event("predict_without_body", method="OPTIONS"))

        assert answer.status == 204
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type, Traceparent"
