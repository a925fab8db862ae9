"""What the generated client stands on: kept connections, retries, and JSON as dataclasses.

All of it is copied into `scripts/client.py`, so it needs nothing but the standard library.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Literal, TypeVar, cast, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

T = TypeVar("T")
Sign = Callable[[str, str, Mapping[str, str], bytes], Mapping[str, str]]
"""From method, URL, headers and body to the headers that sign them (AWS Signature Version 4)."""

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 8.0
OK, TOO_MANY, SERVER_ERROR = 200, 429, 500


class ClientError(Exception):
    """What every failure of this client is."""


class NoAnswerError(ClientError):
    """The gateway could not be reached, or did not answer in time."""


class MalformedAnswerError(ClientError):
    """What answered is not this API, or another version of it."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, whole; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Sends requests to one address, from any number of threads; each thread keeps its connection.

    Nothing here has a side effect at the far end, so whatever may pass is tried again: after a 429 or 503
    once its `Retry-After` is over, for all threads alike, up to `patience_s` in all; after any other 5xx or
    no answer with growing pauses, up to `attempts` times. Every pause has its jitter.

    Parameters
    ----------
    url
        Where the API is, with or without a slash at the end.
    headers
        What every request carries.
    sign
        Gives the headers that sign a request, where the API wants that.
    timeout_s
        For which the far end may be silent.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        sign: Sign | None,
        timeout_s: float,
        attempts: int,
        patience_s: float,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is not the address of an API: write it like https://example.org/v1")
        self.url = url.rstrip("/")
        self._parts = parts
        self._headers = {"User-Agent": "tumor-detector-client", **headers}
        self._sign = sign
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._patience_s = patience_s
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._not_before = 0.0
        self._closed = threading.Event()

    def close(self) -> None:
        """End every connection, and whatever waits for an answer or for its next attempt."""
        self._closed.set()
        with self._lock:
            for connection in self._open:
                if connection.sock:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None],
        headers: Mapping[str, str | None],
        body: bytes = b"",
    ) -> Reply:
        """Send a request until it is answered with what will not pass, and return that.

        Raises
        ------
        NoAnswerError
            When no answer came, or the client was closed.
        """
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{self._parts.path.rstrip('/')}{quote(path)}{'?' if given else ''}{urlencode(given)}"
        sent = self._headers | {name: value for name, value in headers.items() if value is not None}
        began, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            while (left := self._not_before - time.monotonic()) > 0:  # others may put it off meanwhile
                self._pause(left)
            reply, failure = self._exchange(method, target, sent, body)
            if reply and reply.status != TOO_MANY and reply.status < SERVER_ERROR:
                return reply
            if not self._again(reply, attempt=attempt, began=began):
                if reply:
                    return reply
                raise NoAnswerError(f"{method} {self.url}{path} got no answer: {failure}") from failure
            backoff = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempt - 1))
            jitter = random.uniform(0, backoff)  # noqa: S311 - it spreads load, it keeps no secret
            self._pause(max(self._not_before - time.monotonic(), 0) + jitter)

    def _again(self, reply: Reply | None, *, attempt: int, began: float) -> bool:
        after = reply.headers.get("retry-after", "") if reply else ""
        if not after.isdecimal():
            return attempt < self._attempts
        again = time.monotonic() + int(after)
        if again - began > self._patience_s:
            return False
        with self._lock:
            self._not_before = max(self._not_before, again)
        return True

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(max(seconds, 0)):
            raise NoAnswerError("The client was closed.")

    def _exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Reply | None, Exception | None]:
        signed = self._sign(method, self._origin() + target, headers, body) if self._sign else headers
        connection = self._connection()
        kept = connection.sock is not None
        for _ in range(2 if kept else 1):  # a kept connection may have been dropped at its far end meanwhile
            try:
                return _exchanged(connection, method, target, signed, body), None
            except (OSError, http.client.HTTPException) as error:
                failure = error
                connection.close()
            if self._closed.is_set() or isinstance(failure, TimeoutError):
                break
        return None, failure

    def _origin(self) -> str:
        return f"{self._parts.scheme}://{self._parts.netloc}"

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._new_connection()
            with self._lock:
                self._open.add(connection)
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        proxy = None if proxy_bypass(host) else getproxies().get("https")
        if proxy is None:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s)
        via = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        tunnel = http.client.HTTPSConnection(via.hostname or "", via.port, timeout=self._timeout_s)
        tunnel.set_tunnel(host, port)
        return tunnel


def _exchanged(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> Reply:
    with suppress(BrokenPipeError):  # what is too large may be answered before it was read
        connection.request(method, target, body=body or None, headers=dict(headers))
    answer = connection.getresponse()
    content = answer.read()
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


def parsed(kind: type[T], body: bytes) -> T:
    """Return what JSON says as an object of a dataclass, or of `dict` as it is; what is unknown is left out.

    Raises
    ------
    MalformedAnswerError
        When it is not JSON, or not of that form.
    """
    try:
        node = json.loads(body)
    except ValueError:
        raise MalformedAnswerError("The answer is not JSON.") from None
    return cast("T", _of(kind, node, "answer"))


def _of(kind: object, node: object, where: str) -> object:
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(node, dict):
        return kind(**_members(kind, node, where))
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:  # X | None
        return None if node is None else _of(arguments[0], node, where)
    if origin is list and isinstance(node, list):
        return [_of(arguments[0], each, where) for each in node]
    if origin is Literal and node in arguments:
        return node
    if kind is float and isinstance(node, int | float) and not isinstance(node, bool):
        return float(node)
    if kind in {str, int, dict} and type(node) is kind:
        return node
    raise MalformedAnswerError(f"{where} is {str(node)[:100]!r} where {kind} is expected.")


def _members(kind: type, node: Mapping[str, object], where: str) -> dict[str, object]:
    hints, members = get_type_hints(kind), {}
    for field in fields(kind):
        name = field.name.removesuffix("_")  # class_ and others that Python keeps for itself
        if name in node:
            members[field.name] = _of(hints[field.name], node[name], f"{where}.{name}")
        elif field.default is MISSING:
            raise MalformedAnswerError(f"{where} lacks {name}.")
    return members
