"""HTTP spoken by hand, for clients that no library would be, and a front in this process to speak with."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import uvicorn

from container.connections import Connection
from container.server import Application
from container.wire import Reply

from .processes import PATIENCE_S, wait_until
from .serving import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container.pool import Pool

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def head(*fields: str, request: str = "POST /invocations HTTP/1.1") -> bytes:
    lines = [request, "Host: test", "Content-Type: image/png", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def post(image: bytes) -> bytes:
    return head(f"Content-Length: {len(image)}") + image


def chunked(image: bytes, size: int) -> bytes:
    pieces = [image[start : start + size] for start in range(0, len(image), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head("Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n"


def connect(port: int, *, receive_buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE_S)
    connection.connect(("127.0.0.1", port))
    return connection


def everything(connection: socket.socket) -> bytes:
    """Read until the server closes; that it never does fails the test."""
    read = bytearray()
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            read += piece
    return bytes(read)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in _STATUS_LINE.findall(answers)]


class Judges:
    """Stands in for the pool: answers at once, unless a test gives it something else to do."""

    def __init__(self, *, body: bytes = b"{}", delays_s: tuple[float, ...] = ()) -> None:
        self.model = {"name": "tumor-detector", "version": None, "sha256": None}
        self.ready = 1
        self.images: list[bytes] = []
        self._body = body
        self._delays_s = iter(delays_s)

    @contextmanager
    def image(self) -> Iterator[bytearray]:
        yield bytearray()

    async def judge(self, image: bytearray, *, heatmap: bool) -> tuple[Reply, int]:
        self.images.append(bytes(image))
        await asyncio.sleep(next(self._delays_s, 0))
        return Reply(200, self._body), 0


class Front(Client):
    """The front of the server alone, in a thread of this process, so that a test may shorten its limits."""

    def __init__(self, judges: Judges) -> None:
        application = Application(cast("Pool", judges), workers=1)
        self.server = uvicorn.Server(
            uvicorn.Config(application, loop="uvloop", http=Connection, lifespan="off", log_config=None)
        )

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


@contextmanager
def front(judges: Judges | None = None) -> Iterator[Front]:
    """Run the front for as long as the block lasts."""
    running = Front(judges or Judges())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running.port = listener.getsockname()[1]
        thread = threading.Thread(target=running.server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: running.server.started, "the front listens")
            yield running
        finally:
            running.server.should_exit = running.server.force_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
