"""Hyperparameters. Importing this module imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

ARCHITECTURES = ("efficientnet_lite0", "plain_cnn", "linear_probe")
"""Architectures by the names that `architectures.build_tail` takes: the later blocks of EfficientNet-Lite0,
fine-tuned from ImageNet; a plain network from scratch; the evidence map alone, on frozen maps."""


class TrainingError(Exception):
    """The training failed; the message says why and what to change."""


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a training; equal recipes and data give equal networks.

    The number of steps is fixed beforehand: early stopping would choose a fold's network by its own test
    images.
    """

    architecture: str  # one of `ARCHITECTURES`
    steps: int  # batches of each fit
    views: int  # augmented versions of each image, in addition to the original
    per_kind: int  # drawn images of each kind of negatives, for the refusal
    folds: int = 5
    size: int = 160  # input side in pixels
    seed: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    averaging: float = 0.99  # momentum of the weights' moving average, which is the result
    smoothing: float = 0.02  # of the labels
    outline_weight: float = 3.0  # of the loss over the map's cells, relative to that of the pooled logit


THOROUGH = Recipe(architecture="efficientnet_lite0", steps=600, views=8, per_kind=100)
QUICK = Recipe(architecture="linear_probe", steps=140, views=3, per_kind=20, size=128, learning_rate=3e-3)
"""A minute on two cores with one source, with the same measurements."""
