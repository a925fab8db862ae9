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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, cast

from . import processes

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
    """Talks to the server at a port of this machine, or of another address."""

    host = "127.0.0.1"
    port: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_S)

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
    """A running server, its processes and all that they printed."""

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

    def workers(self) -> list[int]:
        """Wait until all workers are up and nothing else is left of raising them; return their ids."""
        processes.wait_until(self._is_complete, "all workers are up")
        return processes.children(self.process.pid)

    def _is_complete(self) -> bool:
        ping = self.ask("GET", "/ping")
        if ping.status != HTTPStatus.OK:
            return False
        workers = cast("dict[str, int]", ping.json()["workers"])
        others = len(processes.family(self.process.pid)) - 1  # a nursery among them would be one too many
        return workers["ready"] == workers["wanted"] == others

    def memory(self) -> int:
        """The memory that all of its processes hold, in bytes."""
        return processes.memory([self.process.pid, *self.workers()])

    def peak_memory(self) -> int:
        """The most memory that each of its processes ever held, summed up, in bytes."""
        return processes.peak_memory([self.process.pid, *self.workers()])


def answer_on(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


@contextmanager
def starting(model_dir: Path, **extra: str) -> Iterator[subprocess.Popen[str]]:
    """Start a server, and kill it and all of its processes in the end; keyword arguments are variables."""
    process = subprocess.Popen(
        [sys.executable, "-m", "container", "serve"],
        cwd=ROOT,
        env=environment(model_dir, **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # those too that a test has stopped
        process.wait()


@contextmanager
def serving(model_dir: Path, **extra: str) -> Iterator[Server]:
    """Run a server for as long as the block lasts; keyword arguments are further variables."""
    with starting(model_dir, **extra) as process:
        yield Server(process)
