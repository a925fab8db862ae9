"""What the endpoints of these tests run: the serving image's own program, or one that fails as it is told.

A model directory with a network is served by the real program. One with `faults` in it has every image decide
for itself how the endpoint fails: the image is the name of one of `FAULTS`.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LATE_S = 40.0  # beyond all that the gateway waits for
PREDICTION: dict[str, object] = {
    "label": "NO",
    "class": 0,
    "probability": 0.12,
    "threshold": 0.41,
    "model": {"name": "tumor-detector", "version": "1", "sha256": "ab" * 32},
}
DEEP = b"[" * 200_000  # deeper than any JSON reader goes


class Endpoint(BaseHTTPRequestHandler):
    """SageMaker's hosting contract, broken on demand."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.tell(200, b"")

    def do_POST(self) -> None:
        image = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        FAULTS.get(image.decode("latin-1"), good)(self)

    def tell(self, status: int, body: bytes, *, announced: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def good(endpoint: Endpoint) -> None:
    endpoint.tell(200, json.dumps(PREDICTION).encode())


def late(endpoint: Endpoint) -> None:
    time.sleep(LATE_S)
    good(endpoint)


def dribbling(endpoint: Endpoint) -> None:
    """Begin at once, and come to no end."""
    body = json.dumps(PREDICTION).encode()
    endpoint.tell(200, body[:1], announced=len(body))
    for byte in body[1 : int(LATE_S) + 1]:
        time.sleep(1)
        endpoint.wfile.write(bytes([byte]))


def silent(endpoint: Endpoint) -> None:
    """Close the connection with no answer at all."""
    endpoint.close_connection = True


def cut_short(endpoint: Endpoint) -> None:
    endpoint.tell(200, b'{"label": "Y', announced=500)
    endpoint.close_connection = True


def no_http(endpoint: Endpoint) -> None:
    endpoint.wfile.write(b"\0\xff\xfe what is this?\r\n\r\n" * 50)
    endpoint.close_connection = True


def answering(status: int, body: bytes) -> Callable[[Endpoint], None]:
    return lambda endpoint: endpoint.tell(status, body)


def predicting(**changed: object) -> Callable[[Endpoint], None]:
    """Answer a prediction of which some members are not what they must be."""
    return answering(200, json.dumps(PREDICTION | changed).encode())


FAULTS: dict[str, Callable[[Endpoint], None]] = {
    "late": late,
    "dribbling": dribbling,
    "silent": silent,
    "cut short": cut_short,
    "no HTTP": no_http,
    "nothing": answering(200, b""),
    "bytes": answering(200, bytes(range(256))),
    "text": answering(200, b"<h1>Apache</h1>"),
    "half of JSON": answering(200, json.dumps(PREDICTION).encode()[:-20]),
    "deep JSON": answering(200, DEEP),
    "a list": answering(200, b"[1, 2]"),
    "NaN": answering(200, json.dumps(PREDICTION | {"probability": float("nan")}).encode()),
    "no label": answering(200, json.dumps({**PREDICTION, "label": None}).encode()),
    "a list for a label": predicting(label=["YES"]),
    "another label": predicting(label="<b>MAYBE</b>"),
    "another class": predicting(**{"class": 7}),
    "text for a probability": predicting(probability="0.5"),
    "a probability of 2": predicting(probability=2),
    "truth for a probability": predicting(probability=True),
    "no model": predicting(model=None),
    "half a model": predicting(model={"name": "tumor-detector"}),
    "text for a heatmap": predicting(heatmap="bright"),
    "crashed": answering(500, b'{"detail": "The server failed here."}'),
    "unknown status": answering(418, b"teapot"),
    "moved": answering(302, b""),
    "busy": answering(429, b""),
    "not ready": answering(503, b"starting"),
    "too slow inside": answering(504, b""),
    "refused without words": answering(422, b""),
    "refused in a list": answering(422, b'["no"]'),
    "refused in deep JSON": answering(422, DEEP),
    "refused with odd scores": answering(422, b'{"detail": "no", "score": 7, "score_threshold": "x"}'),
    "refused with markup": answering(400, b'{"detail": "<img src=x onerror=alert(1)>\\r\\nSet-Cookie: a=b"}'),
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of who did not wait for the end."""


def main() -> None:
    model = Path(os.environ["MODEL_DIR"])
    if not (model / "faults").exists():
        sys.argv = ["container", "serve"]
        runpy.run_module("container", run_name="__main__", alter_sys=True)
        return
    address = (os.environ["BIND_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
    server = Server(address, Endpoint)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


if __name__ == "__main__":
    main()
