"""A network of which all learns, fitted again and again: a fold, the next, in the end what serves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import network
from .augment import Augment
from .backend import keras, tensorflow
from .learner import balanced
from .network import Head
from .recipe import ARCHITECTURES, Recipe, TrainingError, cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .learner import Mask, Report
    from .pictures import Pictures
    from .split import Cases

DROPOUT = 0.3


class Fitter:
    """The learner of an architecture that starts from random weights, or from those of a pretraining.

    Tracing and compiling cost seconds, more than a short fold: it is done once for all fits.
    """

    def __init__(
        self, architecture: str, pictures: Pictures, recipe: Recipe, *, start: Callable[[], keras.Model]
    ) -> None:
        keras.backend.clear_session()
        keras.config.disable_interactive_logging()  # its bars; a clear session has them on
        keras.utils.set_random_seed(recipe.seed)
        tensorflow.config.experimental.enable_op_determinism()
        self.trunk = start()
        self.read = network.Reader(self.trunk)
        self._recipe = recipe
        self._pictures = pictures
        self._mixing = ARCHITECTURES[architecture].mixing
        self._head = keras.layers.Dense(1)
        self._trained = self._compile(averaging=ARCHITECTURES[architecture].averaging)
        self._state = [*self._trained.variables, *self._trained.optimizer.variables]
        self._first = [variable.numpy() for variable in self._state]

    def fit(self, cases: Cases, training: Mask, *, seed: int, report: Report) -> Head:
        """Train all of it from the first weights; see `Learner.fit`."""
        for variable, first in zip(self._state, self._first, strict=True):
            variable.assign(first)
        keras.utils.set_random_seed(seed)
        size, recipe = self._recipe.size, self._recipe
        views = [self._pictures.view(size, number) for number in range(recipe.views)]
        mine = cases[training]
        batches = Batches(
            [self._pictures.pixels(size), *views],
            chosen=np.flatnonzero(training),
            labels=mine.labels,
            weights=balanced(mine),
            batch_size=recipe.batch_size,
            mixing=self._mixing,
            seed=seed,
        )
        rate = keras.callbacks.LearningRateScheduler(
            lambda epoch: cosine(epoch, epochs=recipe.epochs, peak=recipe.learning_rate)
        )
        self._trained.fit(batches, epochs=recipe.epochs, verbose=0, callbacks=[rate, reporter(report)])
        kernel, bias = self._head.get_weights()
        return Head(weights=kernel[:, 0].astype(np.float64), bias=float(bias[0]))

    def features(self, change: str, chosen: Mask) -> NDArray[np.float32]:
        """See `Learner.features`."""
        return self.read(self._pictures.pixels(self._recipe.size, change)[chosen])

    def _compile(self, *, averaging: float) -> keras.Model:
        recipe = self._recipe
        scan = keras.Input(self.trunk.input.shape[1:])
        read = network.pooled(network.maps_of(self.trunk, Augment(seed=recipe.seed)(scan)))
        trained = keras.Model(scan, self._head(keras.layers.Dropout(DROPOUT)(read)))
        optimizer = keras.optimizers.AdamW(
            recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            use_ema=averaging > 0,
            ema_momentum=averaging,
        )
        # No XLA: on a CPU it takes longer to compile than a fold takes to fit.
        trained.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
        optimizer.build(trained.trainable_variables)
        return trained


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Batches in a new order each epoch: of each image one version, and if wanted two images mixed.

    Parameters
    ----------
    versions
        Arrays of the same images, each (n, size, size, 1). They are not copied: TensorFlow keeps every set of
        batches that it was ever given.
    chosen
        Places of the images that are learnt from, shape (chosen,).
    labels, weights
        Of the chosen images, shape (chosen,).
    mixing
        See `recipe.Architecture`.
    """

    def __init__(
        self,
        versions: Sequence[NDArray[np.float32]],
        *,
        chosen: NDArray[np.int64],
        labels: NDArray[np.int64],
        weights: NDArray[np.float64],
        batch_size: int,
        mixing: float,
        seed: int,
    ) -> None:
        super().__init__()
        self._versions, self._chosen = versions, chosen
        self._labels, self._weights = labels.astype(np.float32), weights
        self._batch_size, self._mixing = batch_size, mixing
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self._labels) / self._batch_size)

    def __getitem__(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
        own = slice(place * self._batch_size, (place + 1) * self._batch_size)
        chosen, partners = self._order[own], self._partners[own]
        share = np.ones(len(chosen), dtype=np.float32)
        if self._mixing:
            share = self._rng.beta(self._mixing, self._mixing, size=len(chosen)).astype(np.float32)
        pixels = [
            part * self._draw(image) + (1 - part) * self._draw(partner) if part < 1 else self._draw(image)
            for part, image, partner in zip(share, chosen, partners, strict=True)
        ]
        labels = share * self._labels[chosen] + (1 - share) * self._labels[partners]
        weights = share * self._weights[chosen] + (1 - share) * self._weights[partners]
        return np.stack(pixels), labels[:, None], weights

    def on_epoch_end(self) -> None:
        """Draw the next epoch's order."""
        self._order = self._rng.permutation(len(self._labels))
        self._partners = self._rng.permutation(len(self._labels))

    def _draw(self, image: int) -> NDArray[np.float32]:
        version = int(self._rng.integers(len(self._versions)))
        return np.asarray(self._versions[version][self._chosen[image]])


def reporter(report: Report) -> keras.callbacks.Callback:
    """Hand each epoch's losses to `report`; end the training where the loss is no number any more."""

    def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
        losses = {name: float(value) for name, value in logs.items()}
        rate = losses.pop("learning_rate", None)
        if not math.isfinite(losses["loss"]):
            raise TrainingError(
                f"the loss became {losses['loss']} in epoch {epoch + 1}: the training diverged. Lower the "
                f"learning rate{f', which is {rate:g}' if rate else ''}."
            )
        report(losses)

    return keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
