"""A model artifact, from the laptop's S3 to a directory that nothing can write to."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.local.sagemaker.errors import invalid

if TYPE_CHECKING:
    from infra.local.sagemaker.cloud import ObjectStore


class ArtifactError(Exception):
    """A model artifact cannot be unpacked; the message says why."""


def location(url: str) -> tuple[str, str]:
    """Split ``s3://bucket/key``, or raise AWS's error for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise invalid(f'"{url}" is not an S3 location of the form s3://bucket/key.')
    return parts.netloc, parts.path.lstrip("/")


def unpack(url: str, *, store: ObjectStore, to: Path) -> Path:
    """Fetch a ``model.tar.gz`` and unpack it, readable and no more.

    Raises
    ------
    ArtifactError
        If it is not a gzipped tar archive of plain files.
    AccessDenied
        If it may not be read.
    """
    to.mkdir(parents=True)
    archive = to / "model.tar.gz"
    files = to / "model"
    files.mkdir()
    with archive.open("wb") as target:
        store.fetch(*location(url), target)
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                _extract(members, member, files)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArtifactError(f"the model data archive {url} cannot be unpacked: {error}") from error
    archive.unlink()
    for path in [files, *files.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return files


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, files: Path) -> None:
    """Copy one member's bytes. A link, a device or a way out of the directory is refused.

    By hand, since tarfile's own filters are missing in Python 3.11.0 to 3.11.3, which Debian 12 has.
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
