"""uvicorn's HTTP connection, with an end to those that ask for nothing.

uvicorn waits for ever for a connection's first request, for the rest of a request's head, however long, and
for its answers to be taken. Here such a connection is closed after a while, and at once, the longest-waiting
first, where there are too many.
"""

from __future__ import annotations

import asyncio
import resource
from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .settings import SettingsError

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

MAX_CONNECTIONS = 1024
# For the next request's head: longer than callers keep idle connections, so that it is never us who closes
# one in use.
HEAD_S = 75
MAX_HEAD_BYTES = 64 * 1024  # SageMaker's longest has some 3 KiB
_OTHER_FILES = 64  # the standard streams, the workers' sockets, what Python opens


class Connection(HttpToolsProtocol):
    """One client's connection."""

    _waiting: ClassVar[OrderedDict[Connection, TimerHandle]] = OrderedDict()  # the longest-waiting first
    _head: object | None = None  # the head, or the trailer, that is arriving: one object for each
    _head_bytes = 0

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn: to ask, or to take what it was answered."""
        return self.flow.write_paused or self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Make room for it where there is none, and begin to wait."""
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > MAX_CONNECTIONS:
            longest, deadline = self._waiting.popitem(last=False)
            deadline.cancel()
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn does so only where there was no error
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read on, but no head without an end: all of it is kept."""
        head = self._head
        super().data_received(data)
        if head is not None and head is self._head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        """Count a head's bytes from here."""
        super().on_message_begin()
        self._head, self._head_bytes = object(), 0

    def on_headers_complete(self) -> None:
        """Wait no longer: there is a request."""
        self._head = None
        super().on_headers_complete()
        self._watch()

    def on_chunk_header(self) -> None:
        """Count again: after the last chunk comes a trailer."""
        self._head, self._head_bytes = object(), 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._head = None
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the request as whole."""
        self._head = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there."""
        super().on_response_complete()
        self._watch(anew=True)

    def pause_writing(self) -> None:
        """Wait for the client to take its answers."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Wait no longer: it has taken them."""
        super().resume_writing()
        self._watch()

    def _watch(self, *, anew: bool = False) -> None:
        """Run the clock while it is the client's turn, and only then."""
        waits = self.waits and self in self.connections
        if self in self._waiting and (anew or not waits):
            self._waiting.pop(self).cancel()
        if waits and self not in self._waiting:
            self._waiting[self] = asyncio.get_running_loop().call_later(HEAD_S, self.transport.abort)


def allow_files() -> None:
    """Let this process open as many files as its connections need, where the system lets it.

    Raises
    ------
    SettingsError
        The system does not; the text says what to set.
    """
    wanted = MAX_CONNECTIONS + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SettingsError(
            f"only {hard} files may be open, {wanted} are needed: raise the limit (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
