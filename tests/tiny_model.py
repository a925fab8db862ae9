"""Makes a real, tiny model directory in a second, for every test that serves something.

The network has one parameter that matters: `says`, the logit it gives to a black image. Brightness adds up to
0.5 to it, so that two models are told apart by their answers and a heatmap still shows the image.

    make_model_dir(tmp_path / "model", says=4.0)     # probability 0.98 and more: YES
    make_model_dir(tmp_path / "other", says=-4.0)    # probability 0.03 and less: NO

With `brain` the network also says how much an image looks like a brain MRI: `brain` is the logit of that for
a black image, and brightness takes up to 8 from it, so that one model refuses the bright and judges the dark.

    make_model_dir(tmp_path / "picky", says=4.0, brain=4.0)    # refuses with 422 what is brighter than half

The first call imports Keras (some seconds); a session fixture is the place for it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BRIGHTNESS_GAIN = 0.5
BRAIN_GAIN = -8.0
CELL = 4  # pixels of the input's side per cell of the evidence map


def make_model_dir(
    path: Path,
    *,
    says: float,
    size: int = 32,
    heatmap: bool = True,
    threshold: float = 0.5,
    brain: float | None = None,
    refusal_threshold: float = 0.5,
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
    brain
        The brain logit for a black image; for any other it is ``brain - 8 * mean brightness``. None: the
        network gives no brain logit, and only the rules refuse.
    refusal_threshold
        The brain score (the brain logit's sigmoid) from which on an image is judged.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)  # for the serving image's user too: a test's temporary folders are private
    _export(path / "model.tflite", says=says, size=size, heatmap=heatmap, brain=brain)
    metadata = {
        "schema": 2,
        "name": "tumor-detector",
        "architecture": "tiny",
        "labels": ["NO", "YES"],
        "input": {"size": size},
        "calibration": {"method": "platt", "slope": 1.0, "intercept": 0.0},
        "threshold": threshold,
        "heatmap": {"width": size // CELL, "height": size // CELL} if heatmap else None,
        "refusal": None if brain is None else {"threshold": refusal_threshold},
        "dataset": {"name": "phantom", "kind": "phantom", "fingerprint": "0" * 64, "images": 0, "groups": 0},
        "metrics": {},
        "mlflow": {"experiment": "tumor-detector-phantom", "run_id": "0" * 32},
        "known_answer": {"input": "ramp", "logit": says + BRIGHTNESS_GAIN * 0.5},  # the ramp's mean is 0.5
    }
    (path / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")
    (path / "model-card.md").write_text(f"# A tiny model for tests\n\nIt says {says} to a black image.\n")
    return path


def _export(path: Path, *, says: float, size: int, heatmap: bool, brain: float | None) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read while TensorFlow is imported
    import keras  # noqa: PLC0415 - only who makes a model waits for TensorFlow

    constant = keras.initializers.Constant

    def linear(gain: float, bias: float) -> keras.layers.Layer:
        return keras.layers.Conv2D(1, 1, kernel_initializer=constant(gain), bias_initializer=constant(bias))

    mean = keras.layers.GlobalAveragePooling2D()
    scan = keras.Input((size, size, 1))
    cells = keras.layers.AveragePooling2D(CELL)(scan)
    evidence = linear(BRIGHTNESS_GAIN, says)(cells)
    judgement = mean(evidence)
    if brain is not None:
        brain_logit = mean(linear(BRAIN_GAIN, brain)(cells))
        judgement = keras.layers.Concatenate()([judgement, brain_logit])
    network = keras.Model(scan, [judgement, evidence] if heatmap else judgement)
    network.export(path, format="litert", verbose=False)
