"""No log contains any part of an image, a token or a key, whatever the outcome of the request."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from PIL import Image

from model.data import phantom
from tests.container.samples import chunk, jpeg
from tests.fuzz import images, jpegs, pngs

if TYPE_CHECKING:
    from tests.fuzz.deployment import Deployment, Gateway

MARKER = "Planted7"  # part of every planted text, and of no log by itself
CHUNK = b"Zq7c"  # a chunk's name has only four letters
SECRETS = {
    "authorization": f"Bearer {MARKER}-token",
    "cookie": f"session={MARKER}-cookie",
    "x-api-key": f"{MARKER}-key",
    "x-amz-security-token": f"{MARKER}-session",
    "user-agent": f"{MARKER}-agent",
    "referer": f"https://example.org/?code={MARKER}-code",
    "origin": f"https://{MARKER}-origin.localhost",
    "traceparent": f"{MARKER}-trace",
    "x-request-id": f"{MARKER}-request",
    "x-amzn-sagemaker-custom-attributes": f"heatmap=true;request_id={MARKER}-attribute",
    "accept": f"image/{MARKER}-accept",
    "content-type": f"text/{MARKER}-type",
}


def mark(place: str) -> bytes:
    return f"{MARKER}-{place}".encode()


def marked_images() -> dict[int, list[bytes]]:
    """Images with markers wherever an image can contain text, by the status that they get."""
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = mark("exif").decode(), 6
    head = phantom.draw(seed=1, lesion=True)
    whole_jpeg, whole_png = images.whole()["JPEG, L"], images.whole()["PNG, L"]
    texts = [
        *(chunk(b"tEXt", mark("key") + b"\0" + mark("text")), chunk(b"eXIf", exif.tobytes()[6:])),
        chunk(b"iTXt", mark("international") + b"\0\0\0\0\0" + mark("itext")),
    ]

    def with_segment(marker: int, content: bytes, data: bytes = whole_jpeg) -> bytes:
        return jpegs.between(data, jpegs.segment(marker, content))

    return {
        200: [
            jpeg(head, exif=exif.tobytes(), comment=mark("comment")),
            with_segment(0xEB, mark("app")),
            with_segment(0xE1, b"Exif\0\0" + mark("exif")),
            whole_jpeg + mark("trailing"),
            pngs.between(whole_png, *texts),
            pngs.between(whole_png, chunk(CHUNK, mark("chunk"))),
        ],
        400: [
            with_segment(0xFE, mark("cut"), whole_jpeg[:-2000]),
            pngs.between(whole_png, b"\0\0\0\4" + CHUNK + mark("wrong checksum")),
            pngs.between(whole_png, b"\0\0\0\4Zq7\xff" + mark("raw")),
        ],
        415: [mark("text") * 50],
        422: [pngs.between(pngs.drawn(8), *texts)],
    }


def form(image: bytes) -> tuple[bytes, str]:
    """Put an image into a form with markers in every name; return the body and its media type."""
    boundary = b"--%b\r\n" % mark("boundary")
    other = b'Content-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (mark("part"), mark("value"))
    disposition = b'Content-Disposition: form-data; name="image"; filename="%b"\r\n\r\n' % mark("file")
    body = boundary + other + boundary + disposition + image + b"\r\n--%b--\r\n" % mark("boundary")
    return body, f"multipart/form-data; boundary={mark('boundary').decode()}"


@pytest.mark.slow
@pytest.mark.usefixtures("unharmed")
def test_no_log_contains_a_marker_or_a_key(deployment: Deployment, gateway: Gateway) -> None:
    # Given requests with markers: in images and forms, in headers, paths and queries
    for status, marked in marked_images().items():
        for image in marked:
            for body, media_type in ((image, "application/octet-stream"), form(image)):
                answer = gateway.predict(body, media_type)
                assert answer.status == status, (image, answer)
    for header, secret in SECRETS.items():
        headers = {"content-type": "image/png", header: secret}
        for method, path in (("POST", "/predict"), ("GET", "/health"), ("GET", f"/{MARKER}?x={MARKER}")):
            gateway.request(method, path, images.whole()["PNG, L"], headers)
    query = quote(f"{MARKER}-query")
    gateway.predict(b"", query=f"?heatmap={query}&{query}=1")
    # When the logs have the lines of every part
    logs = deployment.logs()
    for line in ('"event": "request"', '"request_id": "', '"status": 415'):
        assert line in logs
    # Then none contains a marker, plain or in base64 at any offset, or a key
    assert gateway.key
    for secret in (MARKER, CHUNK[:3].decode(), gateway.key, *in_base64(MARKER)):
        at = logs.find(secret)
        assert at < 0, logs[max(0, at - 300) : at + 300]


def in_base64(marker: str) -> list[str]:
    """Return the text that the base64 of anything with the marker contains, for each offset of 3 bytes."""
    found = []
    for offset in range(3):
        first, last = 8 * offset, 8 * (offset + len(marker))
        text = base64.b64encode(bytes(offset) + marker.encode() + bytes(2)).decode()
        found.append(text[-(-first // 6) : last // 6])
    return found
