"""What the environment decides: SageMaker's variables and the release's."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HELP = """\
environment:
  MODEL_DIR               the model's folder, read only (default: /opt/ml/model)
  BIND_HOST               the address to listen on (default: 0.0.0.0)
  SAGEMAKER_BIND_TO_PORT  the port to listen on (default: 8080; 0: any free one, named in the log)
  SAGEMAKER_SAFE_PORT_RANGE
                          the ports for a second listener; there is none here, so any value suits
  SAGEMAKER_MODEL_SERVER_WORKERS
                          worker processes, each judging one image at a time (default: one a core)
  SAGEMAKER_MODEL_SERVER_TIMEOUT
                          seconds after which a worker is taken to hang, and replaced (default: 20)
  MODEL_NAME, MODEL_VERSION, MODEL_SHA256
                          what the release calls the model; part of every answer
"""
MAX_WORKERS = 64
TIMEOUT_S = 20  # the slowest image that is let in takes about 3: a JPEG of a million empty segments
MAX_TIMEOUT_S = 24  # with the times that an image may take to arrive and wait below SageMaker's 60 seconds
_NUMBER = "[0-9]{1,9}"  # Python itself refuses to read thousands of digits
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of this container, by cgroup v2: microseconds and their period


class SettingsError(Exception):
    """Variables that cannot be obeyed; the text names each."""


@dataclass(frozen=True)
class Settings:
    """What to serve, where, and with how many processes."""

    model_dir: Path
    host: str
    port: int
    workers: int
    timeout_s: int
    name: str | None
    version: str | None
    sha256: str | None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises
        ------
        SettingsError
            With every variable that is wrong, its value and what it should be.
        """
        errors: list[str] = []

        def whole(variable: str, default: int, low: int, high: int) -> int:
            text = environment.get(variable)
            if text is None:
                return default
            if not (re.fullmatch(_NUMBER, text) and low <= int(text) <= high):
                errors.append(f"{variable} is {text!r}, no whole number from {low} to {high}")
                return default
            return int(text)

        port = whole("SAGEMAKER_BIND_TO_PORT", 8080, 0, 2**16 - 1)
        workers = whole("SAGEMAKER_MODEL_SERVER_WORKERS", cores(), 1, MAX_WORKERS)
        timeout_s = whole("SAGEMAKER_MODEL_SERVER_TIMEOUT", TIMEOUT_S, 1, MAX_TIMEOUT_S)
        if errors:
            raise SettingsError("; ".join(errors))
        return cls(
            model_dir=Path(environment.get("MODEL_DIR", "/opt/ml/model")),
            host=environment.get("BIND_HOST", "0.0.0.0"),  # noqa: S104 - a container's only way to be reached
            port=port,
            workers=workers,
            timeout_s=timeout_s,
            name=environment.get("MODEL_NAME"),
            version=environment.get("MODEL_VERSION"),
            sha256=environment.get("MODEL_SHA256"),
        )


def cores(quota: Path = _QUOTA) -> int:
    """Return how many cores this process may use: those it is bound to, or fewer by its container's quota."""
    bound = min(MAX_WORKERS, len(os.sched_getaffinity(0)))
    try:
        share, period = quota.read_text().split()
    except (OSError, ValueError):  # no container, or one of cgroup v1
        return bound
    return bound if share == "max" else max(1, min(bound, int(share) // int(period)))
