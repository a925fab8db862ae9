"""API Gateway on 127.0.0.1 for a browser: HTTP requests become proxy events for the real handler."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from tests.gateway.events import event_of
from tests.http_server import Call, HttpServer, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.lambdas.gateway.proxy import Envelope, Event

STAGE = "/restapis/a1b2c3d4e5/v1/_user_request_"  # the emulator's form, the longest of a stage's paths


Authorizer = Callable[[Call], Reply | int | None]
"""Returns the answer or the status with which API Gateway rejects a POST, or None to accept it."""


def problem(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    """Return one of API Gateway's own answers."""
    written = {"type": "about:blank", "title": "Forbidden", "status": status, "detail": "Rejected."}
    body = json.dumps({**written, "request_id": "of-the-gateway"}).encode()
    return Reply(status, body, "application/problem+json", headers or {})


class FakeApiGateway(HttpServer):
    """One stage in front of a handler."""

    def __init__(
        self, handle: Callable[[Event, object], Envelope], authorizer: Authorizer | None = None
    ) -> None:
        super().__init__()
        self.url += STAGE
        self._handle = handle
        self._authorizer = authorizer

    def answer(self, call: Call) -> Reply:
        url = urlsplit(call.target)
        if not url.path.startswith(STAGE):  # outside the stage
            return Reply(403, b"", "text/plain")
        rejected = self._authorizer(call) if self._authorizer and call.method == "POST" else None
        if rejected:
            return problem(rejected) if isinstance(rejected, int) else rejected
        path = url.path.removeprefix(STAGE) or "/"
        query = dict(parse_qsl(url.query))
        envelope = self._handle(event_of(call.method, path, query, call.headers, call.body), None)
        media_type = envelope["headers"].pop("Content-Type", "text/plain")
        return Reply(envelope["statusCode"], envelope["body"].encode(), media_type, envelope["headers"])
