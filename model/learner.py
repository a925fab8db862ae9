"""What a cross-validation asks of an architecture, whether all of it learns or only its head."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from .recipe import ARCHITECTURES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .backend import keras
    from .network import Head, Reader
    from .pictures import Pictures
    from .recipe import Recipe
    from .split import Cases

    Mask = NDArray[np.bool_]

Report = Callable[[dict[str, float]], None]
"""Called after each epoch with its losses."""


class Learner(Protocol):
    """One architecture over one data set; it fits again and again, each time from the same start."""

    @property
    def trunk(self) -> keras.Model:
        """The trunk as the last fit left it."""

    @property
    def read(self) -> Reader:
        """Gives what heads read of any pictures, by the trunk as the last fit left it."""

    def fit(self, cases: Cases, training: Mask, *, seed: int, report: Report) -> Head:
        """Learn from the images that `training` marks, shape (n,), and from no other; return the head.

        Raises
        ------
        TrainingError
            When the training diverges.
        """

    def features(self, change: str, chosen: Mask) -> NDArray[np.float32]:
        """What heads read of the chosen images under one of `robustness.CHANGES`: (chosen, features)."""


def learner(
    architecture: str, pictures: Pictures, recipe: Recipe, *, start: Callable[[], keras.Model]
) -> Learner:
    """Make the learner of one of `recipe.ARCHITECTURES`; `start` gives the trunk that it begins with.

    Raises
    ------
    WeightsError
        When the trunk needs weights that cannot be had.
    """
    from .fit import Fitter  # noqa: PLC0415 - both bring TensorFlow
    from .transfer import Transfer  # noqa: PLC0415

    if ARCHITECTURES[architecture].from_imagenet:
        return Transfer(pictures, recipe, start=start)
    return Fitter(architecture, pictures, recipe, start=start)


def balanced(cases: Cases) -> NDArray[np.float64]:
    """Scale the weights so that both classes weigh the same and the mean is 1, shape (n,)."""
    scaled = cases.weights.copy()
    for label in (0, 1):
        of_class = cases.labels == label
        scaled[of_class] *= len(scaled) / 2 / scaled[of_class].sum()
    return scaled
