"""Local AWS as a child process that is stopped at the end of a ``with`` block, however the block ends."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Self

from infra import local_aws
from infra.emulator.process import child, docker
from infra.local_aws import DEFAULT_PORT, HOST, REGION, LocalAwsError
from infra.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

# The serving image's own program, run by this Python without the container around it.
PROGRAM = ("container.__main__:main", "serve")

Engine = Literal["auto", "docker", "process"]

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 45  # endpoints get 30 s between SIGTERM and SIGKILL
_TAIL_LINES = 15
_HIGHEST_PORT = 65535
_BACKLOG = 2048
SCRATCH_PREFIX = "tumor-detector-aws-"  # and a process id: the folders in which emulators keep files


@dataclass(kw_only=True)
class LocalAws:
    """Local AWS for as long as a ``with`` block runs: empty at its start, and gone at its end."""

    port: int = DEFAULT_PORT  # of 127.0.0.1; 0 takes any free one
    engine: Engine = "auto"  # what endpoints run in; auto is Docker where an engine answers
    log: Path | None = None  # for the output of the emulator and its endpoints, otherwise dropped
    region: str = REGION
    program: Sequence[str] = PROGRAM  # of an endpoint as a process, run by `infra.emulator.process.child`
    enforce_policies: bool = False  # IAM's; signatures are checked as well
    hide_rollbacks: bool = False  # CloudFormation takes an update that SageMaker rolled back for complete

    def __post_init__(self) -> None:
        self._scratch: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int:
        """The emulator's process id while it runs."""
        if self._process is None:
            raise LocalAwsError("Local AWS is not running.")
        return self._process.pid

    @property
    def endpoint_url(self) -> str:
        """URL that SDKs and the CDK CLI take as ``AWS_ENDPOINT_URL``."""
        return local_aws.endpoint_url(self.port)

    def __enter__(self) -> Self:
        """Start it and wait until it answers; raise `LocalAwsError` if its port is taken, or it does not."""
        with listen(self.port) as listener, self._open_log() as output:
            self.port = listener.getsockname()[1]
            self._scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{os.getpid()}-"))
            self._process = subprocess.Popen(
                self._command(listener.fileno(), self._scratch),
                cwd=ROOT,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,  # its end tells the child that this process is gone
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process, which then stops the child in order
            )
            listener.close()  # the child's copy is now the only one: connections are refused if it ends
            try:
                self._wait_until_healthy(self._process, output)
            except BaseException:
                self.stop()
                raise
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """Stop it with all that it started, and wait until that is gone. A second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        child.stop(process, grace_s=_STOP_TIMEOUT_S)
        if process.returncode:
            self._clean_up_after(process)
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _open_log(self) -> IO[bytes]:
        if self.log is None:
            return tempfile.TemporaryFile()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        return self.log.open("w+b")

    def _command(self, listener: int, scratch: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "infra.emulator", "--listener", str(listener), "--scratch", str(scratch)),
            *("--engine", self.engine, "--program", shlex.join(self.program)),
            *("--region", self.region),
            *(["--enforce-policies"] if self.enforce_policies else []),
            *(["--hide-rollbacks"] if self.hide_rollbacks else []),
        ]

    def _wait_until_healthy(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise LocalAwsError(f"Local AWS did not start:\n{_tail(log)}")
            if child.responds(self.port, "/_ministack/health"):
                return
            time.sleep(0.05)
        raise LocalAwsError(f"Local AWS did not answer within {_START_TIMEOUT_S} s:\n{_tail(log)}")

    @staticmethod
    def _clean_up_after(process: subprocess.Popen[bytes]) -> None:
        """Remove what an emulator leaves that was killed or crashed: Lambdas' processes, containers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it led a process group of its own
        if shutil.which("docker"):
            docker.remove_abandoned()


def listen(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1, 0 for any free one; raise LocalAwsError if it cannot be used."""
    if not 0 <= port <= _HIGHEST_PORT:
        raise LocalAwsError(f"Port {port} cannot be used: choose one from 1 to {_HIGHEST_PORT} with --port.")
    try:
        listener = socket.create_server((HOST, port), backlog=_BACKLOG)
    except OSError as error:
        raise LocalAwsError(
            f"Port {port} of {HOST} cannot be used ({os.strerror(error.errno or 0)}). "
            "Stop what uses it, or choose another with --port."
        ) from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # see container.server.listen
    return listener


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
