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
    from tests.e2e.conftest import Demo

MIB = 1024 * 1024
BRAIN = phantom.draw(seed=7, lesion=True)


def post(demo: Demo, body: bytes, media_type: str | None, path: str = "/predict") -> requests.Response:
    headers = {} if media_type is None else {"Content-Type": media_type}
    return requests.post(demo.url + path, data=body, headers=headers, timeout=60)


def test_the_demo_classified_one_held_out_image_of_each_class(demo: Demo) -> None:
    assert sorted(prediction["truth"] for prediction in demo.predictions) == [0, 1]  # type: ignore[type-var]
    assert all(prediction["label"] in {"YES", "NO"} for prediction in demo.predictions)


def test_a_form_upload_gives_the_same_as_the_raw_body(demo: Demo) -> None:
    image = jpeg(BRAIN)
    raw = post(demo, image, "image/jpeg")
    form = requests.post(
        f"{demo.url}/predict", files={"image": ("scan 1.jpg", image, "image/jpeg")}, timeout=60
    )
    for response in (raw, form):
        assert response.status_code == 200, response.text
        assert response.headers["X-Request-Id"] == response.json()["request_id"]
        assert response.headers["Cache-Control"] == "no-store"
    assert raw.json()["label"] in {"YES", "NO"}
    assert form.json() == raw.json() | {"request_id": form.json()["request_id"]}


REFUSED: dict[str, tuple[bytes, str | None, int]] = {
    "no body": (b"", "image/png", 400),
    "a truncated JPEG": (jpeg(BRAIN)[:2000], "image/jpeg", 400),
    "5 MiB": (bytes(5 * MIB), "image/png", 413),
    "11 MiB, over API Gateway's limit": (bytes(11 * MIB), "image/png", 413),
    "400 megapixels by its header": (pngs.file(pngs.header(20_000, 20_000)), "image/png", 413),
    "a text named .png": (b"not an image at all\n" * 20, "image/png", 415),
    "a GIF": (encoded(BRAIN, "GIF"), "image/gif", 415),
    "no Content-Type": (png(BRAIN), None, 415),
    "one pixel": (png(Image.new("L", (1, 1))), "image/png", 422),
    "a form without the part": (
        b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
        400,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_bad_request_gets_its_problem(demo: Demo, name: str) -> None:
    body, media_type, status = REFUSED[name]
    response = post(demo, body, media_type)
    assert_problem(response, status)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["", "/", "/docs", "/openapi.json", "/model-card"])
def test_every_document_is_served_compressed_if_not_small(demo: Demo, path: str) -> None:
    response = requests.get(demo.url + path, headers={"Accept": "text/html"}, timeout=60)
    assert response.status_code == 200, response.text
    media_type = "application/json" if path == "/openapi.json" else "text/html"
    assert response.headers["Content-Type"].startswith(media_type)
    assert response.headers["Content-Encoding"] == "gzip"
    assert int(response.headers["Content-Length"]) < len(response.content)


def test_a_role_may_do_no_more_than_its_policies_allow(demo: Demo) -> None:
    # Given the role of the gateway's Lambda, which describes its endpoint for each health check
    function = demo.client("lambda").get_function(FunctionName="tumor-detector-local-gateway")
    credentials = demo.client("sts").assume_role(
        RoleArn=function["Configuration"]["Role"], RoleSessionName="test"
    )["Credentials"]
    sagemaker = replace(demo, credentials=keys_of(credentials)).client("sagemaker")
    # When it tries to delete the endpoint, Then it is refused
    with pytest.raises(ClientError, match="is not authorized to perform: sagemaker:DeleteEndpoint"):
        sagemaker.delete_endpoint(EndpointName=names.endpoint("local", mode="real-time"))
