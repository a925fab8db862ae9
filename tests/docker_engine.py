"""Docker for the tests that build or run images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unavailable import unavailable

DOCKERFILE = Path(__file__).resolve().parents[1] / "container" / "Dockerfile"
LOCAL_BASE = "tumor-detector-base:bookworm"  # the default tag of scripts/dev base-image
# As `scripts/deploy` builds: SageMaker refuses the manifest of a build with attestations.
_ENVIRONMENT = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def docker(*arguments: str) -> str:
    """Run `docker` and return its output; a failure fails the test."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, env=_ENVIRONMENT
    )
    if done.returncode:
        pytest.fail(f"docker {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return (done.stdout + done.stderr).strip()


def succeeds(*arguments: str) -> bool:
    """Whether `docker` exits with 0."""
    return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0


def find_base_image() -> str:
    """Return a base image: $TUMOR_BASE_IMAGE, else that of `scripts/dev base-image`, or the Dockerfile's.

    Without an engine or an image the test is skipped, and fails in CI.
    """
    if shutil.which("docker") is None or not succeeds("info"):
        unavailable("no Docker engine answers")
    if named := os.environ.get("TUMOR_BASE_IMAGE"):
        return named
    if succeeds("image", "inspect", LOCAL_BASE):
        return LOCAL_BASE
    [public] = re.findall(r"^ARG BASE_IMAGE=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    if succeeds("image", "inspect", public) or succeeds("pull", "--quiet", public):
        return str(public)
    return unavailable(
        f"the base image {public} cannot be pulled here; scripts/dev base-image builds another"
    )
