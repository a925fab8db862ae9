"""A SageMaker of one endpoint on 127.0.0.1, which answers what a test tells it to, however badly."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREDICTION = {
    "label": "YES",
    "class": 1,
    "probability": 0.93,
    "threshold": 0.41,
    "model": {"name": "tumor-detector", "version": "3", "sha256": "ab" * 32},
}


@dataclass(frozen=True)
class Reply:
    """What comes back for one call."""

    status: int = 200
    body: bytes = json.dumps(PREDICTION).encode()
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False  # close the connection with no answer at all
    cut_short: bool = False  # announce more bytes than are sent


@dataclass(frozen=True)
class Call:
    """What came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def attributes(self) -> dict[str, str]:
        """What the custom attributes say, which SageMaker hands on to the container."""
        given = self.headers["x-amzn-sagemaker-custom-attributes"]
        return dict(attribute.split("=") for attribute in given.split(";"))


def error(code: str, *, status: int = 400, **members: object) -> Reply:
    """Return an error of SageMaker: the runtime names it in a header, the control plane in the body."""
    body = json.dumps({"__type": code, "Message": f"{code}: said the fake", **members}).encode()
    return Reply(status, body, {"x-amzn-ErrorType": code})


def model_error(status: int, message: str) -> Reply:
    """Return a container's non-2XX answer as SageMaker hands it on."""
    return error("ModelError", status=424, OriginalStatusCode=status, OriginalMessage=message)


class FakeSageMaker:
    """The runtime and the control plane on one port.

    Attributes
    ----------
    replies
        Answers to the next calls of InvokeEndpoint; when there is none, a good prediction.
    answers
        Answers to calls with these very images, whenever they come.
    status
        The answer of DescribeEndpoint: a status, or a reply.
    calls
        The calls of InvokeEndpoint since the last `reset`.
    """

    def __init__(self) -> None:
        self.reset()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def reset(self) -> None:
        """Forget all that was told and heard."""
        self.replies: deque[Reply] = deque()
        self.answers: dict[bytes, Reply] = {}
        self.default = Reply()
        self.status: str | Reply = "InService"
        self.calls: list[Call] = []

    @contextmanager
    def running(self) -> Iterator[FakeSageMaker]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, call: Call) -> Reply:
        """Return the reply to a call."""
        if call.path == "/":
            if isinstance(self.status, Reply):
                return self.status
            return Reply(body=json.dumps({"EndpointStatus": self.status}).encode())
        self.calls.append(call)
        if call.body in self.answers:
            return self.answers[call.body]
        return self.replies.popleft() if self.replies else self.default

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send(fake.answer(Call(self.path, headers, body)))

            def send(self, reply: Reply) -> None:
                self.close_connection = reply.hang_up or reply.cut_short
                time.sleep(reply.delay_s)
                if reply.hang_up:
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body) + (10 if reply.cut_short else 0)))
                with suppress(ConnectionError):  # whoever asked may have stopped waiting
                    self.end_headers()
                    self.wfile.write(reply.body)

            def log_message(self, *_args: object) -> None:
                pass

        return Handler
