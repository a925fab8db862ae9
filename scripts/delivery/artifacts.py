"""What a release needs on AWS: its model artifact in the bucket, by hash, and the serving image in ECR."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra import names
from infra.paths import ROOT
from infra.release import artifact_key
from scripts.console import DeliveryError, detail
from scripts.delivery.aws import bootstrap_session, if_exists, session
from scripts.delivery.cdk import cdk

if TYPE_CHECKING:
    from infra.config import Settings

STORE = ROOT / ".local" / "artifacts"  # on this machine
DOCKER_V2 = "application/vnd.docker.distribution.manifest.v2+json"


def stored(sha256: str) -> Path:
    """Return the path of an artifact in this machine's store, whether it exists or not."""
    return STORE / sha256 / "model.tar.gz"


def keep(path: Path, *, sha256: str) -> Path:
    """Copy an artifact into this machine's store, unless it is there intact, and return its path."""
    target = stored(sha256)
    if not _is_intact(target, sha256=sha256):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        shutil.copyfile(path, partial)
        partial.replace(target)
    return target


def ensure_uploaded(bucket: str, *, sha256: str) -> None:
    """Check that the bucket holds the artifact with this hash; upload it from the store if it does not."""
    key = artifact_key(sha256)
    found = _uploaded_sha256(bucket, key)
    if found == sha256:
        return
    if found is not None:
        raise DeliveryError(
            f"s3://{bucket}/{key} does not match its name (its SHA-256 is {found}). "
            "Keys are never overwritten: find out who wrote it, delete that version, and deploy again."
        )
    source = stored(sha256)
    if not _is_intact(source, sha256=sha256):
        raise DeliveryError(
            f"The release names the artifact {sha256}, which is neither in s3://{bucket} nor in {STORE}. "
            "Promote the run again with `scripts/promote`, or deploy from the machine that promoted it."
        )
    try:
        session().client("s3").put_object(
            Bucket=bucket,
            Key=key,
            Body=source.read_bytes(),
            ContentType="application/gzip",
            ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
        )
    except ClientError as error:
        raise DeliveryError(f"s3://{bucket}/{key} cannot be written: {error}") from error
    detail(f"  uploaded s3://{bucket}/{key} ({source.stat().st_size / 1e6:.1f} MB)")


def _is_intact(path: Path, *, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _uploaded_sha256(bucket: str, key: str) -> str | None:
    """Return the SHA-256 that S3 computed at upload, or else that of the object's bytes."""
    s3 = session().client("s3")
    try:
        head = if_exists(s3.head_object, "404", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        raise DeliveryError(f"s3://{bucket}/{key} cannot be read: {error}") from error
    if head is None:
        return None
    if computed := head.get("ChecksumSHA256"):
        return base64.b64decode(computed).hex()
    return hashlib.sha256(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).hexdigest()


def push_image(settings: Settings, *, assembly: str) -> None:
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
