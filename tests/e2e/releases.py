"""Releases that the tests make of one that was promoted."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.release import card_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import Clone


@dataclass(frozen=True)
class Artifact:
    """What a record says of an artifact."""

    sha256: str
    size: int


def with_unspeakable_labels(name: str, held: bytes) -> bytes:
    """Let a model load and answer its known question, and fail at each answer: its labels are no text."""
    if name != "metadata.json":
        return held
    return json.dumps(json.loads(held) | {"labels": ["\ud800", "\ud800"]}).encode()


def repackage(laptop: Clone, sha256: str, change: Callable[[str, bytes], bytes]) -> Artifact:
    """Put into the laptop's store an artifact like the given one, each member changed, and return it."""
    store = laptop.root / ".local" / "artifacts"
    buffer = io.BytesIO()
    with (
        tarfile.open(store / sha256 / "model.tar.gz") as given,
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as made,
    ):
        for member in given.getmembers():
            content = change(member.name, given.extractfile(member).read())  # type: ignore[union-attr]
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    artifact = Artifact(hashlib.sha256(buffer.getvalue()).hexdigest(), len(buffer.getvalue()))
    (store / artifact.sha256).mkdir()
    (store / artifact.sha256 / "model.tar.gz").write_bytes(buffer.getvalue())
    return artifact


def write_record(record: Path, described: dict[str, Any], artifact: Artifact, *, version: str) -> None:
    """Write a record like the one described, which releases the artifact, and a card beside it."""
    described["model"] |= {"sha256": artifact.sha256, "version": version, "bytes": artifact.size}
    record.write_text(json.dumps(described))
    card_path(record, sha256=artifact.sha256).write_text("# A model made for a test\n")
