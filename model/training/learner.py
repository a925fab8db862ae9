"""Trains a tail on what the frozen encoder computed once of every image."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.data.perturbations import UNCHANGED
from model.evaluation.localisation import MEASURES, locate
from model.networks import architectures as network
from model.networks.backend import keras, tensorflow
from model.training.config import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from model.arrays import Floats, Floats32, Indices, Mask, Names
    from model.data.cases import Cases
    from model.data.image_cache import ImageCache
    from model.training.config import Recipe

ops = keras.ops
OnEpoch = Callable[[int, float], None]
"""Called after every `EPOCH` steps with their number, from 1, and their mean loss."""
EPOCH = 20
RARE = 0.01
LEAST_DEVIATION = 1e-6  # of logits that are all equal
BATCH = 128  # images at a time in inference
WARM_UP = 0.1  # share of the steps
BALANCE = 0.5
"""Exponent of the number of a source's images in its share of a class, and of a group's in that of a source:
0 would give all the same share, however small they are, and 1 would let the largest decide."""
TUMOUR_CELLS = 2.0  # additional weight of a cell that is wholly tumour, of which there are few


class Scale(NamedTuple):
    """What a network finds in the tumour-free images that it was trained on.

    Relative to their logits, those of networks that were trained on other images become comparable: a rule
    that was fitted to one network's standardised logits serves another.
    """

    mean: float  # of the logits, and likewise their standard deviation
    deviation: float
    no_opinion: float  # evidence that `RARE` of the cells exceed


class Learner:
    """A recipe's architecture on one data set; each fit starts from the same weights.

    The model is traced and compiled once for all fits: that takes longer than a short fit.
    """

    def __init__(
        self, images: ImageCache, encoder: network.Encoder, recipe: Recipe, *, sources: Names
    ) -> None:
        keras.utils.set_random_seed(recipe.seed)
        tensorflow.config.experimental.enable_op_determinism()
        self.tail = network.build_tail(recipe.architecture, encoder.model)
        self._level = network.TAILS[recipe.architecture]
        self.encoder, self._images, self._recipe, self._sources = encoder, images, recipe, sources
        self._evidence = tensorflow.function(
            lambda maps: self.tail(maps, training=False), reduce_retracing=True
        )
        self._pool = network.PooledEvidence()
        self.scale = Scale(0.0, 1.0, 0.0)
        self._model = self._compile()
        self._state = [*self._model.variables, *self._model.optimizer.variables]
        self._first = [variable.numpy() for variable in self._state]

    @cached_property
    def _views(self) -> NDArray[np.float16]:
        """What the tail takes of every image in every view: (1 + views, n, ...)."""
        return np.stack([self.encoder.maps(greys, self._level) for greys in self._images.views.greys])

    def fit(self, cases: Cases, training: Mask, *, seed: int, on_epoch: OnEpoch | None = None) -> None:
        """Train on the images of the mask `training`, shape (n,), and on no other.

        A training that diverges raises `TrainingError`.
        """
        for variable, first in zip(self._state, self._first, strict=True):
            variable.assign(first)
        chances = self.chances(cases, training)
        keras.utils.set_random_seed(seed)
        self._model.fit(
            self._batches(cases, chances, np.random.default_rng(seed)),
            steps_per_epoch=EPOCH,
            epochs=math.ceil(self._recipe.steps / EPOCH),
            shuffle=False,
            verbose=0,
            callbacks=[_epoch_callback(on_epoch)],
        )
        healthy = np.flatnonzero(training & (cases.labels == 0))
        evidence, weights = self._evidence_of(self._views[0][healthy]), chances[healthy]
        logits = self._pooled(evidence)
        mean = np.average(logits, weights=weights)
        deviation = max(np.average((logits - mean) ** 2, weights=weights) ** 0.5, LEAST_DEVIATION)
        self.scale = Scale(float(mean), float(deviation), float(np.quantile(evidence, 1 - RARE)))

    def logits(self, perturbation: str = UNCHANGED, chosen: Indices | None = None) -> Floats:
        """Standardised logits of every image, or of the chosen ones under one of `PERTURBATIONS`: (n,)."""
        if chosen is None:
            maps = self._views[0]
        else:
            maps = self.encoder.maps(self._images.perturbed(perturbation, chosen), self._level)
        return (self._pooled(self._evidence_of(maps)) - self.scale.mean) / self.scale.deviation

    def locate(self, chosen: Mask) -> dict[str, Floats]:
        """Compare the evidence of the chosen images, (n,), with their outlines; NaN for those without one."""
        numbers = [number for number in self._images.outlines if chosen[number]]
        measures = {name: np.full(len(chosen), np.nan) for name in MEASURES}
        if numbers:
            evidence = self._evidence_of(self._views[0][numbers])[..., 0]
            outlines = np.stack([self._images.outlines[number] for number in numbers])
            greys = self._images.views.greys[0, numbers, ..., 0]
            for name, values in locate(evidence - self.scale.no_opinion, greys, outlines).items():
                measures[name][numbers] = values
        return measures

    def _evidence_of(self, maps: NDArray[np.float16]) -> Floats32:
        starts = range(0, len(maps), BATCH)
        return np.concatenate([self._evidence(maps[first : first + BATCH]).numpy() for first in starts])

    def _pooled(self, evidence: Floats32) -> Floats:
        return np.asarray(self._pool(evidence), dtype=np.float64)[:, 0]

    def _compile(self) -> keras.Model:
        recipe = self._recipe
        warm_up = max(1, round(WARM_UP * recipe.steps))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, recipe.steps - warm_up), warmup_target=recipe.learning_rate, warmup_steps=warm_up
        )
        optimizer = keras.optimizers.AdamW(
            rate, weight_decay=recipe.weight_decay, use_ema=True, ema_momentum=recipe.averaging
        )
        evidence = self.tail.output
        cells = keras.layers.Flatten()(evidence)
        model = keras.Model(self.tail.input, keras.layers.Concatenate()([self._pool(evidence), cells]))
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, self._loss, jit_compile=False, steps_per_execution=EPOCH)
        return model

    def _loss(self, true: keras.KerasTensor, given: keras.KerasTensor) -> keras.KerasTensor:
        """Cross-entropy of the pooled logit, and of the cells where an outline or a NO says what they show.

        `true` holds the label, whether the cells are known and each cell's share of tumour; `given` the logit
        and each cell's evidence.
        """
        recipe = self._recipe
        label = true[:, 0] * (1 - 2 * recipe.smoothing) + recipe.smoothing
        known, shares = true[:, 1], true[:, 2:]
        of_image = _cross_entropy(label, given[:, 0])
        of_cells = ops.mean(_cross_entropy(shares, given[:, 1:]) * (1 + TUMOUR_CELLS * shares), axis=1)
        of_known = ops.sum(of_cells * known) / ops.maximum(ops.sum(known), 1)
        return ops.mean(of_image) + recipe.outline_weight * of_known

    def _batches(
        self, cases: Cases, chances: Floats, rng: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.float16], Floats32]]:
        """Yield random training images, each in a random view, without end."""
        views, shares, outlined = self._views, self._images.views.shares, self._images.outlined
        # Without an outlined tumour, the cells of the tumour-free images would teach that no cell is tumour.
        outlined = outlined & outlined[(cases.labels == 1) & (chances > 0)].any()
        while True:
            drawn = rng.choice(len(cases), self._recipe.batch_size, p=chances)
            view = rng.integers(len(views), size=len(drawn))
            facts = [
                cases.labels[drawn, None],
                outlined[drawn, None],
                shares[view, drawn].reshape(len(drawn), -1),
            ]
            yield views[view, drawn], np.concatenate(facts, axis=1, dtype=np.float32)

    def chances(self, cases: Cases, training: Mask) -> Floats:
        """Probability with which each image is drawn, 0 outside the training, shape (n,).

        The classes are drawn equally often, whatever source they come from, so that neither a source nor its
        size tells the class.
        """
        chances = np.zeros(len(cases))
        for label in (0, 1):
            of_class = training & (cases.labels == label)
            for source in np.unique(self._sources[of_class]):
                own = np.flatnonzero(of_class & (self._sources == source))
                _, group, sizes = np.unique(cases.groups[own], return_inverse=True, return_counts=True)
                share = sizes[group] ** -BALANCE
                chances[own] = share / share.sum() * len(own) ** BALANCE
            chances[of_class] /= 2 * chances[of_class].sum()
        return chances


def _cross_entropy(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    return ops.softplus(logits) - labels * logits


def _epoch_callback(on_epoch: OnEpoch | None) -> keras.callbacks.Callback:
    """Pass each epoch's loss to `on_epoch`, and fail when it is not finite."""

    def check(epoch: int, logs: dict[str, float]) -> None:
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} by step {(epoch + 1) * EPOCH}: the training diverged. Lower the "
                "learning rate."
            )
        if on_epoch:
            on_epoch(epoch + 1, loss)

    return keras.callbacks.LambdaCallback(on_epoch_end=check)
