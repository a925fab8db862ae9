"""The networks. Each takes (size, size, 1) in [0, 1] and gives a logit and the evidence whose mean it is.

A 1x1 convolution turns the last features into one number per place, the evidence for a tumour there, and the
logit is its mean. So the heatmap is no afterthought: it is what the network decided by (class activation
mapping, Zhou et al. 2016, in the form of a fully convolutional head).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backend import keras

if TYPE_CHECKING:
    from collections.abc import Callable

layers = keras.layers

BATCH_NORM_MOMENTUM = 0.9
"""Keras's 0.99 would need more steps than a small data set has to follow the weights."""


def build(architecture: str, *, size: int) -> keras.Model:
    """Make one of `recipe.ARCHITECTURES`, with random weights."""
    makers: dict[str, Callable[[int], keras.Model]] = {"plain_cnn": plain_cnn, "residual_cnn": residual_cnn}
    return makers[architecture](size)


def plain_cnn(size: int) -> keras.Model:
    """Convolutions and poolings, one after the other: the original project's kind of network."""
    scan, x = _standardised(size)
    x = layers.ReLU()(_convolution(x, 16, 5, strides=2))
    for filters in (32, 64, 128):
        x = layers.ReLU()(_convolution(x, filters, 3))
        x = layers.MaxPooling2D(2)(x)
    return _with_head(scan, x)


def residual_cnn(size: int) -> keras.Model:
    """Two convolutions a stage, added to what came in (He et al. 2016); deeper, and yet no slower."""
    scan, x = _standardised(size)
    x = layers.ReLU()(_convolution(x, 16, 5, strides=2))
    for filters in (32, 64, 96):
        x = layers.MaxPooling2D(2)(x)
        shortcut = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = layers.ReLU()(_convolution(x, filters, 3))
        x = _convolution(x, filters, 3)
        x = layers.ReLU()(layers.Add()([x, shortcut]))
    return _with_head(scan, x)


def _standardised(size: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Centre and scale each image by its own mean and deviation: brightness and window say nothing."""
    scan = keras.Input((size, size, 1), name="scan")
    return scan, layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-5, center=False, scale=False)(scan)


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, *, strides: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)


def _with_head(scan: keras.KerasTensor, features: keras.KerasTensor) -> keras.Model:
    features = layers.Dropout(0.3)(features)
    evidence = layers.Conv2D(1, 1, name="evidence")(features)
    logit = layers.GlobalAveragePooling2D(name="logit")(evidence)
    return keras.Model(scan, [logit, evidence])
