"""Docker for the tests that build or run images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

DOCKERFILE = Path(__file__).resolve().parents[1] / "container" / "Dockerfile"
LOCAL_BASE = "tumor-detector-base:bookworm"  # as scripts/base-image calls it
# As `scripts/deploy` builds: with attestations a build's manifest is one that SageMaker refuses.
_ENVIRONMENT = {**os.environ, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def docker(*arguments: str) -> str:
    """Run `docker` and return what it prints; a failure is the test's."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, env=_ENVIRONMENT
    )
    if done.returncode:
        pytest.fail(f"docker {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return (done.stdout + done.stderr).strip()


def succeeds(*arguments: str) -> bool:
    """Whether `docker` with these arguments ends well."""
    return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}: CI must have one")
    pytest.skip(reason)


def find_base_image() -> str:
    """Return a base image that can be built on here.

    It is what TUMOR_BASE_IMAGE names, else what `scripts/base-image` made, else the Dockerfile's own. Without
    an engine or an image the test is skipped, with the reason, and fails in CI.
    """
    if shutil.which("docker") is None or not succeeds("info"):
        _cannot("no Docker engine answers")
    if named := os.environ.get("TUMOR_BASE_IMAGE"):
        return named
    if succeeds("image", "inspect", LOCAL_BASE):
        return LOCAL_BASE
    [public] = re.findall(r"^ARG BASE_IMAGE=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    if succeeds("image", "inspect", public) or succeeds("pull", "--quiet", public):
        return str(public)
    _cannot(f"the base image {public} cannot be pulled here: scripts/base-image makes another")
