"""Networks: a frozen encoder, a tail that is trained on what it computes, and one evidence map.

The tail maps a scan, or the encoder's maps of it, to one number at each position, the evidence. The logit is
the pooled evidence, so that the heatmap is exactly what the network decides by, without a gradient.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from model.networks import imagenet
from model.networks.backend import keras, tensorflow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.arrays import Floats, Floats32, Greys
    from model.networks.familiarity import Familiarity

layers, ops = keras.layers, keras.ops

Level = Literal["scan", "fine", "coarse"]
TAILS: dict[str, Level] = {"efficientnet_lite0": "fine", "linear_probe": "coarse", "plain_cnn": "scan"}
"""What each architecture's tail takes: the encoder's input, or one of its outputs."""
DROPOUT = 0.2  # share of the last maps' channels
CENTRE = 0.9
"""Share of the mean evidence that is subtracted: a source that shifts all evidence shifts the logit less."""
BATCH = 32  # images at a time in inference
GREY_LEVELS = 255


@dataclass(frozen=True)
class Head:
    """A linear head on the encoder's pooled features."""

    weights: Floats
    bias: float

    def logits(self, features: Floats32) -> Floats:
        """Logits of `Encoder.features`, (n, features) -> (n,)."""
        return np.asarray(features @ self.weights + self.bias, dtype=np.float64)


@keras.saving.register_keras_serializable(package="tumor-detector")
class PooledEvidence(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Log-mean-exp of the evidence, a soft maximum, above a share of its mean.

    Evidence (batch, rows, columns, 1) -> logits (batch, 1).
    """

    def call(self, evidence: keras.KerasTensor) -> keras.KerasTensor:
        """Return the logit of each image."""
        flat = layers.Flatten()(evidence)
        soft_maximum = ops.logsumexp(flat, axis=1, keepdims=True) - np.log(flat.shape[1])
        return soft_maximum - CENTRE * ops.mean(flat, axis=1, keepdims=True)


class Encoder:
    """The frozen encoder, which computes each image's maps and features once for all fits.

    TensorFlow runs depthwise convolutions on one core, so each core gets a batch of its own.
    """

    def __init__(self, size: int) -> None:
        self.model = imagenet.encoder(size)
        self.model.trainable = False
        outputs = self.model.output | {"features": pooled(self.model)}
        signature = [tensorflow.TensorSpec((None, size, size, 1), tensorflow.float32)]
        self._compute = {
            name: tensorflow.function(keras.Model(self.model.input, output), input_signature=signature)
            for name, output in outputs.items()
        }

    def maps(self, greys: Greys, level: Level) -> NDArray[np.float16]:
        """What a tail takes of preprocessed scans, (n, size, size, 1), in half precision: (n, ...)."""
        if level == "scan":
            return (greys / np.float16(GREY_LEVELS)).astype(np.float16)
        return self._run(greys, level).astype(np.float16)

    def features(self, greys: Greys) -> Floats32:
        """Means of all outputs' maps, (n, size, size, 1) -> (n, features)."""
        return self._run(greys, "features")

    def _run(self, greys: Greys, output: str) -> Floats32:
        def batch(first: int) -> Floats32:
            scans = greys[first : first + BATCH].astype(np.float32) / GREY_LEVELS
            return np.asarray(self._compute[output](scans).numpy())

        with ThreadPoolExecutor(os.cpu_count()) as cores:
            return np.concatenate(list(cores.map(batch, range(0, len(greys), BATCH))))


def pooled(encoder: keras.Model) -> keras.KerasTensor:
    """Spatial means of the encoder's maps: (batch, features)."""
    means = [layers.GlobalAveragePooling2D()(maps) for _, maps in sorted(encoder.output.items())]
    return layers.Concatenate(name="features")(means)


def build_tail(architecture: str, encoder: keras.Model) -> keras.Model:
    """Build the tail of one of `TAILS`, with its first weights: to evidence, (rows, columns, 1)."""
    maps = _taken(architecture, encoder)
    if architecture == "plain_cnn":
        tail = keras.Model(maps, plain_cnn(maps))
    elif architecture == "efficientnet_lite0":
        pretrained = keras.Model(maps, encoder.output["coarse"])
        tail = keras.models.clone_model(pretrained)
        tail.set_weights(pretrained.get_weights())
        for layer in tail.layers:  # batches of few sources would set other statistics than the next source's
            layer.trainable = not isinstance(layer, layers.BatchNormalization)
    else:
        tail = keras.Model(maps, layers.Identity()(maps))
    dropped = layers.SpatialDropout2D(DROPOUT)(tail.outputs[0])
    evidence = layers.Conv2D(1, 1, kernel_initializer="zeros", name="evidence")(dropped)
    return keras.Model(tail.inputs[0], evidence, name=architecture)


def plain_cnn(scan: keras.KerasTensor) -> keras.KerasTensor:
    """Apply convolutions and poolings to a scan, as in the original project, down to a stride of 16."""
    # Each image is standardised by its mean and deviation, which removes brightness and window.
    x = layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-5, center=False, scale=False)(scan)
    for filters, kernel, strides in ((16, 5, 2), (32, 3, 1), (64, 3, 1), (128, 3, 1)):
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.MaxPooling2D(2)(x) if strides == 1 else x
    return x


def assemble(
    encoder: keras.Model, tail: keras.Model, *, brain: Head, familiarity: Familiarity
) -> keras.Model:
    """Build the network that serves.

    Its input is one scan (size, size, 1), its outputs are `logits`, of a tumour, of a brain MRI and of the
    familiarity, (3,), and `evidence` for a tumour, (rows, columns, 1), whose pooled value is the first logit.
    """
    evidence = tail(_taken(tail.name, encoder))
    features = pooled(encoder)
    of_brain = layers.Dense(1, name="brain")
    logits = [PooledEvidence(name="tumour")(evidence), of_brain(features), familiarity.layer()(features)]
    of_brain.set_weights([brain.weights[:, np.newaxis], np.array([brain.bias])])
    return keras.Model(encoder.input, [layers.Concatenate(name="logits")(logits), evidence])


def _taken(architecture: str, encoder: keras.Model) -> keras.KerasTensor:
    level = TAILS[architecture]
    return encoder.input if level == "scan" else encoder.output[level]
