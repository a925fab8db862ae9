"""A model artifact, from the laptop's S3 to a read-only directory."""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from infra.local.sagemaker.errors import invalid

if TYPE_CHECKING:
    from pathlib import Path


class ArtifactError(Exception):
    """A model artifact cannot be fetched or unpacked; the message says why."""


class ObjectStore(Protocol):
    """The two questions that SageMaker asks of S3."""

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object."""

    def fetch(self, bucket: str, key: str, target: IO[bytes]) -> None:
        """Write an object's bytes into a file."""


def location(url: str) -> tuple[str, str]:
    """Split ``s3://bucket/key``, or raise AWS's error for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise invalid(f'"{url}" is not an S3 location of the form s3://bucket/key.')
    return parts.netloc, parts.path.lstrip("/")


def unpack(url: str, *, store: ObjectStore, to: Path) -> Path:
    """Fetch a ``model.tar.gz`` and unpack it where nothing can write.

    The archive is untrusted: tarfile's ``data`` filter refuses what would leave the directory, links to
    outside, devices and set-user-id bits (https://docs.python.org/3/library/tarfile.html#extraction-filters).

    Raises
    ------
    ArtifactError
        If it is not a gzipped tar archive, or holds what the filter refuses.
    """
    bucket, key = location(url)
    to.mkdir(parents=True)
    archive = to / "model.tar.gz"
    files = to / "model"
    with archive.open("wb") as target:
        store.fetch(bucket, key, target)
    try:
        with tarfile.open(archive, "r:gz") as members:
            members.extractall(files, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArtifactError(f"the model data archive {url} cannot be unpacked: {error}") from error
    archive.unlink()
    for path in [files, *files.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return files
