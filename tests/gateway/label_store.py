"""S3 with one bucket and Secrets Manager with one secret on 127.0.0.1, as far as labels need them."""

from __future__ import annotations

import json
import threading

from tests.http_server import Call, HttpServer, Reply

FEEDBACK = {"LABEL_BUCKET": "labels-of-a-test", "REQUEST_ID_KEY": "secret-of-a-test"}


class FakeStore(HttpServer):
    """Keeps objects by their paths; `failures` are S3's next answers."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.failures: list[Reply] = []
        self.secret = Reply(body=b'{"SecretString": "the key"}')

    @property
    def labels(self) -> list[dict[str, object]]:
        return [json.loads(body) for body in self.objects.values()]

    def answer(self, call: Call) -> Reply:
        if call.method == "POST":
            return self.secret
        with self._lock:
            if self.failures:
                return self.failures.pop(0)
            if call.headers["if-none-match"] == "*" and call.target in self.objects:
                return s3_error("PreconditionFailed", 412)
            self.objects[call.target] = call.body
        return Reply(body=b"")


def s3_error(code: str, status: int) -> Reply:
    return Reply(status, f"<Error><Code>{code}</Code></Error>".encode(), "text/xml")
