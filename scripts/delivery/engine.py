"""Whether this machine can build and run the serving image, or serves as a plain process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scripts.delivery.console import DeliveryError, say

DOCKERFILE = Path(__file__).resolve().parents[2] / "container" / "Dockerfile"
BASE_IMAGE_VARIABLE = "TUMOR_BASE_IMAGE"
_ANSWER_LIMIT_S = 20
_PULL_LIMIT_S = 300


@dataclass(frozen=True)
class Engine:
    """How the laptop's endpoints run: ``"docker"`` or ``"process"``, and the reason in words."""

    name: Literal["docker", "process"]
    reason: str


def base_image_context(*, local: bool) -> dict[str, str]:
    """CDK context that replaces the Dockerfile's base image on a laptop by what `TUMOR_BASE_IMAGE` names.

    Nowhere else: `scripts/base-image` carries this machine's pip configuration, which may hold credentials.
    """
    base_image = os.environ.get(BASE_IMAGE_VARIABLE)
    return {"base_image": base_image} if base_image and local else {}


def choose(wanted: str) -> Engine:
    """Decide how endpoints run on this laptop.

    Parameters
    ----------
    wanted
        ``"docker"``, ``"process"``, or ``"auto"``: Docker where an engine answers and has the base image.

    Raises
    ------
    DeliveryError
        If Docker is wanted by name and cannot be had.
    """
    if wanted == "process":
        return Engine("process", "the server runs as a plain process, as asked")
    obstacle = _obstacle()
    if obstacle is None:
        return Engine("docker", f"Docker builds, pushes and runs the image on {_base_image()}")
    if wanted == "docker":
        raise DeliveryError(f"Docker was asked for, but {obstacle}.")
    return Engine("process", f"{obstacle}, so the same server runs as a plain process")


def _base_image() -> str:
    default = re.search(r"^ARG BASE_IMAGE=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    return os.environ.get(BASE_IMAGE_VARIABLE) or (default.group(1) if default else "")


def _obstacle() -> str | None:
    """Say what keeps the image from being built here, or None."""
    if shutil.which("docker") is None:
        return "no docker command was found"
    if not _succeeds("docker", "info"):
        return "no Docker engine answers"
    image = _base_image()
    if _succeeds("docker", "image", "inspect", image):
        return None
    say(f"Pulling the base image {image} ...")
    if _succeeds("docker", "pull", "--quiet", image, limit_s=_PULL_LIMIT_S):
        return None
    return f"the base image {image} can neither be found nor pulled ({BASE_IMAGE_VARIABLE} may name another)"


def _succeeds(*command: str, limit_s: float = _ANSWER_LIMIT_S) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=limit_s).returncode == 0
    except subprocess.TimeoutExpired:
        return False
