"""The `docker` command."""

from __future__ import annotations

import subprocess

_TIMED_OUT = 124  # what the command `timeout` makes of it


def docker(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `docker` and return what came of it; no answer in time is a failure like another.

    Raises
    ------
    OSError
        If there is no such command.
    """
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(
            command, _TIMED_OUT, stdout="", stderr=f"no answer within {timeout_s:.0f} s"
        )
