"""Paths and methods: which exist and what each allows, also from another origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.events import event
from tests.gateway.test_any_event import METHODS

if TYPE_CHECKING:
    from tests.gateway.conftest import Send

GET_PATHS = ("/", "/dicom.js", "/openapi.json", "/docs", "/health", "/model-card")


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_get_without_the_body(send: Send, path: str) -> None:
    got, head = send(event("get_page", path=path)), send(event("get_page", path=path, method="HEAD"))
    assert (head.status, head.headers, head.text) == (200, got.headers, "")


@pytest.mark.parametrize(
    ("path", "allow"), [*((path, "GET, HEAD, OPTIONS") for path in GET_PATHS), ("/predict", "OPTIONS, POST")]
)
def test_options_lists_the_methods_and_any_other_is_405(send: Send, path: str, allow: str) -> None:
    answer = send(event("get_page", method="OPTIONS", path=path))
    assert (answer.status, answer.headers["Allow"], answer.text) == (204, allow, "")
    for method in {*METHODS} - {*allow.split(", ")}:
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
