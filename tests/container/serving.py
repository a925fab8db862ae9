"""Starts the server as a process, as SageMaker or the laptop's AWS would, and talks to it over its socket."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
START_S = 30
ANSWER_S = 30


def environment(model_dir: Path, **extra: str) -> dict[str, str]:
    """The variables of a server that listens on any free port of this machine."""
    own = {"MODEL_DIR": str(model_dir), "BIND_HOST": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": "0"}
    return {**os.environ, **own, **extra}


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> dict[str, object]:
        content: dict[str, object] = json.loads(self.body)
        return content


class Client:
    """Talks to the server at a port of this machine."""

    port: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            return answer_on(connection)
        finally:
            connection.close()

    def judge(self, image: bytes, media_type: str = "application/octet-stream", **headers: str) -> Answer:
        """POST an image; keyword arguments are further headers."""
        return self.ask("POST", "/invocations", image, {"content-type": media_type, **headers})


class Server(Client):
    """A running server process and all that it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(str(self.wait_for("ready")["port"]))

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.output.extend(iter(self.process.stdout.readline, ""))

    def events(self) -> list[dict[str, object]]:
        """Every line so far; one that is no JSON object fails the test."""
        return [dict(json.loads(line)) for line in list(self.output)]

    def wait_for(
        self, event: str, wanted: Callable[[dict[str, object]], bool] = lambda _: True
    ) -> dict[str, object]:
        """Wait until a line of that event has been logged, and return it."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for line in self.events():
                if line["event"] == event and wanted(line):
                    return line
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.01)
        raise AssertionError(f"no {event!r} was logged: {self.output}")

    def peak_memory(self) -> int:
        """The most memory the process ever held, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


def answer_on(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


@contextmanager
def serving(model_dir: Path, **extra: str) -> Iterator[Server]:
    """Run a server for as long as the block lasts; keyword arguments are further variables."""
    process = subprocess.Popen(
        [sys.executable, "-m", "container", "serve"],
        cwd=ROOT,
        env=environment(model_dir, **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
