"""The files that serve, written once when a training ends, and the proof that they say what Keras said.

Importing this imports no TensorFlow: a promotion needs none.
"""

from __future__ import annotations

import json
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
"""Largest difference of a logit between Keras and the exported network; relative for logits beyond 1, since
float32 keeps digits, not decimals: logits were seen to reach 12.6 and to differ by 4e-5."""
GREYS = np.float32(255)


class ParityError(Exception):
    """The exported network does not say what Keras said."""


def write(folder: Path, *, network: keras.Model, metadata: Mapping[str, object], card: str) -> None:
    """Convert a network for LiteRT and write it with its metadata, known answer included, and its card."""
    folder.mkdir(parents=True, exist_ok=True)
    network.export(folder / NETWORK, format="litert", verbose=False)
    size = network.input_shape[1]
    logit = float(network(known_question(size)[np.newaxis], training=False)[0][0, 0])
    whole = {**metadata, "known_answer": {"input": "ramp", "logit": logit}}
    (folder / METADATA).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card, encoding="utf-8")


def write_validation(folder: Path, *, pixels: NDArray[np.float32], logits: NDArray[np.float64]) -> None:
    """Keep what Keras said of images, so that an export can be checked where neither they nor Keras are.

    Preprocessing ends on whole grey levels: 8 bits hold it exactly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / VALIDATION, greys=np.rint(pixels * GREYS).astype(np.uint8), logits=logits)


def check_parity(served: Path, *, validation: Path) -> float:
    """Have the serving code itself answer the kept images, and compare with Keras.

    Returns
    -------
    The largest difference of a logit, measured as `TOLERANCE` is.

    Raises
    ------
    ParityError
        When it exceeds `TOLERANCE`.
    ModelError
        When the files cannot be served at all.
    """
    with np.load(validation / VALIDATION) as kept:
        pixels, expected = kept["greys"].astype(np.float32) / GREYS, kept["logits"]
    differences = np.abs(Predictor.load(served).logits(pixels) - expected)
    largest = float(np.max(differences / np.maximum(1, np.abs(expected))))
    if not largest <= TOLERANCE:
        raise ParityError(
            f"the exported network's logits differ from Keras's by up to {largest:.2g} on {len(expected)} "
            f"validation images, more than {TOLERANCE:g}"
        )
    return largest
