"""Makes a real, tiny model directory in a second, for every test that serves something.

The network has one parameter that matters: `logit`, its output for a black image. Brightness adds up to 0.5
to it, so that the predictions of two models differ and a heatmap still shows the image.

    make_model_dir(tmp_path / "model", logit=4.0)     # probability 0.98 and more: YES
    make_model_dir(tmp_path / "other", logit=-4.0)    # probability 0.03 and less: NO

`brain_logit` is the brain logit for a black image, from which brightness takes up to 8. By default no
image is refused; a lower one refuses bright images and classifies dark ones.

    make_model_dir(tmp_path / "model", logit=4.0, brain_logit=4.0)    # 422 for images brighter than half

The first call imports Keras (some seconds): call it in a session fixture.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BRIGHTNESS_GAIN = 0.5
BRAIN_GAIN = -8.0
SIZE = 32  # the input's side in pixels
CELL = 4  # pixels of the input's side per cell of the evidence map


def make_model_dir(
    path: Path,
    *,
    logit: float,
    brain_logit: float = 20.0,
    familiarity: float | None = 20.0,
) -> Path:
    """Write `model.tflite`, `metadata.json` and `model-card.md` into `path` and return it.

    Parameters
    ----------
    path
        Made if it is missing.
    logit
        The logit for a black image; for any other it is ``logit + 0.5 * mean brightness``.
    brain_logit
        The brain logit for a black image; for any other it is ``brain_logit - 8 * mean brightness``.
    familiarity
        The third logit for a black image, from which brightness takes up to 8, too; below 0 an answer is of
        low reliability. None: a model of schema 2, without such a logit.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)  # for the serving image's user too: a test's temporary folders are private
    _export(path / "model.tflite", logit=logit, others=(brain_logit, familiarity))
    low, high, cells = logit - BRIGHTNESS_GAIN, logit + BRIGHTNESS_GAIN, SIZE // CELL
    metadata = {
        "schema": 2 if familiarity is None else 3,
        "name": "tumor-detector",
        "architecture": "tiny",
        "labels": ["NO", "YES"],
        "input": {"size": SIZE},
        "calibration": {"method": "platt", "slope": 1.0, "intercept": 0.0},
        "threshold": 0.5,
        "heatmap": {"width": cells, "height": cells, "low": low, "high": high},
        "refusal": {"threshold": 0.5},
        "reliability": {"threshold": 0.0},
        "dataset": {"name": "phantom", "kind": "phantom", "fingerprint": "0" * 64, "images": 0, "groups": 0},
        "metrics": {},
        "mlflow": {"experiment": "tumor-detector-phantom", "run_id": "0" * 32},
        "known_answer": {"input": "ramp", "logit": logit + BRIGHTNESS_GAIN * 0.5},  # the ramp's mean is 0.5
    }
    (path / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")
    (path / "model-card.md").write_text(
        f"# A tiny model for tests\n\nIts logit for a black image is {logit}.\n"
    )
    return path


def _export(path: Path, *, logit: float, others: tuple[float | None, ...]) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read while TensorFlow is imported
    import keras  # noqa: PLC0415 - only tests that make a model wait for TensorFlow

    constant = keras.initializers.Constant

    def linear(gain: float, bias: float) -> keras.layers.Layer:
        return keras.layers.Conv2D(1, 1, kernel_initializer=constant(gain), bias_initializer=constant(bias))

    mean = keras.layers.GlobalAveragePooling2D()
    scan = keras.Input((SIZE, SIZE, 1))
    cells = keras.layers.AveragePooling2D(CELL)(scan)
    evidence = linear(BRIGHTNESS_GAIN, logit)(cells)
    logits = mean(evidence)
    for other in others:
        if other is not None:
            logits = keras.layers.Concatenate()([logits, mean(linear(BRAIN_GAIN, other)(cells))])
    network = keras.Model(scan, [logits, evidence])
    network.export(path, format="litert", verbose=False)
