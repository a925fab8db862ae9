"""What the emulated SageMaker asks of the laptop's own S3 and ECR, over their public APIs."""

from __future__ import annotations

import re
from functools import cached_property
from typing import IO, TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import ImageIdentifierTypeDef
    from mypy_boto3_s3 import S3Client

_ECR_HOST = re.compile(r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")


class LaptopS3:
    """The artifact store; the process's environment says where it answers."""

    @cached_property
    def _s3(self) -> S3Client:
        return boto3.client("s3")

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self._s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            return False
        return True

    def fetch(self, bucket: str, key: str, target: IO[bytes]) -> None:
        """Write an object's bytes into a file."""
        self._s3.download_fileobj(bucket, key, target)


class LaptopEcr:
    """The image registry."""

    def __init__(self, *, port: int) -> None:
        self._host = f"localhost:{port}"

    def pull_name(self, image: str) -> str | None:
        """Name, by digest, under which Docker can pull an image; None if ECR does not hold it.

        Parameters
        ----------
        image
            ``<registry>/<repository>:<tag>`` or ``<registry>/<repository>@sha256:<digest>``, where the
            registry is the laptop's address, or the one that ECR has on AWS.
        """
        registry, _, path = image.partition("/")
        on_aws = _ECR_HOST.fullmatch(registry)
        if not on_aws and registry != self._host:
            return None
        repository, by_digest, digest = path.partition("@")
        repository, _, tag = repository.partition(":")
        identifier: ImageIdentifierTypeDef
        identifier = {"imageDigest": digest} if by_digest else {"imageTag": tag or "latest"}
        ecr: ECRClient = boto3.client("ecr", region_name=on_aws["region"] if on_aws else None)
        try:
            found = ecr.describe_images(repositoryName=repository, imageIds=[identifier])["imageDetails"]
        except ClientError:
            return None
        return f"{self._host}/{repository}@{found[0]['imageDigest']}"
