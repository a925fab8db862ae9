"""The files that serve, written once when a training ends, and the proof that they say what Keras said.

Importing this imports no TensorFlow: a promotion needs none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from container.network import known_question
from container.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from .backend import keras

NETWORK, METADATA, CARD = "model.tflite", "metadata.json", "model-card.md"
VALIDATION = "validation.npz"
TOLERANCE = 1e-4
"""Largest difference of an output between Keras and the exported network.

Relative where the largest number of an image is beyond 1: float32 keeps digits, not decimals, and evidence
near 0 is a difference of large numbers."""
GREYS = np.float32(255)


class ParityError(Exception):
    """The exported network does not say what Keras said."""


@dataclass(frozen=True)
class Said:
    """What a network says of n images: logits of a tumour and of a brain MRI, (n,), and evidence.

    The evidence has shape (n, rows, columns).
    """

    tumour: NDArray[np.float64]
    brain: NDArray[np.float64]
    evidence: NDArray[np.float64]


def ask(network: keras.Model, pixels: NDArray[np.float32]) -> Said:
    """Have Keras answer preprocessed images, (n, size, size, 1)."""
    judgement, evidence = network.predict(pixels, batch_size=32, verbose=0)
    both = np.asarray(judgement, dtype=np.float64)
    return Said(both[:, 0], both[:, 1], np.asarray(evidence[..., 0], dtype=np.float64))


def write(folder: Path, *, network: keras.Model, metadata: Mapping[str, object], card: str) -> None:
    """Convert a network for LiteRT and write it with its metadata, known answer included, and its card."""
    folder.mkdir(parents=True, exist_ok=True)
    network.export(folder / NETWORK, format="litert", verbose=False)
    size = network.input_shape[1]
    logit = float(ask(network, known_question(size)[np.newaxis]).tumour[0])
    whole = {**metadata, "known_answer": {"input": "ramp", "logit": logit}}
    (folder / METADATA).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")


def write_validation(folder: Path, *, pixels: NDArray[np.float32], said: Said) -> None:
    """Keep what Keras said of images, so that an export can be checked where neither they nor Keras are.

    Preprocessing ends on whole grey levels: 8 bits hold it exactly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    greys = np.rint(pixels * GREYS).astype(np.uint8)
    np.savez_compressed(folder / VALIDATION, greys=greys, **asdict(said))


def check_parity(served: Path, *, validation: Path) -> float:
    """Have the serving code itself answer the kept images, and compare with Keras.

    Returns
    -------
    The largest difference of any output, measured as `TOLERANCE` is.

    Raises
    ------
    ParityError
        When it exceeds `TOLERANCE`.
    ModelError
        When the files cannot be served at all.
    """
    with np.load(validation / VALIDATION) as kept:
        pixels = kept["greys"].astype(np.float32) / GREYS
        expected = {name: kept[name] for name in ("tumour", "brain", "evidence")}
    readings = Predictor.load(served).readings(pixels)
    given = {"tumour": readings.logits, "brain": readings.brain_logits, "evidence": readings.evidence}
    largest = 0.0
    for name, wanted in expected.items():
        had = given[name]
        if had is None:
            raise ParityError(f"the exported network gives no {name}, which the trained one does")
        difference = float(np.max(np.abs(had - wanted) / _scale(wanted)))
        if not difference <= TOLERANCE:
            raise ParityError(
                f"the exported network's {name} differs from Keras's by up to {difference:.2g} on "
                f"{len(pixels)} validation images, more than {TOLERANCE:g}"
            )
        largest = max(largest, difference)
    return largest


def _scale(said: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest number that was said of each image, at least 1: (n, ...) -> (n, 1, ...)."""
    largest: NDArray[np.float64] = np.abs(said).max(axis=tuple(range(1, said.ndim)), keepdims=True)
    return np.maximum(1, largest)
