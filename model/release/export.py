"""Packs a model version into a reproducible `model.tar.gz`, after checking its parity with Keras.

The network was converted once, at the end of its training. An export packs that file, since another
conversion could produce other bytes, and so another hash.
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
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException

from container.metadata import ModelError
from container.network import known_input
from container.predictor import NetworkOutputs, Predictor

if TYPE_CHECKING:
    from model.arrays import Floats, Floats32
    from model.networks.backend import keras
    from model.release.registry import ModelVersion

NETWORK, METADATA, CARD = "model.tflite", "metadata.json", "model-card.md"
REFERENCE = "reference.json"  # of `model.training.reference`; models of earlier releases have none
VALIDATION = "validation.npz"
OUTPUTS = ("tumour", "brain", "familiarity", "evidence")  # of the network, by their names in `VALIDATION`
ARCHIVE = "model.tar.gz"
TOLERANCE = 1e-4
"""Largest difference of an output between Keras and the exported network, relative to the largest absolute
value of the image's output if that is above 1, as float32 has a relative precision."""
GREY_LEVELS = np.float32(255)
Metadata = dict[str, Any]
"""`metadata.json`: composed by `final_fit.describe`, validated by `container.metadata`."""


class ParityError(Exception):
    """The exported network's outputs differ from Keras's."""


class ExportError(Exception):
    """The model version cannot be exported; the message says why."""


@dataclass(frozen=True)
class Artifact:
    """A packed model and its contents; `size` in bytes."""

    path: Path
    sha256: str
    size: int
    metadata: Metadata
    card: str


def export(model: ModelVersion, *, to: Path) -> Artifact:
    """Check a version's serving files against Keras and pack them into `to/model.tar.gz`.

    Raises
    ------
    ExportError
        When files are missing or broken, or the network differs from Keras on any validation image.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            served = _download(model, "serving", to=scratch)
            check_parity(served, validation=_download(model, "parity", to=scratch))
            names = [CARD, METADATA, NETWORK, *([REFERENCE] if (served / REFERENCE).exists() else [])]
            files = {name: (served / name).read_bytes() for name in names}
        except (BadZipFile, MlflowException, ModelError, OSError, ParityError, ValueError) as error:
            which = f"{model.name} version {model.version}"
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
    """Pack files into a tar.gz that depends on their names and bytes alone, without times or owners."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)  # time and owners default to 0
            member.size, member.mode = len(files[name]), 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    return gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)


def unpack(archive: Path, *, to: Path) -> Path:
    """Unpack an archive from `pack` into a folder, and return the folder."""
    to.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as members:
        for name in (CARD, METADATA, NETWORK):
            content = members.extractfile(name)
            (to / name).write_bytes(content.read() if content else b"")
    return to


def predict(network: keras.Model, pixels: Floats32) -> NetworkOutputs:
    """Run the Keras model on preprocessed images, (n, size, size, 1)."""
    logits, evidence = network.predict(pixels, batch_size=32, verbose=0)
    tumour, brain, familiarity = np.asarray(logits, dtype=np.float64).T
    return NetworkOutputs(tumour, brain, familiarity, evidence[..., 0])


def write(
    folder: Path, *, network: keras.Model, metadata: Metadata, card: str, reference: dict[str, Any]
) -> None:
    """Convert a network for LiteRT and write it with its metadata, a known answer, its card and reference."""
    folder.mkdir(parents=True, exist_ok=True)
    network.export(folder / NETWORK, format="litert", verbose=False)
    size = network.input_shape[1]
    logit = float(predict(network, known_input(size)[np.newaxis]).logits[0])
    whole = {**metadata, "known_answer": {"input": "ramp", "logit": logit}}
    (folder / METADATA).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / REFERENCE).write_text(json.dumps(reference) + "\n", encoding="utf-8")


def write_validation(folder: Path, *, pixels: Floats32, outputs: NetworkOutputs) -> None:
    """Keep the images and Keras's outputs, so that an export can be checked without the data set and Keras.

    Preprocessing yields whole grey levels, which 8 bits represent exactly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    greys = np.rint(pixels * GREY_LEVELS).astype(np.uint8)
    given: dict[str, Any] = {
        name: each for name, each in zip(OUTPUTS, outputs, strict=True) if each is not None
    }
    np.savez_compressed(folder / VALIDATION, greys=greys, **given)


def check_parity(served: Path, *, validation: Path) -> float:
    """Run the serving code on the kept images and compare with Keras's outputs.

    Return the largest difference of any output, relative as `TOLERANCE` is, or raises `ParityError` when it
    exceeds that.
    """
    with np.load(validation / VALIDATION) as kept:
        pixels = kept["greys"].astype(np.float32) / GREY_LEVELS
        expected = {name: kept[name] for name in kept.files if name != "greys"}
    outputs = Predictor.load(served).outputs(pixels)
    given = {name: each for name, each in zip(OUTPUTS, outputs, strict=True) if each is not None}
    if lacking := given.keys() ^ expected.keys():
        which = ", ".join(sorted(lacking))
        raise ParityError(f"only one of the exported and the trained network has the output {which}")
    largest = 0.0
    for name, got in given.items():
        wanted = expected[name]
        difference = float(np.max(np.abs(got - wanted) / _scale(wanted)))
        if not difference <= TOLERANCE:
            raise ParityError(
                f"the exported network's {name} differs from Keras's by up to {difference:.2g} on "
                f"{len(pixels)} validation images, more than {TOLERANCE:g}"
            )
        largest = max(largest, difference)
    return largest


def _scale(outputs: Floats) -> Floats:
    """Largest absolute value of each image's output, at least 1: (n, ...) -> (n, 1, ...)."""
    largest: Floats = np.abs(outputs).max(axis=tuple(range(1, outputs.ndim)), keepdims=True)
    return np.maximum(1, largest)


def _download(model: ModelVersion, folder: str, *, to: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=model.run_id, artifact_path=folder, dst_path=to))
