"""The client: wrk, which keeps a number of connections busy with one request."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.console import DeliveryError
from scripts.delivery.program import output

SCRIPT = Path(__file__).with_name("post.lua")
TIMEOUT_S = 20  # after which wrk counts a response as late
_SPARE_S = 60  # for wrk to end after its time


@dataclass(frozen=True)
class Payload:
    """The body of a request and its media type."""

    body: bytes
    media_type: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of some seconds of load; latencies run from a request to its response."""

    completed: int
    errors: int  # status 400 and above, broken connections, late responses
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Successful requests per second."""
        return (self.completed - self.errors) / self.seconds


def run(url: str, payload: Payload, *, connections: int, seconds: float) -> Outcome:
    """Post a payload over a number of connections for some seconds."""
    with tempfile.NamedTemporaryFile(prefix="bench-body-") as body:
        body.write(payload.body)
        body.flush()
        command = ["wrk", "--threads=1", f"--connections={connections}", f"--timeout={TIMEOUT_S}s",
                   f"--duration={max(1, round(seconds))}s", f"--script={SCRIPT}", url, "--", body.name,
                   payload.media_type]  # fmt: skip
        printed = output("wrk", command, timeout=seconds + TIMEOUT_S + _SPARE_S)
    return read(printed)


def read(printed: str) -> Outcome:
    """Read the line of JSON that wrk's script prints at its end."""
    found = re.search(r"^result (\{.*\})$", printed, re.MULTILINE)
    if found is None:
        raise DeliveryError(f"wrk printed no result: {printed.strip()[-500:]}")
    return Outcome(**json.loads(found[1]))
