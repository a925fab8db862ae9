"""Settings from the environment: SageMaker's variables and the release's."""

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
  MODEL_DIR               the model's folder, read-only (default: /opt/ml/model)
  BIND_HOST               the address to listen on (default: 0.0.0.0)
  SAGEMAKER_BIND_TO_PORT  the port to listen on (default: 8080; 0: any free one, named in the log)
  SAGEMAKER_SAFE_PORT_RANGE
                          ports for further listeners; there are none, so the value is ignored
  SAGEMAKER_MODEL_SERVER_WORKERS
                          worker processes, each predicting one image at a time (default: one per core)
  SAGEMAKER_MODEL_SERVER_TIMEOUT
                          seconds of one prediction after which its worker is replaced (default: 20)
  SAGEMAKER_BATCH         "true" in a transform job, where SageMaker sets it: a refusal is answered with 200
  ASYNC_INFERENCE         "true" where images come from a queue: one may have 100 MiB, frame=all gets a line
                          for each frame, and a refusal is answered with 200
  MODEL_NAME, MODEL_VERSION, MODEL_SHA256
                          the release's names for the model; part of every answer
"""
MAX_WORKERS = 64
ASYNCHRONOUS = os.environ.get("ASYNC_INFERENCE", "").lower() == "true"
# The slowest accepted image takes about 3 s: a JPEG of a million empty segments. From a queue, a file of
# thousands of frames may come.
TIMEOUT_S = 600 if ASYNCHRONOUS else 20
MAX_TIMEOUT_S = 900 if ASYNCHRONOUS else 24  # with arriving (20) and waiting (15) below SageMaker's 60
_NUMBER = "[0-9]{1,9}"  # Python refuses to read thousands of digits
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of this container, by cgroup v2: microseconds and their period


class SettingsError(Exception):
    """Variables with wrong values; the text names each."""


@dataclass(frozen=True)
class Settings:
    """What to serve, where, and with how many processes."""

    model_dir: Path
    host: str
    port: int
    workers: int
    timeout_s: int
    batch: bool
    release: Mapping[str, str | None]  # its names for the model: name, version and sha256

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings; raises `SettingsError` naming every variable that is wrong, and its value."""
        errors: list[str] = []

        def whole(variable: str, default: int, low: int, high: int) -> int:
            text = environment.get(variable, str(default))
            if re.fullmatch(_NUMBER, text) and low <= int(text) <= high:
                return int(text)
            errors.append(f"{variable} is {text!r}, not a whole number from {low} to {high}")
            return default

        settings = cls(
            model_dir=Path(environment.get("MODEL_DIR", "/opt/ml/model")),
            host=environment.get("BIND_HOST", "0.0.0.0"),  # noqa: S104 - a container's only way to be reached
            port=whole("SAGEMAKER_BIND_TO_PORT", 8080, 0, 2**16 - 1),
            workers=whole("SAGEMAKER_MODEL_SERVER_WORKERS", cores(), 1, MAX_WORKERS),
            timeout_s=whole("SAGEMAKER_MODEL_SERVER_TIMEOUT", TIMEOUT_S, 1, MAX_TIMEOUT_S),
            batch=environment.get("SAGEMAKER_BATCH", "").lower() == "true",
            release={key: environment.get(f"MODEL_{key.upper()}") for key in ("name", "version", "sha256")},
        )
        if errors:
            raise SettingsError("; ".join(errors))
        return settings


def cores(quota: Path = _QUOTA) -> int:
    """Return how many cores this process may use: its CPU affinity, or its container's lower quota."""
    allowed = min(MAX_WORKERS, len(os.sched_getaffinity(0)))
    try:
        share, period = quota.read_text().split()
    except (OSError, ValueError):  # no container, or one of cgroup v1
        return allowed
    return allowed if share == "max" else max(1, min(allowed, int(share) // int(period)))
