"""A gateway on 127.0.0.1 that answers what a test tells it to, and refuses what comes too fast."""

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

MODEL = {"name": "tumor-detector", "version": "3", "sha256": "ab" * 32}
PREDICTION = {"label": "YES", "class": 1, "probability": 0.93, "threshold": 0.41, "model": MODEL}
HEALTH = {"status": "ok", "model": {**MODEL, "kind": "images", "gates_failed": []}}
REQUEST_ID = "of-the-fake"


@dataclass(frozen=True)
class Reply:
    """What comes back for one request."""

    status: int = 200
    body: bytes = json.dumps({**PREDICTION, "request_id": REQUEST_ID}).encode()
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False  # close the connection with no answer at all


@dataclass(frozen=True)
class Call:
    """What came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float


def problem(status: int, detail: str = "No.", *, retry_after: int | None = None, **members: object) -> Reply:
    told = {"type": "about:blank", "title": "Its title", "status": status, "detail": detail}
    body = json.dumps({**told, **members, "request_id": REQUEST_ID}).encode()
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Reply(status, body, "application/problem+json", headers)


class FakeGateway:
    """One stage; its documents and health are good, and `/predict` is told what to say.

    Attributes
    ----------
    replies
        What the next images are answered; when there is none left, `default`.
    of_an_image
        What an image of these bytes is answered, whenever it comes.
    rate
        Images that are taken a second, from a bucket of as many; more get a 429. None for any number.
    asked
        What `/openapi.json` says that callers must show.
    calls, connections
        All that came, in its order, and over how many connections.
    """

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.default = Reply()
        self.of_an_image: dict[bytes, Reply] = {}
        self.health = Reply(body=json.dumps(HEALTH).encode())
        self.asked: dict[str, object] = {}
        self.rate: float | None = None
        self.calls: list[Call] = []
        self.connections = 0
        self._tokens, self._since = 0.0, 0.0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/stage"

    @property
    def images(self) -> list[Call]:
        return [call for call in self.calls if call.method == "POST"]

    @contextmanager
    def running(self) -> Iterator[FakeGateway]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, call: Call) -> Reply:
        with self._lock:
            self.calls.append(call)
            if call.target == "/stage/openapi.json":
                return Reply(body=json.dumps({"components": {"securitySchemes": self.asked}}).encode())
            if call.target == "/stage/health":
                return self.health
            if not self._takes():
                return problem(429, "Wait a moment.", retry_after=1)
            if call.body in self.of_an_image:
                return self.of_an_image[call.body]
            return self.replies.popleft() if self.replies else self.default

    def _takes(self) -> bool:
        if self.rate is None:
            return True
        now = time.monotonic()
        self._tokens = min(self.rate, self._tokens + (now - (self._since or now - 1)) * self.rate)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                fake.connections += 1
                super().setup()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = fake.answer(Call(self.command, self.path, headers, body, time.monotonic()))
                time.sleep(reply.delay_s)
                if reply.hang_up:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in {"Content-Type": reply.media_type, **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                with suppress(ConnectionError):  # whoever asked may have stopped waiting
                    self.end_headers()
                    self.wfile.write(reply.body)

            do_GET = do_POST = answer  # noqa: N815 - the base class's names

            def log_message(self, *_args: object) -> None:
                pass

        return Handler
