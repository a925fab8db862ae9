"""The whole path as a user runs it: the public commands only, in a copy of the tree, on a free port."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from infra.local import client_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 600


@dataclass(frozen=True)
class Clone:
    """A copy of the tree, whose commands reach the AWS of one laptop.

    Attributes
    ----------
    port
        Where that AWS answers.
    """

    root: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment() | client_environment(port=self.port)

    def client(self, service: str) -> Any:
        """Return a boto3 client of this laptop's AWS."""
        known = self.environment
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=known["AWS_ENDPOINT_URL"],
            region_name=known["AWS_REGION"],
            aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=known["AWS_SESSION_TOKEN"] or None,
        )

    def run(
        self, *command: str, check: bool = True, typed: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the project's commands in the copy, against this laptop's AWS."""
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, input=typed,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done


@dataclass(frozen=True)
class Laptop(Clone):
    """A running ``scripts/demo`` in its own copy of the tree."""

    url: str
    predictions: list[dict[str, object]]
    log: Path


def clean_environment() -> dict[str, str]:
    """The shell's environment without anything that would let the demo find data, stores or an account."""
    ours = {"TUMOR_DATA", "MLFLOW_TRACKING_URI"}
    kept = {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("AWS_")}
    return kept | {"PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def copy_tree(*, to: Path) -> Path:
    """Make what a clone would hold, with the installed environment linked in to spare a second set-up."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    for linked in (".venv", "node_modules"):
        (to / linked).symlink_to(ROOT / linked)
    return to


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """`scripts/demo` brought up on phantoms; ended as Ctrl-C would."""
    copy = copy_tree(to=tmp_path_factory.mktemp("clone"))
    port = free_port()
    log = tmp_path_factory.mktemp("demo") / "demo.log"
    with log.open("w") as errors:
        demo = subprocess.Popen(
            ["scripts/demo", "--json", "--port", str(port)],
            cwd=copy, env=clean_environment(), stdout=subprocess.PIPE, stderr=errors, text=True,
            start_new_session=True,
        )  # fmt: skip
    try:
        answer = _first_json(demo)
        if answer is None:
            pytest.fail(f"scripts/demo printed no JSON:\n{log.read_text()}")
        yield Laptop(copy, port, answer["url"], answer["predictions"], log)
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        try:
            demo.wait(timeout=60)
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGKILL)


def _first_json(process: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Wait for the first line of JSON; None when the process ends or the time is up without one."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=START_LIMIT_S)
        except queue.Empty:
            return None
        if line is None:
            return None
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
