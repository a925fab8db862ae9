"""Keeps web pages away from the emulator.

It checks no credentials, and a Lambda is any code: without this, any page that the laptop's browser shows
could create one. A page of another host sends its own `Origin` or, after DNS rebinding, its own `Host`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]  # ASGI's own types: https://asgi.readthedocs.io/en/stable/specs/main.html
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_REFUSAL = b"The laptop's AWS answers this machine's own programs and pages only.\n"


def local_only(application: Application) -> Application:
    """Wrap an ASGI application so that it refuses requests that come from other hosts' pages."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _is_local(dict(scope["headers"])):
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_REFUSAL)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    return guarded


def _is_local(headers: dict[bytes, bytes]) -> bool:
    hosts = [urlsplit("//" + headers.get(b"host", b"").decode("latin-1")).hostname]
    if origin := headers.get(b"origin"):
        hosts.append(urlsplit(origin.decode("latin-1")).hostname)
    return all(host in ("localhost", "127.0.0.1") or (host or "").endswith(".localhost") for host in hosts)
