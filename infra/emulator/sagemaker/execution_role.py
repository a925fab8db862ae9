"""What SageMaker fetches from S3 and ECR as a model's execution role, over their public APIs."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.config.hosting import VOLUME_KEY_ACTIONS
from infra.emulator.ministack_patches import iam
from infra.emulator.ministack_patches.iam import AccessDenied
from infra.emulator.sagemaker.resources import ServerError, invalid
from infra.emulator.validation.shapes import InvalidRequest
from infra.local_aws import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import ImageIdentifierTypeDef

_ECR_HOST = re.compile(r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
_SERVICE = "sagemaker.amazonaws.com"
_own_session = cache(boto3.Session)
# S3 throttles a prefix that is read by many; a transform job reads on many threads.
_PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=32)
REFUSALS = (AccessDenied, BotoCoreError, ClientError, InvalidRequest)  # of what is done as a role


@dataclass(frozen=True)
class Image:
    """An image that ECR holds: the name, by digest, under which Docker pulls it, and its manifest's type."""

    name: str
    media_type: str


class ExecutionRole:
    """A model's execution role; without enforced policies its requests use the account's own keys.

    Every method raises `AccessDenied` if the role lacks a permission that it needs.
    """

    def __init__(self, arn: str, *, port: int) -> None:
        self._arn = arn
        self._registry = f"{HOST}:{port}"
        self._session = iam.assume_role(arn, service=_SERVICE) if iam.enforced() else _own_session()
        self._s3 = self._session.client("s3", config=_PATIENT)

    def check_volume_key(self, key: str) -> None:
        """Check the permissions that an encrypted volume takes."""
        for action in VOLUME_KEY_ACTIONS:
            iam.require(self._arn, action, key)
        iam.require(self._arn, "kms:CreateGrant", key, context={"kms:GrantIsForAWSResource": "true"})

    def object_exists(self, url: str) -> bool:
        """Whether S3 holds the object of an ``s3://`` URL."""
        bucket, key = _location(url)
        try:
            with self._acting(f"read {url}"):
                self._s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            return False
        return True

    def read(self, url: str) -> bytes:
        """Return the content of the object of an ``s3://`` URL."""
        bucket, key = _location(url)
        with self._acting(f"read {url}"):
            return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def write(self, url: str, content: bytes, *, key: str | None) -> None:
        """Put the object of an ``s3://`` URL, encrypted under a KMS key if one is given."""
        bucket, path = _location(url)
        encryption: dict[str, Any] = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
        with self._acting(f"write {url}"):
            self._s3.put_object(Bucket=bucket, Key=path, Body=content, **encryption)

    def publish(self, topic: str, message: str) -> None:
        """Publish a message to a topic."""
        with self._acting(f"publish to {topic}"):
            self._session.client("sns").publish(TopicArn=topic, Message=message)

    def download(self, url: str, *, to: Path) -> None:
        """Download all objects below a prefix, an ``s3://`` URL, as a job's channel gets them."""
        bucket, prefix = _location(url)
        with self._acting(f"list {url}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        for key in keys:
            path = to / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(f"s3://{bucket}/{key}"))

    def unpack(self, url: str, *, to: Path) -> Path:
        """Download a ``model.tar.gz`` and return the read-only directory into which it is unpacked.

        Raises ServerError if it holds anything but plain files.
        """
        files, archive = to / "model", to / "model.tar.gz"
        files.mkdir(parents=True)
        bucket, key = _location(url)
        with archive.open("wb") as target, self._acting(f"read {url}"):
            shutil.copyfileobj(self._s3.get_object(Bucket=bucket, Key=key)["Body"], target)
        try:
            with tarfile.open(archive, "r:gz") as members:
                for member in members:
                    _extract(members, member, files)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ServerError(f"the model data archive {url} cannot be unpacked: {error}") from error
        archive.unlink()
        for path in files.rglob("*"):
            if path.is_file():
                path.chmod(0o444)
        return files

    def find_image(self, image: str) -> Image | None:
        """Look an image up as Docker's pull from ECR on AWS does; None if ECR does not hold it.

        `image` has the registry's local address or the one on AWS, and a tag or a digest.
        """
        registry, _, path = image.partition("/")
        on_aws = _ECR_HOST.fullmatch(registry)
        if not on_aws and registry != self._registry:
            return None
        repository, by_digest, digest = path.partition("@")
        repository, _, tag = repository.partition(":")
        identifier: ImageIdentifierTypeDef
        identifier = {"imageDigest": digest} if by_digest else {"imageTag": tag or "latest"}
        ecr: ECRClient = self._session.client("ecr", region_name=on_aws["region"] if on_aws else None)
        try:
            with self._acting(f"pull {image}"):
                ecr.get_authorization_token()
                images = ecr.batch_get_image(repositoryName=repository, imageIds=[identifier])["images"]
                if not images:
                    return None
                for layer in json.loads(images[0]["imageManifest"]).get("layers", []):
                    ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=layer["digest"])
        except ClientError:
            return None
        name = f"{self._registry}/{repository}@{images[0]['imageId']['imageDigest']}"
        return Image(name, images[0]["imageManifestMediaType"])

    @contextmanager
    def _acting(self, action: str) -> Iterator[None]:
        """Turn a refusal by AWS into `AccessDenied`; other errors are not changed."""
        try:
            yield
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.FORBIDDEN:
                raise
            reason = error.response["Error"].get("Message", "Forbidden")
            raise AccessDenied(f"The role {self._arn} may not {action}: {reason}") from error


def _location(url: str) -> tuple[str, str]:
    """Split ``s3://bucket/key``, or raise AWS's error for anything else."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key.strip("/"):
        raise invalid(f'"{url}" is not an S3 location of the form s3://bucket/key.')
    return bucket, key


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, files: Path) -> None:
    """Copy one member's bytes; refuse a link, a device or a path out of the directory.

    By hand, since Python 3.11.0 to 3.11.3, which Debian 12 has, lack tarfile's own filters.
    """
    if member.isdir():
        return
    path = PurePosixPath(member.name)
    content = archive.extractfile(member) if member.isfile() else None
    if content is None or path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name} is not a plain file inside the archive")
    target = files / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(content, file)
