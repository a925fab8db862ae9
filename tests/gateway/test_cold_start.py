"""A cold start pays for boto3 and its client, and for little else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.gateway.conftest import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 5
FLOOR = "import boto3; boto3.client('sagemaker-runtime')"


def cpu_seconds(code: str, *, environment: dict[str, str], folder: Path) -> float:
    """Return the processor time that a fresh interpreter takes, which a busy machine stretches least."""
    command = [
        sys.executable,
        "-B",
        "-c",
        code,
    ]  # -B: a Lambda's folder is read-only, nothing is kept compiled
    process = subprocess.Popen(command, cwd=folder, env={**environment, "PATH": os.environ["PATH"]})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_importing_the_handler_costs_at_most_1_3_times_boto3_with_its_client(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # Given the Lambda's folder as it is deployed: no compiled files in it
    shutil.copytree(FOLDER, tmp_path / "asset", ignore=shutil.ignore_patterns("__pycache__"))

    # When both are imported in turns, so that a slow moment meets both
    times = [
        (
            cpu_seconds(FLOOR, environment=environment, folder=tmp_path),
            cpu_seconds("import handler", environment=environment, folder=tmp_path / "asset"),
        )
        for _ in range(ROUNDS)
    ]

    # Then the best of each keep the bound (measured: 0.9)
    floor, handler = map(min, zip(*times, strict=True))
    assert handler / floor < 1.3
