"""A SageMaker endpoint on 127.0.0.1 that reads a request whole and answers at once, the same to all.

`python endpoint.py` prints its port. A GET tells how many connections were opened and calls answered so far.
Standard library only, in a process of its own: the measured one shares no lock with it.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypedDict

PREDICTION = {
    "label": "YES",
    "class": 1,
    "probability": 0.93,
    "threshold": 0.41,
    "model": {"name": "tumor-detector", "version": "3", "sha256": "ab" * 32},
}


class Count(TypedDict):
    """What came in so far; the connections of those who only count are not counted."""

    connections: int
    calls: int


class Endpoint(ThreadingHTTPServer):
    """The server, and what it counts."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.count: Count = {"connections": 0, "calls": 0}


class Handler(BaseHTTPRequestHandler):
    """One connection, kept until the other side closes it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one piece
    server: Endpoint
    called = False

    def do_POST(self) -> None:
        """Answer InvokeEndpoint."""
        left = int(self.headers["Content-Length"])
        while left:
            came = len(self.rfile.read1(left))
            if not came:  # whoever asked has gone
                return
            left -= came
        self.server.count["connections"] += not self.called
        self.server.count["calls"] += 1
        self.called = True
        self._send(PREDICTION)

    def do_GET(self) -> None:
        """Tell what came in."""
        self._send(self.server.count)

    def _send(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until ended."""
    with Endpoint() as endpoint:
        print(endpoint.server_address[1], flush=True)
        endpoint.serve_forever()


if __name__ == "__main__":
    main()
