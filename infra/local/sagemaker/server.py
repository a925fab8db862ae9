"""One running model server: a process on this machine, or a container behind the `docker` command."""

from __future__ import annotations

import collections
import http.client
import logging
import os
import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING

from infra.local.leash import GRACE_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PING_INTERVAL_S = 0.05
_LINES_KEPT = 4


class ServerError(Exception):
    """A model server did not come up; the message says why."""


class Server:
    """A command that serves HTTP on a port of 127.0.0.1 until it is stopped.

    Parameters
    ----------
    command
        Runs in the foreground: its end is the server's end, SIGTERM stops it.
    environment
        All of the command's environment variables.
    port
        Where it will answer.
    label
        Begins each of its lines in this process's log.
    discard
        Removes what a killed command leaves behind, for example a container.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        port: int,
        label: str,
        discard: Sequence[str] = (),
    ) -> None:
        self.port = port
        self._discard = discard
        self._lines: collections.deque[str] = collections.deque(maxlen=_LINES_KEPT)
        # Its standard input stays open as long as this process lives: see `infra.local.leash`.
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the emulator alone, which then stops this in order
        )
        reading = (self._process.stdout, logging.getLogger(label))
        self._reader = threading.Thread(target=self._read, args=reading, daemon=True)
        self._reader.start()

    def wait_until_ready(self, *, timeout_s: float) -> None:
        """Return once ``/ping`` answered 200.

        Raises
        ------
        ServerError
            If the command ended before, or `timeout_s` passed.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._reader.join(timeout=1)
                raise ServerError(f"it ended with status {self._process.returncode}{self._last_words()}")
            if self._pings():
                return
            time.sleep(PING_INTERVAL_S)
        raise ServerError(f"/ping did not answer 200 within {timeout_s:.0f} s{self._last_words()}")

    def stop(self) -> None:
        """Stop the command, and wait until it is gone."""
        self._process.terminate()
        try:
            self._process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            if self._discard:
                subprocess.run(self._discard, capture_output=True, check=False)
        if self._process.stdin:
            self._process.stdin.close()

    def _pings(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _read(self, output: IO[bytes], log: logging.Logger) -> None:
        for line in output:
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            log.info(text)

    def _last_words(self) -> str:
        # On one line: CloudFormation's clients show an event's reason line by line, and some only the first.
        return f"; it said last: {' | '.join(self._lines)}" if self._lines else ", having said nothing"


def minimal_environment() -> dict[str, str]:
    """Return what any program needs of this process's environment, and none of its credentials."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "DOCKER_HOST", "DOCKER_CONFIG")
    return {key: os.environ[key] for key in kept if key in os.environ}
