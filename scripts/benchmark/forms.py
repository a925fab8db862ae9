"""The forms of the network that servers and engines load, and what Keras says of each image.

Run by `training`, in a process of its own: it needs TensorFlow.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import mlflow
import numpy as np

from container import imaging
from model import phantom, serving
from model.backend import keras, tensorflow
from model.network import Asymmetry, Shift
from scripts.benchmark import images
from scripts.benchmark.network import EXPECTED, FOLDER, KERAS, LITERT, MLFLOW_KERAS, SAVED_MODEL, SERVING
from scripts.benchmark.peers.judge import probability

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CALIBRATING, JUDGED = range(200, 264), range(300, 364)
"""Seeds of the phantoms that int8 is calibrated on, and of those that every engine is compared on."""


def write(*, run_id: str, model_uri: str) -> None:
    """Write every form of a training's network, and last of all what Keras says: whoever has that has all."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="serving", dst_path=str(FOLDER))
    mlflow.artifacts.download_artifacts(model_uri, dst_path=str(MLFLOW_KERAS))
    shutil.copyfile(MLFLOW_KERAS / "data" / "model.keras", KERAS)
    custom = {"tumor-detector>Asymmetry": Asymmetry, "tumor-detector>Shift": Shift}
    network = keras.models.load_model(KERAS, custom_objects=custom)
    network.export(SAVED_MODEL, verbose=False)
    size = network.input_shape[1]
    _convert(_phantoms(CALIBRATING, size=size))
    judged = _phantoms(JUDGED, size=size)
    np.savez_compressed(FOLDER / "judged.npz", images=judged)
    _expect(network, size=size)


def _expect(network: keras.Model, *, size: int) -> None:
    """Ask Keras about each image of the benchmark, decoded and preprocessed as everywhere."""
    metadata = json.loads((SERVING / serving.METADATA).read_text())["calibration"]
    said = {}
    for name, image in images.all_images().items():
        pixels = imaging.preprocess(imaging.decode(image.data), size=size)
        logit = float(serving.ask(network, pixels[np.newaxis]).tumour[0])
        said[name] = probability(logit, slope=metadata["slope"], intercept=metadata["intercept"])
    EXPECTED.write_text(json.dumps(said, indent=1) + "\n")


def _phantoms(seeds: range, *, size: int) -> NDArray[np.float32]:
    """Draw heads, every other with a lesion, and preprocess them: (n, size, size, 1)."""
    drawn = [phantom.draw(seed=seed, lesion=seed % 2 == 0) for seed in seeds]
    return np.stack([imaging.preprocess(picture, size=size) for picture in drawn])


def _convert(calibrating: NDArray[np.float32]) -> None:
    """Convert the network to LiteRT's smaller forms; whole float32 is what training itself wrote."""
    lite = tensorflow.lite
    LITERT.mkdir()
    _write(LITERT / "float32.tflite", (SERVING / serving.NETWORK).read_bytes())

    halved = lite.TFLiteConverter.from_saved_model(str(SAVED_MODEL))
    halved.optimizations = [lite.Optimize.DEFAULT]
    halved.target_spec.supported_types = [tensorflow.float16]
    _write(LITERT / "float16.tflite", halved.convert())

    dynamic = lite.TFLiteConverter.from_saved_model(str(SAVED_MODEL))
    dynamic.optimizations = [lite.Optimize.DEFAULT]
    _write(LITERT / "int8-dynamic.tflite", dynamic.convert())

    whole = lite.TFLiteConverter.from_saved_model(str(SAVED_MODEL))
    whole.optimizations = [lite.Optimize.DEFAULT]
    whole.representative_dataset = lambda: ([image[np.newaxis]] for image in calibrating)
    _write(LITERT / "int8-whole.tflite", whole.convert())


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
