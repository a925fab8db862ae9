"""An HTTP server on 127.0.0.1 whose answers are made in Python: the base of the tests' fake services."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self


@dataclass(frozen=True)
class Call:
    """A request as it came in; header names are in lower case."""

    method: str
    target: str  # path and query
    headers: Mapping[str, str]
    body: bytes
    at: float  # on the monotonic clock


@dataclass(frozen=True)
class Reply:
    """The response to a request, or a failure in place of one."""

    status: int = 200
    body: bytes | None = None  # None: the service's normal response
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False  # close the connection without a response
    cut_short: bool = False  # announce more bytes than are sent


class HttpServer:
    """A server with one thread per connection.

    Attributes
    ----------
    url
        Its address, without a trailing slash.
    connections
        The number of connections opened so far.
    """

    normal_body = b""

    def __init__(self) -> None:
        self.connections = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, call: Call) -> Reply:
        """Return the response to a request."""
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve until the block ends."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # the client cancelled its upload
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = server.answer(Call(self.command, self.path, headers, body, time.monotonic()))
                time.sleep(reply.delay_s)
                self.close_connection = reply.hang_up or reply.cut_short
                if reply.hang_up:
                    return
                content = server.normal_body if reply.body is None else reply.body
                self.send_response(reply.status)
                for name, value in {"Content-Type": reply.media_type, **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content) + (10 if reply.cut_short else 0)))
                with suppress(ConnectionError):  # the client may have stopped waiting
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = do_CONNECT = answer  # noqa: N815 - the base's names

            def log_message(self, *_args: object) -> None:
                pass

        return Handler


class ScriptedServer(HttpServer):
    """A server whose replies a test sets.

    Attributes
    ----------
    replies
        The replies to the next calls; `default` when there is none left.
    by_image
        Replies to calls with these images, whenever they come.
    calls
        The calls since the last `reset`, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.replies: deque[Reply] = deque()
        self.by_image: dict[bytes, Reply] = {}
        self.default = Reply()
        self.calls: list[Call] = []

    def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        return self.scripted(call)

    def scripted(self, call: Call) -> Reply:
        """Return the reply that the test has set for a call."""
        if call.body in self.by_image:
            return self.by_image[call.body]
        return self.replies.popleft() if self.replies else self.default
