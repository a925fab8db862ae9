"""The gateway's contract through the real path: HTTP, API Gateway, Lambda, SageMaker, the server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import requests
from botocore.exceptions import ClientError
from PIL import Image

from infra import names
from model.data import phantom
from tests.container.samples import encoded, jpeg, png
from tests.e2e.load import assert_problem
from tests.e2e.production import keys_of
from tests.fuzz import pngs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Demo

MIB = 1024 * 1024
BRAIN = phantom.draw(seed=7, lesion=True)


def post(demo: Demo, body: bytes, media_type: str | None, path: str = "/predict") -> requests.Response:
    headers = {} if media_type is None else {"Content-Type": media_type}
    return requests.post(demo.url + path, data=body, headers=headers, timeout=60)


def assert_prediction(response: requests.Response) -> dict[str, object]:
    assert response.status_code == 200, response.text
    prediction: dict[str, object] = response.json()
    assert prediction["label"] == ("YES" if prediction["class"] else "NO")
    assert 0 <= prediction["probability"] <= 1  # type: ignore[operator]
    assert (prediction["probability"] >= prediction["threshold"]) == (prediction["class"] == 1)  # type: ignore[operator]
    assert set(prediction["model"]) == {"name", "version", "sha256"}  # type: ignore[call-overload]
    assert prediction["request_id"]
    return prediction


def test_the_demo_classified_one_held_out_image_of_each_class(demo: Demo) -> None:
    assert sorted(prediction["truth"] for prediction in demo.predictions) == [0, 1]  # type: ignore[type-var]
    assert all(prediction["label"] in {"YES", "NO"} for prediction in demo.predictions)


def test_a_form_upload_gives_the_same_as_the_raw_body(demo: Demo) -> None:
    image = jpeg(BRAIN)
    raw = assert_prediction(post(demo, image, "image/jpeg"))
    form = requests.post(
        f"{demo.url}/predict", files={"image": ("scan 1.jpg", image, "image/jpeg")}, timeout=60
    )
    assert assert_prediction(form)["probability"] == raw["probability"]


REFUSED: dict[str, tuple[Callable[[], bytes], str | None, int]] = {
    "no body": (lambda: b"", "image/png", 400),
    "a truncated JPEG": (lambda: jpeg(BRAIN)[:2000], "image/jpeg", 400),
    "5 MiB": (lambda: bytes(5 * MIB), "image/png", 413),
    "11 MiB, over API Gateway's limit": (lambda: bytes(11 * MIB), "image/png", 413),
    "400 megapixels by its header": (lambda: pngs.file(pngs.header(20_000, 20_000)), "image/png", 413),
    "a text named .png": (lambda: b"not an image at all\n" * 20, "image/png", 415),
    "a GIF": (lambda: encoded(BRAIN, "GIF"), "image/gif", 415),
    "no Content-Type": (lambda: png(BRAIN), None, 415),
    "one pixel": (lambda: png(Image.new("L", (1, 1))), "image/png", 422),
    "a form without the part": (
        lambda: b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
        400,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_bad_request_gets_its_problem(demo: Demo, name: str) -> None:
    make, media_type, status = REFUSED[name]
    assert_problem(post(demo, make(), media_type), status)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/predict", 405), ("POST", "/", 405), ("DELETE", "/health", 405), ("GET", "/nowhere", 404)],
)
def test_wrong_methods_and_unknown_paths_are_problems(
    demo: Demo, method: str, path: str, status: int
) -> None:
    response = requests.request(method, demo.url + path, timeout=60)
    assert_problem(response, status)
    assert status != 405 or response.headers["Allow"]


@pytest.mark.parametrize("path", ["", "/", "/docs", "/openapi.json", "/model-card"])
def test_every_document_is_served_compressed_if_not_small(demo: Demo, path: str) -> None:
    response = requests.get(demo.url + path, headers={"Accept": "text/html"}, timeout=60)
    assert response.status_code == 200, response.text
    media_type = "application/json" if path == "/openapi.json" else "text/html"
    assert response.headers["Content-Type"].startswith(media_type)
    assert response.headers["Content-Encoding"] == "gzip"
    assert int(response.headers["Content-Length"]) < len(response.content)


def test_every_response_names_its_request_and_forbids_caching(demo: Demo) -> None:
    for body in (png(BRAIN), b"", bytes(5 * MIB), bytes(11 * MIB)):
        response = post(demo, body, "image/png")
        assert response.headers["X-Request-Id"] == response.json()["request_id"]
        assert response.headers["Cache-Control"] == "no-store"


def test_health_names_the_model_and_that_phantoms_trained_it(demo: Demo) -> None:
    health = requests.get(f"{demo.url}/health", timeout=60).json()
    assert health["status"] == "ok"
    assert health["model"]["name"] == "tumor-detector-phantom"
    assert health["model"]["kind"] == "phantom"


def test_roles_may_do_what_their_policies_allow_and_no_more(demo: Demo) -> None:
    # Given the role of the gateway's Lambda
    function = demo.client("lambda").get_function(FunctionName="tumor-detector-local-gateway")
    credentials = demo.client("sts").assume_role(
        RoleArn=function["Configuration"]["Role"], RoleSessionName="test"
    )["Credentials"]
    sagemaker = replace(demo, credentials=keys_of(credentials)).client("sagemaker")
    # When it describes its endpoint, and then tries to delete it, Then only the former is allowed
    endpoint = names.endpoint("local", mode="real-time")
    assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "InService"
    with pytest.raises(ClientError, match="is not authorized to perform: sagemaker:DeleteEndpoint"):
        sagemaker.delete_endpoint(EndpointName=endpoint)
