"""What decides a training besides the data. Importing this imports no TensorFlow."""

from __future__ import annotations

import math
from dataclasses import dataclass

ARCHITECTURES = ("plain_cnn", "residual_cnn")
"""The functions of `network` that a training compares."""
WARM_UP = 0.1  # share of the epochs in which the learning rate rises


class TrainingError(Exception):
    """The training cannot go on; the text says why and what to change."""


@dataclass(frozen=True)
class Recipe:
    """The same recipe and data give the same network.

    The number of epochs is fixed beforehand: stopping where the validation loss is lowest would let each
    fold's figure choose its own network.
    """

    size: int
    epochs: int
    folds: int
    seed: int = 0
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, from 0 on: a short rise, then half a cosine down to nearly nothing."""
        rise = max(1, round(WARM_UP * self.epochs))
        if epoch < rise:
            return self.learning_rate * (epoch + 1) / rise
        return self.learning_rate * (1 + math.cos(math.pi * (epoch - rise) / (self.epochs - rise + 1))) / 2


THOROUGH = Recipe(size=96, epochs=80, folds=5)
QUICK = Recipe(size=64, epochs=20, folds=3)
"""Smaller, shorter, and measured in the same way."""
