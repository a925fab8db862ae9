"""The `docker` command, and the removal of containers and networks that a killed emulator left behind."""

from __future__ import annotations

import os
import platform
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LABEL = "tumor-detector.emulator"
_TIMED_OUT = 124  # the exit status of `timeout`


def run(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `docker`; a timeout is returned as a failure."""
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        error = f"no answer within {timeout_s:.0f} s"
        return subprocess.CompletedProcess(command, _TIMED_OUT, stdout="", stderr=error)


def engine_answers() -> bool:
    """Whether there is a `docker` command and an engine behind it."""
    try:
        return run("version", "--format", "{{.Server.Version}}", timeout_s=10).returncode == 0
    except OSError:
        return False


def published_port(container: str, port: str) -> int | None:
    """Port of this machine that leads to a container's, such as ``8080/tcp``; None before it runs."""
    address = run("port", container, port).stdout.partition("\n")[0]
    return int(address.rpartition(":")[2]) if address else None


def label(process: int) -> str:
    """Return the label of an emulator's containers and networks, by its process id.

    It includes the host's name: several hosts, themselves containers, can share one Docker engine.
    """
    return f"{_LABEL}={platform.node()}/{process}"


def remove_abandoned() -> None:
    """Remove the containers and networks of every emulator that no longer runs on this host."""
    for removal in abandoned():
        run(*removal)


def abandoned() -> Iterator[list[str]]:
    """Yield the `docker` arguments that remove each of these."""
    for listing, removal in (("ps --all", "container rm --force"), ("network ls", "network rm")):
        shown = f'{{{{.ID}}}} {{{{.Label "{_LABEL}"}}}}'
        found = run(*listing.split(), "--filter", f"label={_LABEL}", "--format", shown).stdout
        for line in found.splitlines():
            identifier, _, owner = line.partition(" ")
            host, _, process = owner.rpartition("/")
            if host == platform.node() and not runs(int(process)):
                yield [*removal.split(), identifier]


def runs(process: int) -> bool:
    """Return whether a process of that id runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    return True
