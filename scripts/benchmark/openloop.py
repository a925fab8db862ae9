"""A client that sends at a constant rate, whatever comes back: an open loop.

wrk waits for an answer before it sends again, so a slow server is asked less. Here each request has the
moment it is due, and its latency counts from then, also if no connection was free (Tene's "coordinated
omission"). It knows as much HTTP/1.1 as it takes to reuse connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmark.wire import Message

    Answered = Callable[[float, float, bool], None]
    """Takes when a request was due, the seconds to its answer, and whether that was a good one."""

ANSWER_S = 30  # an answer that takes longer is an error
_GOOD = b" 200 "


async def run(
    host: str,
    port: int,
    path: str,
    message: Message,
    *,
    rate: float,
    seconds: float,
    connections: int,
    answered: Answered,
) -> None:
    """Send so many messages a second for so many seconds, and report each answer."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {message.media_type}\r\n"
        f"Content-Length: {len(message.body)}\r\n\r\n"
    )
    request = head.encode() + message.body
    began, total = time.perf_counter(), round(rate * seconds)
    due = iter(range(total))

    async def keep_sending() -> None:
        connection = Connection(host, port)
        for number in due:  # shared by all connections: each takes the next that nobody has
            moment = began + number / rate
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            good = await connection.ask(request)
            answered(moment, time.perf_counter() - moment, good)
        connection.close()

    await asyncio.gather(*(keep_sending() for _ in range(connections)))


class Connection:
    """One connection, opened again after a failure."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> bool:
        """Send a request and read its answer; whether it was a good one."""
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(*self._place)
                reader, writer = self._streams
                writer.write(request)
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(content_length(head))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            self.close()
            return False
        return _GOOD in head.split(b"\r\n", 1)[0] + b" "

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            with contextlib.suppress(OSError):
                self._streams[1].close()
        self._streams = None


def content_length(head: bytes) -> int:
    """Read the length of the body from the head of an answer.

    Raises
    ------
    ValueError
        If the head does not say it: nothing here answers in chunks.
    """
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without Content-Length")
