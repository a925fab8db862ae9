"""Networks: a trunk that turns a scan into feature maps, and linear heads that read them.

A head weighs the features at each place into one number, the evidence there, and its logit is the evidence's
mean over the picture. So a heatmap is no afterthought: it is what the network decided by (class activation
mapping, Zhou et al. 2016), exactly and with no gradient.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import imagenet
from .backend import keras, tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

layers = keras.layers

SHARPNESS = 4  # power of two means whose ratio shares a feature out between the two axes
BATCH = 32  # images at a time where nothing is learnt


@dataclass(frozen=True)
class Head:
    """A linear reading of a trunk's features.

    Attributes
    ----------
    weights
        One for each feature, in the order of the trunk's maps, shape (features,).
    bias
        The logit where every feature is 0.
    """

    weights: NDArray[np.float64]
    bias: float

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits of features as a `Reader` gives them, shape (n, features) -> (n,)."""
        return np.asarray(features @ self.weights + self.bias, dtype=np.float64)


def build_trunk(architecture: str, *, size: int) -> keras.Model:
    """Make a trunk: (size, size, 1) in [0, 1] to feature maps, the finest first.

    Raises
    ------
    WeightsError
        When the architecture starts from ImageNet and its weights cannot be had.
    """
    drawn: dict[str, Callable[[int], keras.Model]] = {"plain_cnn": plain_cnn, "residual_cnn": residual_cnn}
    if architecture in drawn:
        return drawn[architecture](size)
    return imagenet.trunk(architecture, size=size)


def plain_cnn(size: int) -> keras.Model:
    """Convolutions and poolings, one after the other: the original project's kind of network."""
    scan, x = _standardised(size)
    x = layers.ReLU()(_convolution(x, 16, 5, strides=2))
    for filters in (32, 64, 128):
        x = layers.ReLU()(_convolution(x, filters, 3))
        x = layers.MaxPooling2D(2)(x)
    return keras.Model(scan, [x], name="plain_cnn")


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
    return keras.Model(scan, [x], name="residual_cnn")


def look_twice(trunk: keras.Model) -> keras.Model:
    """Make a trunk whose maps are the mean over the scan as it is and mirrored at its diagonal.

    A head reads features linearly, so its logit is the mean of both looks' logits: an ensemble in one
    network.
    """
    scan = keras.Input(trunk.input.shape[1:], name="scan")
    mirrored = layers.Permute((2, 1, 3))
    # As one batch: a runtime that prepares a layer's weights for each of its uses then has them once.
    looks = maps_of(trunk, layers.Concatenate(axis=0)([scan, mirrored(scan)]))
    pairs = (keras.ops.split(maps, 2, axis=0) for maps in looks)
    return keras.Model(scan, [layers.Average()([plain, mirrored(other)]) for plain, other in pairs])


def with_asymmetry(trunk: keras.Model) -> keras.Model:
    """Make a trunk that also gives, behind each map, how far it differs from its own mirror image.

    A healthy brain is nearly symmetric, a tumour seldom lies on the midline. Which axis the midline follows
    is not asked: each feature takes the one about which it is more symmetric.
    """
    scan = keras.Input(trunk.input.shape[1:], name="scan")
    maps = []
    for each in maps_of(trunk, scan):
        maps += [each, Asymmetry()(each)]
    return keras.Model(scan, maps)


@keras.saving.register_keras_serializable(package="tumor-detector")
class Shift(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Adds to every map a constant one."""

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the constant map, 0 everywhere."""
        self.by = self.add_weight(shape=shape[1:], initializer="zeros", trainable=False)

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """Return maps of the same shape."""
        return maps + self.by


@keras.saving.register_keras_serializable(package="tumor-detector")
class Asymmetry(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Absolute difference of a map and its mirror image, for each feature about the axis where it is smaller.

    Near a tie both axes count: a hard choice would make the map, though not its mean, jump by rounding alone.
    """

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """Return maps of the same shape."""
        across, down = (keras.ops.absolute(maps - keras.ops.flip(maps, axis=axis)) for axis in (2, 1))
        of_across, of_down = (
            keras.ops.mean(each, axis=(1, 2), keepdims=True) ** SHARPNESS for each in (across, down)
        )
        share = of_down / (of_across + of_down + keras.config.epsilon())
        return share * across + (1 - share) * down


def maps_of(trunk: keras.Model, scans: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Apply a trunk; a list of maps also where there is one."""
    maps = trunk(scans)
    return maps if isinstance(maps, list) else [maps]


def pooled(maps: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    """Mean of every feature over the picture, all maps in a row: (batch, features)."""
    means = [layers.GlobalAveragePooling2D()(features) for features in maps]
    return means[0] if len(means) == 1 else layers.Concatenate()(means)


class Reader:
    """Gives what heads read of scans by a trunk, with the weights that it has at the time.

    Tracing a model takes longer than to ask it: each trunk is traced once. TensorFlow runs a depthwise
    convolution on one core, and a network of them is a queue: so each core has a batch of its own.
    """

    def __init__(self, trunk: keras.Model) -> None:
        model = keras.Model(trunk.input, pooled(trunk.outputs))
        signature = tensorflow.TensorSpec((None, *trunk.input.shape[1:]), tensorflow.float32)
        self._pooled = tensorflow.function(
            lambda scans: model(scans, training=False), input_signature=[signature]
        )

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of preprocessed scans: (n, size, size, 1) -> (n, features)."""
        batches = (pixels[first : first + BATCH] for first in range(0, len(pixels), BATCH))
        with ThreadPoolExecutor(os.cpu_count()) as cores:
            return np.concatenate(list(cores.map(lambda batch: self._pooled(batch).numpy(), batches)))


def assemble(
    trunk: keras.Model, *, tumour: Head, brain: Head | None, usual: NDArray[np.float32] | None = None
) -> keras.Model:
    """Make the network that serves.

    Parameters
    ----------
    usual
        The evidence of images without a tumour, at each place its mean, (rows, columns). The map then shows
        what is above the usual at its place, skull and corners left out; its mean over the picture stays the
        logit.

    Returns
    -------
    A model of one scan (size, size, 1) with the outputs `judgement`, the logits of a tumour and, with
    `brain`, of the scan being a brain MRI at all, (1 or 2,), and `evidence` for a tumour, (rows, columns, 1),
    whose mean is the tumour's logit.
    """
    scan = keras.Input(trunk.input.shape[1:], name="scan")
    maps = maps_of(trunk, scan)
    heads = [tumour] if brain is None else [tumour, brain]
    judge = layers.Dense(len(heads), name="judgement")
    judgement = judge(pooled(maps))
    judge.set_weights([np.stack([head.weights for head in heads], axis=1), np.array([h.bias for h in heads])])
    evidence = _evidence(maps, tumour)
    if usual is not None:
        shift = Shift(name="above_usual")
        evidence = shift(evidence)
        shift.set_weights([(usual.mean() - usual)[..., np.newaxis]])
    return keras.Model(scan, [judgement, evidence])


def _evidence(maps: Sequence[keras.KerasTensor], head: Head) -> keras.KerasTensor:
    """Weigh each map's features place by place, and lay the coarse maps over the finest."""
    parts, first = [], 0
    for place, each in enumerate(maps):
        width, last = each.shape[-1], place == len(maps) - 1
        weigh = layers.Conv2D(1, 1, name="evidence" if last else f"evidence_{place}")
        part = weigh(each)
        bias = head.bias if last else 0.0
        weigh.set_weights([head.weights[first : first + width].reshape(1, 1, width, 1), np.array([bias])])
        factor = maps[0].shape[1] // each.shape[1]
        parts.append(layers.UpSampling2D(factor)(part) if factor > 1 else part)
        first += width
    return parts[0] if len(parts) == 1 else layers.Add()(parts)


def _standardised(size: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Centre and scale each image by its own mean and deviation: brightness and window say nothing."""
    scan = keras.Input((size, size, 1), name="scan")
    return scan, layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-5, center=False, scale=False)(scan)


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, *, strides: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=imagenet.MOMENTUM)(x)
