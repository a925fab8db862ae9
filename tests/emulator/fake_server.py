"""A fake for the serving image's program: SageMaker's hosting contract and nothing else.

Its model is `behaviour.json`: {"answer": "...", "seconds": 1.5, "refuse": 422, "adds": {...},
"start": "crash" | "late crash" | "never", "loops": true}, of which `adds` become members of its answer;
one that `loops` crashes on each request, and is started again.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: dict[str, object]

    def do_GET(self) -> None:
        self._answer(503 if self.behaviour.get("start") == "never" else 200, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.behaviour.get("loops"):
            os._exit(1)
        time.sleep(float(str(self.behaviour.get("seconds", 0))))
        echo = {
            "answer": self.behaviour.get("answer"),
            "sha256": hashlib.sha256(body).hexdigest(),
            "content_type": self.headers.get("Content-Type"),
            "accept": self.headers.get("Accept"),
            "attributes": self.headers.get("X-Amzn-SageMaker-Custom-Attributes"),
            "environment": dict(os.environ),
            "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
            **dict(self.behaviour.get("adds", {})),  # type: ignore[call-overload]
        }
        self._answer(int(str(self.behaviour.get("refuse", 200))), json.dumps(echo).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", "seen=true")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    behaviour = Path(os.environ.get("MODEL_DIR", "/opt/ml/model")) / "behaviour.json"
    Handler.behaviour = json.loads(behaviour.read_text())
    if Handler.behaviour.get("start") == "late crash":
        time.sleep(float(str(Handler.behaviour["seconds"])))
    if Handler.behaviour.get("start") in {"crash", "late crash"}:
        sys.exit("this model is broken on purpose")
    address = (os.environ.get("BIND_HOST", "0.0.0.0"), int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    server = http.server.ThreadingHTTPServer(address, Handler)
    server.daemon_threads = False  # so that requests in flight are answered after SIGTERM
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(json.dumps({"event": "ready", "port": server.server_address[1]}), flush=True)
    while Handler.behaviour.get("loops") and (child := os.fork()):
        signal.signal(
            signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL)
        )  # its own group, with the child
        os.waitpid(child, 0)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
