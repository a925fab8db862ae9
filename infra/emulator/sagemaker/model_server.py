"""A running model server: a process on this machine, or a container behind the `docker` command."""

from __future__ import annotations

import collections
import json
import logging
import os
import subprocess
import threading
import time
import uuid
from typing import IO, TYPE_CHECKING

from infra.emulator.process import child, docker
from infra.emulator.sagemaker.resources import ServerError
from infra.local_aws import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from infra.emulator.sagemaker.resources import Variant

_POLL_S = 0.05
_LINES_KEPT = 4
_PULL_TIMEOUT_S = 600
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "DOCKER_HOST", "DOCKER_CONFIG")


class ModelServer:
    """A command that serves HTTP on a port of 127.0.0.1, which it chooses itself, until it is stopped.

    Parameters
    ----------
    command
        Runs in the foreground: its end is the server's end, and SIGTERM stops it.
    write
        Takes each line of its output, besides this process's log, where `label` begins the line.
    environment
        Added to what any program needs of this process's environment, which is none of its credentials.
    find_port
        Returns the port once it is known. Without it, the port is that of the line of JSON whose "event" is
        "ready", which the serving image's program prints as soon as it listens.
    discard
        Removes what a killed command leaves behind, for example a container.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        label: str,
        write: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
        find_port: Callable[[], int | None] | None = None,
        discard: Sequence[str] = (),
    ) -> None:
        self.port: int | None = None
        self._find_port, self._write = find_port, write
        self._discard = discard
        self._lines: collections.deque[str] = collections.deque(maxlen=_LINES_KEPT)
        self._process = subprocess.Popen(
            command,
            env={key: os.environ[key] for key in _INHERITED if key in os.environ} | dict(environment or {}),
            stdin=subprocess.PIPE,  # stays open while this process lives: see `process.child`
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the emulator only, which then stops this in order
        )
        reading = (self._process.stdout, logging.getLogger(label))
        self._reader = threading.Thread(target=self._read, args=reading, daemon=True)
        self._reader.start()

    def wait_until_ready(self, *, timeout_s: float) -> None:
        """Return once ``/ping`` has answered 200."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._reader.join(timeout=1)
                raise ServerError(f"it ended with status {self._process.returncode}{self._last_output()}")
            if self.port is None and self._find_port:
                self.port = self._find_port()
            if self.port is not None and child.responds(self.port, "/ping"):
                return
            time.sleep(_POLL_S)
        raise ServerError(f"/ping did not answer 200 within {timeout_s:.0f} s{self._last_output()}")

    def wait(self) -> int:
        """Wait for the command's own end, and return its exit status."""
        status = self._process.wait()
        self._reader.join(timeout=1)
        return status

    def stop(self) -> None:
        """Stop the command, and wait until it is gone."""
        if child.stop(self._process, grace_s=child.GRACE_S) and self._discard:
            subprocess.run(self._discard, capture_output=True, check=False)

    def _read(self, output: IO[bytes], log: logging.Logger) -> None:
        for line in output:
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            log.info(text)
            self._write(text)
            if self.port is None and not self._find_port:
                self.port = _announced_port(text)

    def _last_output(self) -> str:
        # On one line: some of CloudFormation's clients show only the first line of an event's reason.
        return f"; its last output: {' | '.join(self._lines)}" if self._lines else ", without any output"


def _announced_port(line: str) -> int | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields.get("port") if isinstance(fields, dict) and fields.get("event") == "ready" else None


class Containers:
    """Runs images on this machine's Docker engine."""

    def __init__(self) -> None:
        self._network: str | None = None

    def run(
        self, image: str, variant: Variant, *, model: Path, label: str, write: Callable[[str], None]
    ) -> ModelServer:
        """Start a container as SageMaker would: argument ``serve``, port 8080, the model under /opt/ml/model.

        Stricter than SageMaker in one thing: the root file system is read-only, with a temporary /tmp.
        """
        pulled = docker.run("pull", "--quiet", image, timeout_s=_PULL_TIMEOUT_S)
        if pulled.returncode:
            raise ServerError(f"the image {image} cannot be pulled: {pulled.stderr.strip()}")
        name = f"tumor-detector-{uuid.uuid4().hex[:12]}"
        command = [
            *("docker", "run", "--rm", "--name", name, "--label", docker.label(os.getpid())),
            *("--publish", f"{HOST}::8080", "--volume", f"{model}:/opt/ml/model:ro"),
            *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),  # noqa: S108 - the container's own
            *("--security-opt", "no-new-privileges", "--stop-timeout", f"{child.GRACE_S:.0f}"),
            *("--ulimit", f"nofile={child.OPEN_FILES}", "--network", self._network_of(variant)),
            *(["--memory", f"{variant.memory_mb}m"] if variant.memory_mb else []),
            *(f"--env={key}={value}" for key, value in variant.environment.items()),
            *(image, "serve"),
        ]
        return ModelServer(
            command,
            label=label,
            write=write,
            find_port=lambda: docker.published_port(name, "8080/tcp"),
            discard=("docker", "rm", "--force", name),
        )

    def close(self) -> None:
        """Remove the network, once no container uses it any more."""
        if self._network:
            docker.run("network", "rm", self._network)

    def _network_of(self, variant: Variant) -> str:
        """Return the network to run in.

        Docker publishes no port of an internal network. A bridge without address translation does publish,
        and nothing outside can answer what a container sends: as near to SageMaker's isolation as possible.
        """
        if not variant.network_isolation:
            return "bridge"
        if self._network is None:
            name = f"tumor-detector-isolated-{uuid.uuid4().hex[:12]}"
            option = "com.docker.network.bridge.enable_ip_masquerade=false"
            mark = docker.label(os.getpid())
            made = docker.run("network", "create", "--opt", option, "--label", mark, name)
            if made.returncode:
                raise ServerError(f"no isolated network could be created: {made.stderr.strip()}")
            self._network = name
        return self._network
