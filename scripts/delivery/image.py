"""The serving image in ECR: pushed and checked before the endpoint's stack is deployed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import names
from scripts.console import DeliveryError
from scripts.delivery.aws import bootstrap_session, if_exists
from scripts.delivery.cdk import cdk

if TYPE_CHECKING:
    from infra.config import Settings

DOCKER_V2 = "application/vnd.docker.distribution.manifest.v2+json"


def push(settings: Settings, *, assembly: str) -> None:
    """Push the image of a synthesized endpoint stack, unless ECR holds it, and check its manifest.

    Raises `DeliveryError` for an OCI manifest or index, which SageMaker's CreateModel refuses.
    """
    stack = names.stack(settings.environment, "endpoint")
    assets = json.loads(Path(assembly, f"{stack}.assets.json").read_text())
    (image,) = assets["dockerImages"].values()
    (destination,) = image["destinations"].values()
    repository, tag = destination["repositoryName"], destination["imageTag"]
    if (found := _media_type(settings, repository, tag)) is None:
        arguments = ("publish-assets", stack, "--unstable=publish-assets", "--app", assembly)
        cdk(*arguments, local=settings.local)
        found = _media_type(settings, repository, tag)
    if found != DOCKER_V2:
        raise DeliveryError(
            f"The image {repository}:{tag} has a manifest of type {found}; SageMaker takes {DOCKER_V2} only. "
            "The endpoint was not changed. Docker's containerd image store makes OCI manifests where buildx "
            'is absent: install docker-buildx, or set `"features": {"containerd-snapshotter": false}` in '
            "/etc/docker/daemon.json and restart Docker. "
            f"Then delete the image, whose tag cannot be overwritten, and deploy again: `aws ecr "
            f"batch-delete-image --region {settings.region} --repository-name {repository} "
            f"--image-ids imageTag={tag}`."
        )


def _media_type(settings: Settings, repository: str, tag: str) -> str | None:
    """Return the media type of an image's manifest in ECR, or None if there is no such image."""
    ecr = bootstrap_session(settings, "lookup").client("ecr")
    request: Any = {"repositoryName": repository, "imageIds": [{"imageTag": tag}]}
    found = if_exists(ecr.describe_images, "ImageNotFoundException", **request)
    return found["imageDetails"][0]["imageManifestMediaType"] if found else None
