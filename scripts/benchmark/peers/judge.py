"""What every peer does with the bytes of an image: as the project's server does it, with another engine.

Decoding, the simple refusals, preprocessing, calibration and the learnt refusal are the project's own. So
servers differ by what serves, engines by what computes, and all answers are equal.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from container import imaging, metadata
from container.refusal import reason_to_refuse, unlike_a_brain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Network = Callable[[NDArray[np.float32]], Sequence[float]]
    """From one preprocessed image, (1, size, size, 1), to the logits of a tumour and of a brain MRI."""

ENGINE, NETWORK = "BENCH_ENGINE", "BENCH_NETWORK"
"""Variables that say which engine a peer loads, and the folder of the network's forms."""


Answer = dict[str, str | float]
"""As short as a server's answer may be: `label` and `probability`."""


def load() -> Callable[[bytes], Answer]:
    """Load the network with the engine that `BENCH_ENGINE` names; what comes back judges an image file."""
    return load_engine(os.environ[ENGINE], Path(os.environ[NETWORK]))


def load_engine(engine: str, folder: Path) -> Callable[[bytes], Answer]:
    """Load a network's form with an engine: ``saved_model``, ``keras`` or ``litert``."""
    if engine == "litert":
        return _litert(folder / "serving")
    network = {"saved_model": saved_model, "keras": keras_predict}[engine](folder)
    about = metadata.load(folder / "serving" / "metadata.json")

    def judge(data: bytes) -> Answer:
        image = imaging.read(data)
        grey = imaging.grey(image)
        if reason := reason_to_refuse(image, grey):
            raise ValueError(reason)
        logit, brain = network(imaging.preprocess(grey, size=about.size)[None])
        score = probability(brain)
        if about.refusal_threshold is not None and score < about.refusal_threshold:
            raise unlike_a_brain(score=score, threshold=about.refusal_threshold)
        said = probability(logit, slope=about.slope, intercept=about.intercept)
        return {"label": about.labels[int(said >= about.threshold)], "probability": said}

    return judge


def saved_model(folder: Path) -> Network:
    """Load the SavedModel and return its serving function, TensorFlow's quickest way to ask it."""
    import tensorflow as tf  # noqa: PLC0415 - only where this engine is wanted

    loaded = tf.saved_model.load(str(folder / "saved_model"))

    def ask(image: NDArray[np.float32]) -> Sequence[float]:
        judgement, _evidence = loaded.serve(image)
        first: Sequence[float] = judgement.numpy()[0].tolist()
        return first

    return ask


def keras_predict(folder: Path) -> Network:
    """Load the Keras model and return its `predict`."""
    import keras  # noqa: PLC0415 - only where this engine is wanted

    from model.network import Asymmetry, Shift  # noqa: PLC0415 - with it comes TensorFlow

    custom = {"tumor-detector>Asymmetry": Asymmetry, "tumor-detector>Shift": Shift}
    network = keras.models.load_model(folder / "network.keras", custom_objects=custom)

    def ask(image: NDArray[np.float32]) -> Sequence[float]:
        judgement, _evidence = network.predict(image, verbose=0)
        first: Sequence[float] = judgement[0].tolist()
        return first

    return ask


def probability(logit: float, *, slope: float = 1.0, intercept: float = 0.0) -> float:
    """Turn a logit into a probability, by default without calibration."""
    return 0.5 * (1 + math.tanh(0.5 * (slope * logit + intercept)))


def _litert(folder: Path) -> Callable[[bytes], Answer]:
    """Load the project's own predictor, with LiteRT."""
    from container.predictor import Predictor  # noqa: PLC0415 - only where this engine is wanted

    predictor = Predictor.load(folder)

    def judge(data: bytes) -> Answer:
        said = predictor.predict(data)
        return {"label": said["label"], "probability": said["probability"]}

    return judge
