"""The laptop's AWS as a child process: started, waited for, and gone at the end, however that comes."""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Self

from infra.local import address, leftovers
from infra.local.address import ACCOUNT, DEFAULT_PORT, REGION, LocalAwsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
# The serving image's own program, run by this Python without the container around it.
PROGRAM = ("-m", "container", "serve")

Engine = Literal["auto", "docker", "process"]

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 45  # endpoints get 30 s between SIGTERM and SIGKILL
_TAIL_LINES = 15


class LocalAws:
    """AWS on this laptop for as long as a ``with`` block runs; empty at its start, forgotten at its end.

    Parameters
    ----------
    port
        Of 127.0.0.1; 0 takes any free one.
    engine
        What endpoints run in: ``"docker"``, ``"process"``, or ``"auto"``: Docker where an engine answers.
    log
        A file for all that the emulator and its endpoints print; by default it is dropped.
    account
        Twelve digits.
    program
        What an endpoint runs as a process, as arguments of this Python; by default the serving image's own.
    enforce_policies
        Whether signatures are checked, and roles may do what their policies allow and no more.

    Examples
    --------
    **Point boto3 at it**

    >>> with LocalAws(port=0) as aws:                                     # doctest: +SKIP
    ...     boto3.client("s3", endpoint_url=aws.endpoint_url).list_buckets()
    """

    def __init__(
        self,
        *,
        port: int = DEFAULT_PORT,
        engine: Engine = "auto",
        log: Path | None = None,
        account: str = ACCOUNT,
        region: str = REGION,
        program: Sequence[str] = PROGRAM,
        enforce_policies: bool = False,
    ) -> None:
        self.port = port
        self.account = account
        self.region = region
        self._engine = engine
        self._program = program
        self._enforce_policies = enforce_policies
        self._log = log
        self._scratch: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int:
        """The emulator's process id while it runs."""
        if self._process is None:
            raise LocalAwsError("The laptop's AWS does not run.")
        return self._process.pid

    @property
    def endpoint_url(self) -> str:
        """URL that SDKs and the CDK CLI take as ``AWS_ENDPOINT_URL``."""
        return address.endpoint_url(self.port)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point SDKs, the AWS CLI and the CDK CLI here."""
        return address.client_environment(port=self.port, account=self.account, region=self.region)

    def gateway_url(self, api_id: str, stage: str) -> str:
        """URL of a REST API's stage, without a slash at the end."""
        return address.gateway_url(api_id, stage, port=self.port)

    def __enter__(self) -> Self:
        """Start it and wait until it answers.

        Raises
        ------
        LocalAwsError
            If the port is taken, or it does not come up.
        """
        with address.claim(self.port) as listener:
            self.port = listener.getsockname()[1]
        self._scratch = Path(tempfile.mkdtemp(prefix="tumor-detector-aws-"))
        with self._open_log() as output:
            self._process = subprocess.Popen(
                self._command(self._scratch),
                cwd=ROOT,
                stdin=subprocess.PIPE,  # its end is the child's sign that this process is gone
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process, which then stops the child in order
            )
            try:
                self._wait_until_healthy(self._process, output)
            except BaseException:
                self.stop()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """Stop it with all that it started, and wait until that is gone. A second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()
        if process.returncode:
            self._clear_up_after(process)
        if self._scratch:
            leftovers.remove_files(self._scratch)

    def _open_log(self) -> IO[bytes]:
        if self._log is None:
            return tempfile.TemporaryFile()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        return self._log.open("w+b")

    def _command(self, scratch: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "infra.local", "--until-input-ends", "--scratch", str(scratch)),
            *("--port", str(self.port), "--engine", self._engine, "--program", shlex.join(self._program)),
            *("--account", self.account, "--region", self.region),
            *(["--enforce-policies"] if self._enforce_policies else []),
        ]

    def _wait_until_healthy(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise LocalAwsError(f"The laptop's AWS did not start:\n{_tail(log)}")
            if self._answers():
                return
            time.sleep(0.05)
        raise LocalAwsError(f"The laptop's AWS did not answer within {_START_TIMEOUT_S} s:\n{_tail(log)}")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @staticmethod
    def _clear_up_after(process: subprocess.Popen[bytes]) -> None:
        """Remove what an emulator leaves that was killed or crashed: Lambdas' processes, containers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it led a process group of its own
        if shutil.which("docker"):
            leftovers.remove_containers(of=process.pid)


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
