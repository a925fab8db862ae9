"""The client: wrk, which keeps a number of connections busy with one image."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benchmark.places import BenchmarkError

if TYPE_CHECKING:
    from scripts.benchmark.wire import Message

SCRIPT = Path(__file__).with_name("post.lua")
TIMEOUT_S = 20  # after which wrk counts an answer as late
_SPARE_S = 60  # for wrk to end after its time


@dataclass(frozen=True)
class Outcome:
    """What came of a number of seconds of load.

    Attributes
    ----------
    requests
        Answered ones, refusals included.
    errors
        Answers of status 400 and above, broken connections, and answers that came too late.
    p50_ms, p99_ms
        Of the time from a request to its answer.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Requests answered well in a second."""
        return max(0, self.requests - self.errors) / self.seconds


def require_wrk() -> None:
    """See that wrk is there.

    Raises
    ------
    BenchmarkError
        With how to get it.
    """
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk, the client, is not on PATH: apt-get install wrk")


def run(url: str, message: Message, *, connections: int, seconds: float) -> Outcome:
    """Post a message to a URL over so many connections for so many seconds.

    Raises
    ------
    BenchmarkError
        If wrk fails, with what it said.
    """
    with tempfile.NamedTemporaryFile(prefix="bench-body-") as body:
        body.write(message.body)
        body.flush()
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--timeout", f"{TIMEOUT_S}s",
                   "--duration", f"{max(1, round(seconds))}s", "--script", str(SCRIPT), url, "--", body.name,
                   message.media_type]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + TIMEOUT_S + _SPARE_S, check=False
        )
    if done.returncode:
        raise BenchmarkError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    return read(done.stdout)


def read(printed: str) -> Outcome:
    """Read the line of JSON that the script of wrk prints at its end.

    Raises
    ------
    BenchmarkError
        If it is not there.
    """
    line = next((line for line in printed.splitlines() if line.startswith("result ")), None)
    if line is None:
        raise BenchmarkError(f"wrk gave no result, but: {printed.strip()[-500:]}")
    found = json.loads(line.removeprefix("result "))
    return Outcome(
        requests=found["requests"],
        seconds=found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        errors=found["refused"] + found["broken"] + found["late"],
    )
