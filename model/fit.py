"""Fit one architecture again and again: a fold, the next fold, and in the end the network that serves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .augment import Augment
from .backend import keras, tensorflow
from .network import build
from .recipe import Recipe, TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .split import Cases

Report = Callable[[dict[str, float]], None]
"""Called after each epoch with its losses."""


@dataclass(frozen=True)
class Examples:
    """Cases with their pixels, shape (n, size, size, 1)."""

    pixels: NDArray[np.float32]
    cases: Cases

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Examples:
        return Examples(self.pixels[chosen], self.cases[chosen])


class Fitter:
    """One compiled network that starts every fit from the same first weights.

    Tracing and compiling cost seconds, more than a short fold: it is done once for all fits.
    """

    def __init__(self, architecture: str, recipe: Recipe) -> None:
        keras.backend.clear_session()
        keras.config.disable_interactive_logging()  # its bars; a clear session has them on
        keras.utils.set_random_seed(recipe.seed)
        tensorflow.config.experimental.enable_op_determinism()
        self.recipe = recipe
        self.network: keras.Model = build(architecture, size=recipe.size)
        scan = keras.Input((recipe.size, recipe.size, 1))
        self._trained = keras.Model(scan, self.network(Augment(seed=recipe.seed)(scan))[0])
        optimizer = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        # No XLA: on a CPU it takes longer to compile than a fold takes to fit.
        self._trained.compile(optimizer, loss, jit_compile=False)
        optimizer.build(self._trained.trainable_variables)
        self._state = [*self._trained.variables, *optimizer.variables]
        self._first = [variable.numpy() for variable in self._state]

    def fit(self, examples: Examples, *, validation: Examples | None, report: Report) -> None:
        """Train from the first weights; `validation` is only watched, nothing is chosen by it.

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
            watched = (validation.pixels, validation.cases.labels[:, None], _balanced(validation.cases))
        self._trained.fit(
            examples.pixels,
            examples.cases.labels[:, None],
            sample_weight=_balanced(examples.cases),
            validation_data=watched,
            validation_freq=max(1, self.recipe.epochs // 10),
            batch_size=self.recipe.batch_size,
            epochs=self.recipe.epochs,
            verbose=0,
            callbacks=[keras.callbacks.LearningRateScheduler(self.recipe.rate), _reporter(report)],
        )

    def logits(self, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits of the network as it is now, shape (n,)."""
        return np.asarray(self._trained.predict(pixels, batch_size=64, verbose=0)[:, 0], dtype=np.float64)


def _reporter(report: Report) -> keras.callbacks.Callback:
    def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
        losses = {name: float(value) for name, value in logs.items()}
        rate = losses.pop("learning_rate")
        if not math.isfinite(losses["loss"]):
            raise TrainingError(
                f"the loss became {losses['loss']} in epoch {epoch + 1}: the training diverged. Lower the "
                f"learning rate, which is {rate:g}."
            )
        report(losses)

    return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)


def _balanced(cases: Cases) -> NDArray[np.float64]:
    """Scale the weights so that both classes weigh the same and the mean is 1, shape (n,)."""
    scaled = cases.weights.copy()
    for label in (0, 1):
        of_class = cases.labels == label
        scaled[of_class] *= len(scaled) / 2 / scaled[of_class].sum()
    return scaled
