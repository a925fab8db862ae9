"""The gateway's contract through the real path: HTTP, API Gateway, Lambda, SageMaker, the server."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import boto3
import pytest
import requests
from botocore.exceptions import ClientError
from PIL import Image

from infra import names
from model import phantom

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Laptop

MIB = 1024 * 1024
PROBLEM = {"type", "title", "status", "detail", "request_id"}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def declared_png(width: int, height: int) -> bytes:
    """A PNG of a few KB that declares any size: its pixels compress to almost nothing and are cut short."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(MIB)))
        + chunk(b"IEND", b"")
    )


def brain() -> Image.Image:
    return phantom.draw(seed=7, lesion=True)


def post(laptop: Laptop, body: bytes, media_type: str | None, path: str = "/predict") -> requests.Response:
    headers = {} if media_type is None else {"Content-Type": media_type}
    return requests.post(laptop.url + path, data=body, headers=headers, timeout=60)


def assert_prediction(answer: requests.Response) -> dict[str, object]:
    assert answer.status_code == 200, answer.text
    prediction: dict[str, object] = answer.json()
    assert prediction["label"] == ("YES" if prediction["class"] else "NO")
    assert 0 <= prediction["probability"] <= 1  # type: ignore[operator]
    assert (prediction["probability"] >= prediction["threshold"]) == (prediction["class"] == 1)  # type: ignore[operator]
    assert set(prediction["model"]) == {"name", "version", "sha256"}  # type: ignore[call-overload]
    assert prediction["request_id"]
    return prediction


def assert_problem(answer: requests.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert set(problem) >= PROBLEM
    assert problem["status"] == status
    assert "Traceback" not in answer.text


def test_the_demo_classified_one_held_out_image_of_each_class(laptop: Laptop) -> None:
    assert sorted(prediction["truth"] for prediction in laptop.predictions) == [0, 1]  # type: ignore[type-var]
    assert all(prediction["label"] in {"YES", "NO"} for prediction in laptop.predictions)


ACCEPTED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a JPEG": (lambda: encoded(brain(), "JPEG"), "image/jpeg"),
    "a PNG": (lambda: encoded(brain(), "PNG"), "image/png"),
    "a JPEG sent as bytes": (lambda: encoded(brain(), "JPEG"), "application/octet-stream"),
    "a PNG called a JPEG": (lambda: encoded(brain(), "PNG"), "image/jpeg"),
    "a CMYK JPEG": (lambda: encoded(brain().convert("CMYK"), "JPEG"), "image/jpeg"),
    "a palette PNG": (lambda: encoded(brain().convert("P"), "PNG"), "image/png"),
    "a PNG with alpha": (lambda: encoded(brain().convert("RGBA"), "PNG"), "image/png"),
    "a 16-bit PNG": (
        lambda: encoded(brain().convert("I").point(lambda level: level * 257).convert("I;16"), "PNG"),
        "image/png",
    ),
    "an animated PNG": (
        lambda: encoded(brain(), "PNG", save_all=True, append_images=[Image.new("L", brain().size)]),
        "image/png",
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_odd_but_whole_image_is_classified(laptop: Laptop, name: str) -> None:
    draw, media_type = ACCEPTED[name]
    assert_prediction(post(laptop, draw(), media_type))


def test_a_photograph_turned_by_exif_is_judged_upright(laptop: Laptop) -> None:
    # Given the same picture, once upright and once lying with a note to turn it
    turned = brain().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = assert_prediction(post(laptop, encoded(brain(), "PNG"), "image/png"))
    # When the lying one is sent, Then it gets the answer of the upright one
    lying = assert_prediction(post(laptop, encoded(turned, "PNG", exif=exif), "image/png"))
    assert lying["probability"] == pytest.approx(upright["probability"], abs=1e-3)


def test_a_form_upload_says_the_same_as_the_raw_body(laptop: Laptop) -> None:
    image = encoded(brain(), "JPEG")
    raw = assert_prediction(post(laptop, image, "image/jpeg"))
    form = requests.post(
        f"{laptop.url}/predict", files={"image": ("scan 1.jpg", image, "image/jpeg")}, timeout=60
    )
    assert assert_prediction(form)["probability"] == raw["probability"]


def test_the_heatmap_comes_when_asked_for(laptop: Laptop) -> None:
    answer = post(laptop, encoded(brain(), "PNG"), "image/png", path="/predict?heatmap=true")
    heatmap = assert_prediction(answer)["heatmap"]
    assert isinstance(heatmap, dict)
    assert len(heatmap["values"]) == heatmap["height"]
    assert all(len(row) == heatmap["width"] for row in heatmap["values"])


REFUSED: dict[str, tuple[Callable[[], bytes], str | None, int]] = {
    "no body": (lambda: b"", "image/png", 400),
    "a truncated JPEG": (lambda: encoded(brain(), "JPEG")[:2000], "image/jpeg", 400),
    "a truncated PNG": (lambda: encoded(brain(), "PNG")[:2000], "image/png", 400),
    "5 MiB": (lambda: bytes(5 * MIB), "image/png", 413),
    "11 MiB, over the gateway's own limit": (lambda: bytes(11 * MIB), "image/png", 413),
    "400 megapixels by its header": (lambda: declared_png(20_000, 20_000), "image/png", 413),
    "a text named .png": (lambda: b"not an image at all\n" * 20, "image/png", 415),
    "a GIF": (lambda: encoded(brain(), "GIF"), "image/png", 415),
    "a GIF that says so": (lambda: encoded(brain(), "GIF"), "image/gif", 415),
    "no Content-Type": (lambda: encoded(brain(), "PNG"), None, 415),
    "JSON": (lambda: b'{"image": "aGVsbG8="}', "application/json", 415),
    "one pixel": (lambda: encoded(Image.new("L", (1, 1)), "PNG"), "image/png", 422),
    "a form without the part": (
        lambda: b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
        400,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_bad_request_gets_its_problem(laptop: Laptop, name: str) -> None:
    make, media_type, status = REFUSED[name]
    assert_problem(post(laptop, make(), media_type), status)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/predict", 405), ("POST", "/", 405), ("DELETE", "/health", 405), ("GET", "/nowhere", 404)],
)
def test_wrong_methods_and_unknown_paths(laptop: Laptop, method: str, path: str, status: int) -> None:
    answer = requests.request(method, laptop.url + path, timeout=60)
    assert_problem(answer, status)
    assert status != 405 or answer.headers["Allow"]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("", "text/html"), ("/", "text/html"), ("/docs", "text/html"), ("/openapi.json", "application/json"),
     ("/model-card", "text/html")],
)  # fmt: skip
def test_everything_to_read_is_served(laptop: Laptop, path: str, media_type: str) -> None:
    answer = requests.get(laptop.url + path, headers={"Accept": "text/html"}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith(media_type)


@pytest.mark.parametrize(
    "path", ["", "/docs", "/openapi.json", "/model-card", "/health", "/predict", "/nowhere"]
)
def test_head_and_options_are_right_on_every_path(laptop: Laptop, path: str) -> None:
    taken = {"/predict": "OPTIONS, POST", "/nowhere": None}.get(path, "GET, HEAD, OPTIONS")
    status = {"/predict": 405, "/nowhere": 404}.get(path, 200)

    head = requests.head(laptop.url + path, timeout=60)
    options = requests.options(laptop.url + path, timeout=60)

    assert (head.status_code, head.content) == (status, b"")
    assert (options.status_code, options.headers.get("Allow")) == (204 if taken else 404, taken)
    assert head.headers["X-Request-Id"] != options.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["", "/docs", "/openapi.json", "/model-card"])
def test_text_is_compressed_by_the_gateway(laptop: Laptop, path: str) -> None:
    answer = requests.get(laptop.url + path, timeout=60)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert int(answer.headers["Content-Length"]) < len(answer.content)


def test_every_answer_names_its_request_and_a_prediction_is_kept_by_nobody(laptop: Laptop) -> None:
    for body in (encoded(brain(), "PNG"), b"", bytes(5 * MIB), bytes(11 * MIB)):
        answer = post(laptop, body, "image/png")
        assert answer.headers["X-Request-Id"] == answer.json()["request_id"]
        assert answer.headers["Cache-Control"] == "no-store"


def test_health_names_the_model_and_that_it_was_trained_on_phantoms(laptop: Laptop) -> None:
    health = requests.get(f"{laptop.url}/health", timeout=60).json()
    assert health["status"] == "ok"
    assert health["model"]["name"] == "tumor-detector-phantom"
    assert health["model"]["kind"] == "phantom"


def test_roles_may_do_what_their_policies_allow_and_no_more(laptop: Laptop) -> None:
    # Given the role that the gateway's Lambda has
    config = laptop.client("lambda").get_function(FunctionName="tumor-detector-local-gateway")[
        "Configuration"
    ]
    taken = laptop.client("sts").assume_role(RoleArn=config["Role"], RoleSessionName="test")["Credentials"]
    sagemaker = boto3.client(
        "sagemaker",
        endpoint_url=laptop.environment["AWS_ENDPOINT_URL"],
        region_name=laptop.environment["AWS_REGION"],
        aws_access_key_id=taken["AccessKeyId"],
        aws_secret_access_key=taken["SecretAccessKey"],
        aws_session_token=taken["SessionToken"],
    )
    # When it asks about its endpoint, and then for what it has no use for
    endpoint = names.endpoint("local", mode="real-time")
    assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "InService"
    # Then only the former is allowed
    with pytest.raises(ClientError, match="is not authorized to perform: sagemaker:DeleteEndpoint"):
        sagemaker.delete_endpoint(EndpointName=endpoint)
