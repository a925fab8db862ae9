"""Decides whether endpoints run in Docker or as plain processes on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import Any, Literal

from infra.paths import ROOT
from scripts.console import DeliveryError, progress

DOCKERFILE = ROOT / "container" / "Dockerfile"
BASE_IMAGE_VARIABLE = "TUMOR_BASE_IMAGE"
_ANSWER_LIMIT_S = 20
_PULL_LIMIT_S = 300
_INFORMATION_LIMIT_S = 3
_CONTAINERD_STORE = "io.containerd.snapshotter"


@dataclass(frozen=True)
class Engine:
    """How the emulator's endpoints run, and why."""

    name: Literal["docker", "process"]
    reason: str


def base_image_context(*, local: bool) -> dict[str, str]:
    """Return CDK context that replaces the Dockerfile's base image by the one that `TUMOR_BASE_IMAGE` names.

    Only for the emulator: the image of `scripts/dev base-image` has this machine's pip configuration, which
    may hold credentials.
    """
    base_image = os.environ.get(BASE_IMAGE_VARIABLE)
    return {"base_image": base_image} if base_image and local else {}


def refuse_unpinned_base() -> None:
    """Refuse a base image that is named by a tag: a deploy from the same commit could build another image."""
    if "@sha256:" not in (base := _default_base_image()):
        raise DeliveryError(
            f"container/{DOCKERFILE.name} builds on {base}, a tag whose image can change. "
            "Nothing was deployed. `scripts/dev pin base` writes the tag's digest: test with it, commit it."
        )


def build_command() -> list[str]:
    """Return the `docker build` by which the CDK builds the serving image, so that it finds the layers."""
    base_image = os.environ.get(BASE_IMAGE_VARIABLE)
    arguments = ["--build-arg", f"BASE_IMAGE={base_image}"] if base_image else []
    return ["docker", "build", "--platform", "linux/amd64", *arguments, str(DOCKERFILE.parent)]


def choose(wanted: str) -> Engine:
    """Decide how the emulator's endpoints run; ``"auto"`` is Docker where an engine has the base image."""
    if wanted == "process":
        return Engine("process", "the server runs as a plain process (--engine process)")
    obstacle = _obstacle()
    if obstacle is None:
        return Engine("docker", f"Docker builds, pushes and runs the image on {_base_image()}")
    if wanted == "docker":
        raise DeliveryError(f"--engine docker: {obstacle}.")
    return Engine("process", f"{obstacle}, so the same server runs as a plain process")


def _base_image() -> str:
    return os.environ.get(BASE_IMAGE_VARIABLE) or _default_base_image()


def _default_base_image() -> str:
    default = re.search(r"^ARG BASE_IMAGE=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    return default.group(1) if default else ""


def information() -> dict[str, Any]:
    """Return what `docker info` says as JSON; a `DeliveryError` has Docker's own words for a failure."""
    if error := failure("docker", "info", limit_s=_INFORMATION_LIMIT_S):
        raise DeliveryError(f"no Docker engine answers ({error})")
    found: dict[str, Any] = json.loads(subprocess.check_output(["docker", "info", "--format", "{{json .}}"]))
    return found


def pushes_oci(information: dict[str, Any]) -> bool:
    """Return whether images get OCI manifests: containerd's store holds them, and no buildx makes others."""
    store = _CONTAINERD_STORE in json.dumps(information.get("DriverStatus"))
    return store and failure("docker", "buildx", "version") is not None


def _obstacle() -> str | None:
    """Return why the image cannot be built here, or None."""
    if error := failure("docker", "info"):
        return f"no Docker engine answers ({error})"
    image = _base_image()
    if failure("docker", "image", "inspect", image) is None:
        return None
    progress(f"docker pull {image}")
    if error := failure("docker", "pull", "--quiet", image, limit_s=_PULL_LIMIT_S):
        return f"the base image {image} cannot be pulled ({error}); {BASE_IMAGE_VARIABLE} can name another"
    return None


def failure(*command: str, limit_s: float = _ANSWER_LIMIT_S) -> str | None:
    """Return what a command printed about its failure, in one line, or None if it succeeded."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s)
    except (FileNotFoundError, PermissionError):
        return f"there is no {command[0]} command"
    except subprocess.TimeoutExpired:
        return f"no answer in {limit_s:.0f} s"
    words = " ".join((done.stderr or done.stdout).split())
    return (words or f"exit status {done.returncode}") if done.returncode else None
