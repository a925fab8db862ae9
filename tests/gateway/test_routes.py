"""Paths and methods: which exist and what each allows, also from another origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.events import event

if TYPE_CHECKING:
    from tests.gateway.conftest import Send
    from tests.gateway.sagemaker import FakeSageMaker

GET_PATHS = ("/", "/dicom.js", "/openapi.json", "/docs", "/health", "/model-card")


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_get_without_the_body(send: Send, path: str) -> None:
    got, head = send(event("get_page", path=path)), send(event("get_page", path=path, method="HEAD"))
    assert (head.status, head.headers, head.text) == (200, got.headers, "")


def test_head_of_an_endpoint_out_of_service_is_503(send: Send, sagemaker: FakeSageMaker) -> None:
    sagemaker.status = "Failed"
    answer = send(event("get_page", path="/health", method="HEAD"))
    assert (answer.status, answer.text) == (503, "")


@pytest.mark.parametrize(
    ("path", "allow"), [*((path, "GET, HEAD, OPTIONS") for path in GET_PATHS), ("/predict", "OPTIONS, POST")]
)
def test_options_lists_the_methods(send: Send, path: str, allow: str) -> None:
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
def test_another_method_is_405_with_the_allowed_ones(send: Send, method: str, path: str, allow: str) -> None:
    answer = send(event("get_page", method=method, path=path))
    assert (answer.status, answer.headers["Allow"]) == (405, allow)


@pytest.mark.parametrize(
    "path", ["/wp-login.php", "/predict/", "/predict/x", "//", "/Predict", "/<script>", "/" + "x" * 9000]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_an_unknown_path_is_404(send: Send, method: str, path: str) -> None:
    answer = send(event("get_page", method=method, path=path))
    assert answer.status == 404
    assert len(answer.text) < 500


def test_without_an_allowed_origin_no_other_origin_may_read_an_answer(send: Send) -> None:
    for answer in map(send, (event("predict_image"), event("get_page", method="OPTIONS"))):
        assert not [name for name in answer.headers if name.startswith("Access-Control-")]
