"""uvicorn's HTTP connection, with an end to those that ask for nothing.

uvicorn waits for ever for a connection's first request, and for the rest of a request's head. Here such a
connection is closed after a while, and at once, the longest-waiting first, where there are too many.
"""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

MAX_CONNECTIONS = 1024
# For the next request's head: longer than callers keep idle connections, so that it is never us who closes
# one in use.
HEAD_S = 75
_OTHER_FILES = 64  # the standard streams, the workers' sockets, what Python opens


class Connection(HttpToolsProtocol):
    """One client's connection."""

    _deadline: TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Make room for it where there is none, and begin to wait."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > MAX_CONNECTIONS:
            waiting = [each for each in self.connections if isinstance(each, Connection) and each.waits]
            min(waiting, key=lambda each: each._since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Wait no longer: there is a request."""
        self._wait_no_longer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._wait()

    @property
    def waits(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._wait_no_longer()
        if not self.transport.is_closing():
            loop = asyncio.get_running_loop()
            self._since = loop.time()
            self._deadline = loop.call_later(HEAD_S, self.transport.close)

    def _wait_no_longer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def allow_files() -> None:
    """Let this process open as many files as its connections need, where the system lets it.

    Raises
    ------
    OSError
        The system does not; the text says what to set.
    """
    wanted = MAX_CONNECTIONS + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise OSError(f"only {hard} files may be open, {wanted} are needed: raise the limit (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
