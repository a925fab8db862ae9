"""What the emulated SageMaker asks of the laptop's own S3 and ECR, over their public APIs.

Where policies are enforced it asks with the model's execution role, else with the account's own keys.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from typing import IO, TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from infra.local import policies
from infra.local.sagemaker.cloud import AccessDenied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import ImageIdentifierTypeDef
    from mypy_boto3_s3 import S3Client

_ECR_HOST = re.compile(r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
_SERVICE = "sagemaker.amazonaws.com"


class Laptop:
    """The laptop's other services; the process's environment says where they answer."""

    def __init__(self, *, port: int) -> None:
        self._port = port

    def store(self, role: str) -> LaptopS3:
        """Return S3 as an execution role sees it, or raise `AccessDenied`."""
        return LaptopS3(_session(role).client("s3"), role)

    def registry(self, role: str) -> LaptopEcr:
        """Return ECR as an execution role sees it, or raise `AccessDenied`."""
        return LaptopEcr(_session(role), role, port=self._port)


class LaptopS3:
    """The artifact store."""

    def __init__(self, s3: S3Client, role: str) -> None:
        self._s3 = s3
        self._role = role

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object."""
        try:
            with _as_role(self._role, f"read s3://{bucket}/{key}"):
                self._s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            return False
        return True

    def fetch(self, bucket: str, key: str, target: IO[bytes]) -> None:
        """Write an object's bytes into a file."""
        with _as_role(self._role, f"read s3://{bucket}/{key}"):
            shutil.copyfileobj(self._s3.get_object(Bucket=bucket, Key=key)["Body"], target)


class LaptopEcr:
    """The image registry."""

    def __init__(self, session: boto3.Session, role: str, *, port: int) -> None:
        self._session = session
        self._role = role
        self._host = f"localhost:{port}"

    def pull_name(self, image: str) -> str | None:
        """Name, by digest, under which Docker can pull an image; None if ECR does not hold it.

        It asks what Docker's pull asks of ECR on AWS; the pull from here needs no token.

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
        ecr: ECRClient = self._session.client("ecr", region_name=on_aws["region"] if on_aws else None)
        try:
            with _as_role(self._role, f"pull {image}"):
                found = _look_up(ecr, repository, identifier)
        except ClientError:
            return None
        return f"{self._host}/{repository}@{found}" if found else None


def _look_up(ecr: ECRClient, repository: str, identifier: ImageIdentifierTypeDef) -> str | None:
    """Return an image's digest after all that a pull of it reads, or None if there is no such image."""
    ecr.get_authorization_token()
    images = ecr.batch_get_image(repositoryName=repository, imageIds=[identifier])["images"]
    if not images:
        return None
    for layer in json.loads(images[0]["imageManifest"]).get("layers", []):
        ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=layer["digest"])
    return images[0]["imageId"]["imageDigest"]


def _session(role: str) -> boto3.Session:
    if not policies.enforced():
        return _own_session()
    try:
        return policies.take_role(role, service=_SERVICE)
    except policies.RoleError as error:
        raise AccessDenied(str(error)) from error


@cache
def _own_session() -> boto3.Session:
    return boto3.Session()


@contextmanager
def _as_role(role: str, what: str) -> Iterator[None]:
    """Turn AWS's refusals into `AccessDenied`; every other error stays what it is."""
    try:
        yield
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.FORBIDDEN:
            raise
        why = error.response["Error"].get("Message", "Forbidden")
        raise AccessDenied(f"The role {role} may not {what}: {why}") from error
