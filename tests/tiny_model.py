"""Makes a real, tiny model directory in a second, for every test that serves something.

The network has one parameter that matters: `says`, the logit it gives to a black image. Brightness adds up to
0.5 to it, so that two models are told apart by their answers and a heatmap still shows the image.

    make_model_dir(tmp_path / "model", says=4.0)     # probability 0.98 and more: YES
    make_model_dir(tmp_path / "other", says=-4.0)    # probability 0.03 and less: NO

The first call imports Keras (some seconds); a session fixture is the place for it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BRIGHTNESS_GAIN = 0.5
CELL = 4  # pixels of the input's side per cell of the evidence map


def make_model_dir(
    path: Path, *, says: float, size: int = 32, heatmap: bool = True, threshold: float = 0.5
) -> Path:
    """Write `model.tflite`, `metadata.json` and `model-card.md` into `path` and return it.

    Parameters
    ----------
    path
        Made if it is missing.
    says
        The logit for a black image; for any other it is ``says + 0.5 * mean brightness``.
    size
        The input's side in pixels, a multiple of 4.
    heatmap
        Whether the network gives its evidence map (size / 4 cells a side) beside the logit.
    threshold
        The probability from which on the answer is YES.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)  # for the serving image's user too: a test's temporary folders are private
    _export(path / "model.tflite", says=says, size=size, heatmap=heatmap)
    metadata = {
        "schema": 1,
        "name": "tumor-detector",
        "architecture": "tiny",
        "labels": ["NO", "YES"],
        "input": {"size": size},
        "calibration": {"method": "platt", "slope": 1.0, "intercept": 0.0},
        "threshold": threshold,
        "heatmap": {"width": size // CELL, "height": size // CELL} if heatmap else None,
        "dataset": {"name": "phantom", "kind": "phantom", "fingerprint": "0" * 64, "images": 0, "groups": 0},
        "metrics": {},
        "mlflow": {"experiment": "tumor-detector-phantom", "run_id": "0" * 32},
        "known_answer": {"input": "ramp", "logit": says + BRIGHTNESS_GAIN * 0.5},  # the ramp's mean is 0.5
    }
    (path / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")
    (path / "model-card.md").write_text(f"# A tiny model for tests\n\nIt says {says} to a black image.\n")
    return path


def _export(path: Path, *, says: float, size: int, heatmap: bool) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read while TensorFlow is imported
    import keras  # noqa: PLC0415 - only who makes a model waits for TensorFlow

    constant = keras.initializers.Constant
    scan = keras.Input((size, size, 1))
    cells = keras.layers.AveragePooling2D(CELL)(scan)
    evidence = keras.layers.Conv2D(
        1, 1, kernel_initializer=constant(BRIGHTNESS_GAIN), bias_initializer=constant(says)
    )(cells)
    logit = keras.layers.GlobalAveragePooling2D()(evidence)
    network = keras.Model(scan, [logit, evidence] if heatmap else logit)
    network.export(path, format="litert", verbose=False)
