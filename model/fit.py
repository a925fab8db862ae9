"""Fit one architecture again and again: a fold, the next fold, and in the end the network that serves."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

# Read while TensorFlow is imported: its notices on CPUs and GPUs are no news to who waits for a training.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from .augment import Augment
from .network import ARCHITECTURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARM_UP = 0.1  # share of the epochs in which the learning rate rises
DIVERGED = (
    "the loss became {loss} in epoch {epoch}: the training diverged. Lower the learning rate ({rate:g})."
)


class TrainingError(Exception):
    """The training cannot go on; the text says why and what to change."""


@dataclass(frozen=True)
class Recipe:
    """All that decides a training besides the data: the same recipe and data give the same network.

    The number of epochs is fixed beforehand: stopping where the validation loss is lowest would let each
    fold's figure choose its own network.
    """

    size: int
    epochs: int
    folds: int
    seed: int
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch: a short linear rise, then half a cosine down to nearly nothing."""
        rise = max(1, round(WARM_UP * self.epochs))
        if epoch < rise:
            return self.learning_rate * (epoch + 1) / rise
        return self.learning_rate * (1 + math.cos(math.pi * (epoch - rise) / (self.epochs - rise + 1))) / 2


@dataclass(frozen=True)
class Examples:
    """Images with their labels (0 or 1) and weights; all of length n."""

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]

    def __getitem__(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Examples:
        return Examples(self.pixels[chosen], self.labels[chosen], self.weights[chosen])


class Fitter:
    """One compiled network that starts every fit from the same first weights.

    Tracing and compiling cost seconds, more than a short fold: it is done once for all fits.
    """

    def __init__(self, architecture: str, recipe: Recipe) -> None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(recipe.seed)
        tf.config.experimental.enable_op_determinism()
        self.recipe = recipe
        self.network: keras.Model = ARCHITECTURES[architecture](recipe.size)
        scan = keras.Input((recipe.size, recipe.size, 1))
        self._trained = keras.Model(scan, self.network(Augment(seed=recipe.seed)(scan))[0])
        optimizer = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
        self._trained.compile(
            optimizer, loss, jit_compile=False
        )  # XLA takes longer to compile than a fold to fit
        optimizer.build(self._trained.trainable_variables)
        self._state = [*self._trained.variables, *optimizer.variables]
        self._first = [variable.numpy() for variable in self._state]

    def fit(self, examples: Examples, *, validation: Examples | None, report: Report) -> None:
        """Train from the first weights; `validation` is only watched, nothing is chosen by it.

        Parameters
        ----------
        report
            Called after each epoch with its number, from 1, and its losses.

        Raises
        ------
        TrainingError
            When the loss is no longer a number.
        """
        for variable, first in zip(self._state, self._first, strict=True):
            variable.assign(first)
        keras.utils.set_random_seed(self.recipe.seed)
        watched = None
        if validation:
            watched = (validation.pixels, validation.labels[:, None], _balanced(validation))
        self._trained.fit(
            examples.pixels,
            examples.labels[:, None],
            sample_weight=_balanced(examples),
            validation_data=watched,
            validation_freq=max(1, self.recipe.epochs // 20),
            batch_size=self.recipe.batch_size,
            epochs=self.recipe.epochs,
            verbose=0,
            callbacks=[keras.callbacks.LearningRateScheduler(self.recipe.rate), _reporter(report)],
        )

    def logits(self, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits of the network as it is now, shape (n,)."""
        return np.asarray(self._trained.predict(pixels, batch_size=64, verbose=0)[:, 0], dtype=np.float64)


Report = Callable[[int, dict[str, float]], None]


def _reporter(report: Report) -> keras.callbacks.Callback:
    def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
        losses = {name: float(value) for name, value in logs.items()}
        rate = losses.pop("learning_rate")
        if not math.isfinite(losses["loss"]):
            raise TrainingError(DIVERGED.format(loss=losses["loss"], epoch=epoch + 1, rate=rate))
        report(epoch + 1, losses)

    return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)


def _balanced(examples: Examples) -> NDArray[np.float32]:
    """Scale the weights so that both classes weigh the same and the mean is 1, shape (n,)."""
    scaled = examples.weights.copy()
    for label in (0, 1):
        of_class = examples.labels == label
        scaled[of_class] *= len(scaled) / 2 / scaled[of_class].sum()
    return scaled
