"""API Gateway on 127.0.0.1 for a browser: HTTP requests become proxy events for the real handler."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from tests.gateway.events import event_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy import Envelope, Event

STAGE = "/restapis/a1b2c3d4e5/v1/_user_request_"  # the laptop's form, the longest of a stage's addresses

OF_THE_GATEWAY = {"type": "about:blank", "request_id": "of-the-gateway"}


@dataclass(frozen=True)
class Post:
    """What a guard sees of a request."""

    target: str  # path and query
    headers: Mapping[str, str]
    body: bytes


Guard = Callable[[Post], int | None]


@contextmanager
def serving(handle: Callable[[Event, object], Envelope], guard: Guard | None = None) -> Iterator[str]:
    """Serve a handler until the block ends and yield the stage's URL, without a slash at its end.

    `guard` is what API Gateway does to a POST: it gives the status with which one is not let in, if any.
    """

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not url.path.startswith(STAGE):  # no stage's address: not the handler's
                self.send_error(403)
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = url.path.removeprefix(STAGE) or "/"
            refused = guard(Post(self.path, headers, body)) if guard and self.command == "POST" else None
            if refused:
                self.refuse(refused)
                return
            envelope = handle(event_of(self.command, path, dict(parse_qsl(url.query)), headers, body), None)
            self.send_response(envelope["statusCode"])
            for name, value in envelope["headers"].items():
                self.send_header(name, value)
            content = envelope["body"].encode()
            self.send_header("Content-Length", str(len(content)))
            with suppress(ConnectionError):  # the browser may have cancelled
                self.end_headers()
                self.wfile.write(content)

        def refuse(self, status: int) -> None:
            problem = {"title": "Forbidden", "status": status, "detail": "Not let in.", **OF_THE_GATEWAY}
            content = json.dumps(problem).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_OPTIONS = answer  # noqa: N815 - the base class's names

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{STAGE}"
    finally:
        server.shutdown()
        server.server_close()
