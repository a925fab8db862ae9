"""A gateway on 127.0.0.1 whose answers a test sets."""

from __future__ import annotations

import json

from tests.gateway.sagemaker import MODEL, PREDICTION
from tests.http_server import Call, Reply, ScriptedServer

HEALTH = {"status": "ok", "model": {**MODEL, "kind": "images", "gates_failed": []}}
REQUEST_ID = "of-the-fake"


def prediction(**members: object) -> Reply:
    return Reply(body=json.dumps({**PREDICTION, "request_id": REQUEST_ID, **members}).encode())


def problem(status: int, detail: str = "No.", *, retry_after: int | None = None, **members: object) -> Reply:
    document = {"type": "about:blank", "title": "Its title", "status": status, "detail": detail}
    body = json.dumps({**document, **members, "request_id": REQUEST_ID}).encode()
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Reply(status, body, "application/problem+json", headers)


class FakeGateway(ScriptedServer):
    """One stage with a healthy model; `schemes` and `paths` are those of its OpenAPI document."""

    normal_body = prediction().body or b""

    def __init__(self) -> None:
        super().__init__()
        self.url += "/stage"
        self.health = Reply(body=json.dumps(HEALTH).encode())
        self.schemes: dict[str, object] = {}
        self.paths: dict[str, object] = {}

    @property
    def images(self) -> list[Call]:
        return [call for call in self.calls if call.method == "POST"]

    def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        if call.target == "/stage/openapi.json":
            document = {"components": {"securitySchemes": self.schemes}, "paths": self.paths}
            return Reply(body=json.dumps(document).encode())
        return self.health if call.target == "/stage/health" else self.scripted(call)
