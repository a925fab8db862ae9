"""Nothing of an image, a token or a key gets into a log, whether the image is judged, refused or broken."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from PIL import Image

from infra.constructs.api import ACCESS_LOG
from model import phantom
from tests.container.pictures import chunk, jpeg
from tests.fuzz import images, jpegs, pngs

if TYPE_CHECKING:
    from tests.fuzz.laptop import Gateway, Laptop

pytestmark = pytest.mark.usefixtures("unharmed")

MARK = "Planted7"  # in every marker, and in no log by itself
CHUNK = b"Zq7c"  # of a chunk's name there are four letters


@dataclass(frozen=True)
class Marked:
    """An image with a marker in it, and how it must be answered."""

    data: bytes
    status: int


def mark(where: str) -> bytes:
    return f"{MARK}-{where}".encode()


def pictures() -> dict[str, Marked]:
    """Images with markers wherever an image can hold text: whole, refused and broken ones."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = mark("exif").decode(), 6
    head = phantom.draw(seed=1, lesion=True)
    whole_jpeg, whole_png = images.whole()["JPEG, L"], images.whole()["PNG, L"]
    texts = [
        *(chunk(b"tEXt", mark("key") + b"\0" + mark("text")), chunk(b"eXIf", exif.tobytes()[6:])),
        chunk(b"iTXt", mark("international") + b"\0\0\0\0\0" + mark("itext")),
    ]

    def noted(marker: int, content: bytes, data: bytes = whole_jpeg) -> bytes:
        return jpegs.between(data, jpegs.segment(marker, content))

    judged = {
        "JPEG with notes": jpeg(head, exif=exif.tobytes(), comment=mark("comment")),
        "JPEG of unknown notes": noted(0xEB, mark("app")),
        "JPEG, EXIF of garbage": noted(0xE1, b"Exif\0\0" + mark("exif")),
        "JPEG, bytes behind it": whole_jpeg + mark("behind"),
        "PNG with texts": pngs.between(whole_png, *texts),
        "PNG, a chunk of its own": pngs.between(whole_png, chunk(CHUNK, mark("chunk"))),
    }
    broken = {
        "JPEG, cut short": noted(0xFE, mark("cut"), whole_jpeg[:-2000]),
        "PNG, wrong checksum": pngs.between(whole_png, b"\0\0\0\4" + CHUNK + mark("wrong")),
        "PNG, chunk of no letters": pngs.between(whole_png, b"\0\0\0\4Zq7\xff" + mark("raw")),
    }
    return {
        **{name: Marked(data, 200) for name, data in judged.items()},
        **{name: Marked(data, 400) for name, data in broken.items()},
        "no image at all": Marked(mark("text") * 50, 415),
        "too small": Marked(pngs.between(pngs.drawn(8), *texts), 422),
    }


@pytest.mark.parametrize("kind", ["body", "form"])
@pytest.mark.parametrize("name", pictures())
def test_images_with_markers_are_answered(gateway: Gateway, name: str, kind: str) -> None:
    picture = pictures()[name]
    body, content_type = picture.data, "application/octet-stream"
    if kind == "form":
        disposition = b'Content-Disposition: form-data; name="image"; filename="%b"' % mark("file")
        other = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (
            mark("boundary"), mark("part"), mark("value"),
        )  # fmt: skip
        start, end = b"--%b\r\n" % mark("boundary"), b"\r\n--%b--\r\n" % mark("boundary")
        body = other + start + disposition + b"\r\n\r\n" + picture.data + end
        content_type = f"multipart/form-data; boundary={mark('boundary').decode()}"
    answer = gateway.predict(body, content_type, kind="marked images")
    assert answer.status == picture.status, answer


SECRETS = {
    "authorization": f"Bearer {MARK}-token",
    "cookie": f"session={MARK}-cookie",
    "x-api-key": f"{MARK}-key",
    "x-amz-security-token": f"{MARK}-session",
    "user-agent": f"{MARK}-agent",
    "referer": f"https://example.org/?code={MARK}-code",
    "origin": f"https://{MARK}-origin.localhost",
    "traceparent": f"{MARK}-trace",
    "x-request-id": f"{MARK}-request",
    "x-amzn-sagemaker-custom-attributes": f"heatmap=true;request_id={MARK}-attribute",
    "accept": f"image/{MARK}-accept",
    "content-type": f"text/{MARK}-type",
}


@pytest.mark.parametrize("header", SECRETS)
def test_requests_with_secrets_are_answered(gateway: Gateway, header: str) -> None:
    headers = {"content-type": "image/png", header: SECRETS[header]}
    for method, path in (("POST", "/predict"), ("GET", "/health"), ("GET", f"/{MARK}-path?x={MARK}-query")):
        answer = gateway.ask(method, path, images.whole()["PNG, L"], headers, kind="marked requests")
        assert answer.status < 500, answer
    query = quote(f"{MARK}-query")
    assert gateway.predict(b"", kind="marked requests", query=f"?heatmap={query}&{query}=1").status == 400


def test_no_marker_and_no_key_is_in_any_log(laptop: Laptop, gateway: Gateway, failing: Gateway) -> None:
    """Runs last: the tests before it have planted what is looked for."""
    # Given markers that an endpoint fails over, too
    for fault in ("crashed", "bytes", "silent"):
        assert failing.predict(fault.encode(), kind="marked requests", query=f"?{MARK}=1").status >= 500
    logs = laptop.logs()
    # When there are the lines of every part
    for line in ('"event": "request"', '"request_id": "', '"status": 415', '"status": 502'):
        assert line in logs
    # Then none of them holds a marker, plain or in base64 at any offset, or a key
    assert gateway.key
    for secret in (MARK, CHUNK[:3].decode(), gateway.key, *in_base64(MARK)):
        at = logs.find(secret)
        assert at < 0, logs[max(0, at - 300) : at + 300]


def test_what_api_gateway_logs_is_no_header_query_or_body() -> None:
    """The laptop's has no access log: what AWS's would hold is what is declared."""
    allowed = {
        *("requestId", "requestTime", "identity.sourceIp", "httpMethod", "path", "status"),
        *("responseLength", "responseLatency", "integrationLatency", "error.responseType"),
    }
    assert set(ACCESS_LOG.values()) <= {f"$context.{name}" for name in allowed}


def in_base64(marker: str) -> list[str]:
    """What stands in the base64 of anything that holds the marker, whatever stands before it."""
    found = []
    for offset in range(3):
        bits = 8 * offset, 8 * (offset + len(marker))
        text = base64.b64encode(bytes(offset) + marker.encode() + bytes(2)).decode()
        found.append(text[-(-bits[0] // 6) : bits[1] // 6])
    return found
