"""From a champion to `model.tar.gz`, byte for byte the same every time, once it says what Keras said.

The network was converted once, when its training ended, and an export packs that very file: converting again
could give other bytes, and so another hash, for the same network.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import mlflow
from mlflow.exceptions import MlflowException

from container.metadata import ModelError

from . import serving
from .serving import CARD, METADATA, NETWORK, ParityError

if TYPE_CHECKING:
    from .metadata import Metadata
    from .registry import Champion

ARCHIVE = "model.tar.gz"


class ExportError(Exception):
    """The champion cannot be exported; the text says why."""


@dataclass(frozen=True)
class Artifact:
    """A packed model and what is in it."""

    path: Path
    sha256: str
    size: int
    metadata: Metadata
    card: str


def export(champion: Champion, *, to: Path) -> Artifact:
    """Check a champion's serving files against Keras and pack them into `to/model.tar.gz`.

    Raises
    ------
    ExportError
        When files are missing or broken, or the network differs from Keras on any validation image.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            served = _download(champion, "serving", to=scratch)
            serving.check_parity(served, validation=_download(champion, "parity", to=scratch))
            files = {name: (served / name).read_bytes() for name in (CARD, METADATA, NETWORK)}
        except (BadZipFile, MlflowException, ModelError, OSError, ParityError, ValueError) as error:
            which = f"{champion.name} version {champion.version}"
            raise ExportError(f"{which} cannot be exported: {error}. Run scripts/train again.") from error
    packed = pack(files)
    to.mkdir(parents=True, exist_ok=True)
    path = to / ARCHIVE
    path.write_bytes(packed)
    return Artifact(
        path=path,
        sha256=hashlib.sha256(packed).hexdigest(),
        size=len(packed),
        metadata=json.loads(files[METADATA]),
        card=files[CARD].decode(),
    )


def pack(files: dict[str, bytes]) -> bytes:
    """Pack files into a tar.gz that depends on their names and bytes alone: no times, no owners, sorted."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)  # its time and owners are 0 until someone sets them
            member.size, member.mode = len(files[name]), 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    return gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)


def unpack(archive: Path, *, to: Path) -> Path:
    """Unpack the files of an archive that `pack` made into a folder, and return the folder."""
    to.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as members:
        for name in (CARD, METADATA, NETWORK):
            content = members.extractfile(name)
            (to / name).write_bytes(content.read() if content else b"")
    return to


def _download(champion: Champion, folder: str, *, to: str) -> Path:
    found = mlflow.artifacts.download_artifacts(run_id=champion.run_id, artifact_path=folder, dst_path=to)
    return Path(found)
