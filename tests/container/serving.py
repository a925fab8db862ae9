"""Starts the server as a process, as SageMaker or the emulator would, and sends it requests."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tests.container import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "container", "serve")
START_S = 30
ANSWER_S = 30


def environment(model_dir: Path, **extra: str) -> dict[str, str]:
    """Return the variables of a server that listens on any free port of this machine."""
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

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            return answer_on(connection)
        finally:
            connection.close()

    def predict(self, image: bytes, media_type: str = "application/octet-stream", **headers: str) -> Answer:
        """POST an image; keyword arguments are further headers."""
        return self.request("POST", "/invocations", image, {"content-type": media_type, **headers})


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
        """Return every line so far; one that is no JSON object fails the test."""
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
        """Wait until all workers are up and no loader is left; return their ids."""
        processes.wait_until(self._is_complete, "all workers are up")
        return processes.children(self.process.pid)

    def _is_complete(self) -> bool:
        ping = self.request("GET", "/ping")
        if ping.status != HTTPStatus.OK:
            return False
        workers = cast("dict[str, int]", ping.json()["workers"])
        others = len(processes.family(self.process.pid)) - 1  # a loader would be one too many
        return workers["ready"] == workers["wanted"] == others

    def memory(self) -> int:
        """Return the memory that its processes hold, in bytes."""
        return processes.memory([self.process.pid, *self.workers()])

    def peak_memory(self) -> int:
        """Return the sum of the most memory that each of its processes ever held, in bytes."""
        return processes.peak_memory([self.process.pid, *self.workers()])


def head(*fields: str) -> bytes:
    """Return the head of a POST of an image, for clients that send the rest as no library would."""
    lines = ["POST /invocations HTTP/1.1", "Host: test", "Content-Type: image/png", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)


def answer_on(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    assert len(headers) == len(response.getheaders()), "a header came twice"
    return Answer(response.status, headers, response.read())


def assert_problem(answer: Answer, status: int, words: str = "") -> None:
    """Check that an answer is a problem document, with these words in its detail."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    assert problem["detail"]
    assert words in str(problem["detail"])
    assert "Traceback" not in str(problem)


@contextmanager
def starting(
    model_dir: Path, command: Sequence[str] = SERVE, /, **extra: str
) -> Iterator[subprocess.Popen[str]]:
    """Start a server, and kill it and all its processes in the end; keyword arguments are variables."""
    process = subprocess.Popen(
        command,
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
        if process.poll() is None:
            for pid in reversed(processes.family(process.pid)):  # also those that a test has stopped
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()


@contextmanager
def serving(model_dir: Path, command: Sequence[str] = SERVE, /, **extra: str) -> Iterator[Server]:
    """Run a server for as long as the block lasts; arguments as for `starting`."""
    with starting(model_dir, command, **extra) as process:
        yield Server(process)
