"""Names and headers that would be more than a name: answered, never obeyed and never echoed as they came."""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.fuzz import images

if TYPE_CHECKING:
    from tests.container.serving import Answer
    from tests.fuzz.laptop import Gateway

pytestmark = pytest.mark.usefixtures("unharmed")

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"
SPLITTING = "x\r\nX-Evil: 1\r\n\r\n<h1>evil</h1>"
ODD = {
    "markup": MARKUP,
    "a line break": SPLITTING,
    "a line break, folded": "x\r\n X-Evil: 1",
    "NUL": "x\0y",
    "a bell": "\x07\x1b[31mred",
    "right to left": "\u202egnp.exe",
    "no Latin": "医学影像 мозг 🧠",
    "a path": "../../../../etc/passwd",
    "a format": "%s%n{0}{{7*7}}${jndi:ldap://x}",
    "a quote": "\"'`; DROP TABLE scans; --",
    "8 KB": "a" * 8_000,
}
JSON = ("application/json", "application/problem+json")


def assert_inert(answer: Answer, odd: str) -> None:
    """No header came of it, and what is echoed of it stands in JSON, which no browser renders."""
    assert "x-evil" not in answer.headers
    assert not any(odd in value for value in answer.headers.values()), answer.headers
    if answer.body:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith(JSON), answer
        assert not any(byte < 32 for byte in answer.body), answer


@pytest.mark.parametrize("name", ODD)
def test_odd_file_names_change_nothing(gateway: Gateway, name: str) -> None:
    disposition = f'form-data; name="image"; filename="{ODD[name]}"'.encode()
    image = images.whole()["PNG, L"]
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + image + b"\r\n--b--\r\n"
    answer = gateway.predict(body, "multipart/form-data; boundary=b", kind="odd file names")
    # A file name with two line breaks ends the part's headers: what follows is no image.
    assert answer.status == (415 if ODD[name] == SPLITTING else 200), answer
    assert_inert(answer, ODD[name])


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    "target", ["/predict?heatmap={}", "/predict?{}=true", "/predict?heatmap=true&x={}", "/{}", "/docs/{}"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_odd_paths_and_queries_are_refused_or_ignored(
    gateway: Gateway, method: str, target: str, name: str
) -> None:
    path = target.format(quote(ODD[name], safe=""))
    image = images.whole()["PNG, L"]
    answer = gateway.ask(method, path, image, {"content-type": "image/png"}, kind="odd paths and queries")
    assert answer.status < 500
    assert_inert(answer, ODD[name])


# What HTTP lets a header hold: the rest is the next test's.
SENDABLE = {name: odd for name, odd in ODD.items() if odd.isascii() and odd.isprintable()}
HEADERS = ("content-type", "accept", "traceparent", "user-agent", "x-forwarded-for", "cookie")


@pytest.mark.parametrize("name", SENDABLE)
@pytest.mark.parametrize("header", HEADERS)
def test_odd_headers_are_refused_or_ignored(gateway: Gateway, header: str, name: str) -> None:
    headers = {"content-type": "image/png", header: SENDABLE[name]}
    answer = gateway.ask("POST", "/predict", images.whole()["PNG, L"], headers, kind="odd headers")
    unsupported = header == "content-type"
    assert answer.status == (HTTPStatus.UNSUPPORTED_MEDIA_TYPE if unsupported else HTTPStatus.OK), answer
    assert_inert(answer, SENDABLE[name])


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "QUERY", "BREW", "get", MARKUP])
def test_odd_methods_are_refused(gateway: Gateway, method: str) -> None:
    answer = raw(gateway, f"{method} {gateway.target('/predict')} HTTP/1.1\r\n".encode())
    assert b"X-Evil" not in answer
    assert b"<script>" not in answer or b"nosniff" in answer
    assert int(answer.split()[1]) in {400, 403, 404, 405}, answer


@pytest.mark.parametrize(
    "line",
    [
        *(b"content-type: image/png\x00", b"content-type: image/png\x0bx: y", b"traceparent: \x01\x02"),
        *(b"x-api-key: a\rb", b"na me: x", b": x", b"folded: a\r\n b", b"content-length: -1"),
        *(b"content-length: 1\r\ncontent-length: 2", b"transfer-encoding: chunked\r\ncontent-length: 3"),
        *(b"content-type: " + b"x" * 70_000, b"x: y\r\n" * 5_000 + b"x: y"),
    ],
    ids=str,
)
def test_headers_that_are_none_harm_nobody(gateway: Gateway, line: bytes) -> None:
    """The front of AWS turns such requests away; whatever a gateway does, nothing may come of it here."""
    answer = raw(gateway, f"POST {gateway.target('/predict')} HTTP/1.1\r\n".encode() + line + b"\r\n")
    assert b"Traceback" not in answer
    assert not answer or int(answer.split()[1]) in {400, 403, 404, 405, 408, 413, 415, 431}, answer
    assert gateway.predict(images.whole()["PNG, L"], kind="after odd requests").status == HTTPStatus.OK


def raw(gateway: Gateway, head: bytes) -> bytes:
    """Send a request's first lines as they are, and return all that is answered."""
    host, port = gateway.netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        key = f"x-api-key: {gateway.key}\r\n" if b"x-api-key" not in head else ""
        connection.sendall(head + f"host: {gateway.netloc}\r\n{key}connection: close\r\n\r\n".encode())
        answer = b""
        try:
            while received := connection.recv(65_536):
                answer += received
        except (TimeoutError, ConnectionError):
            pass  # a request without its body is waited for; what came until then is the answer
        return answer
