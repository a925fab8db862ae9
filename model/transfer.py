"""A trunk that stays as it is, and a linear head fitted to what it says of the images.

Its features are computed once for all folds: a fold then costs a logistic regression. A data set of a few
hundred images teaches a head of a few hundred numbers better than a network of millions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from . import network
from .augment import Augment
from .backend import keras, tensorflow
from .learner import balanced
from .network import Head
from .robustness import AS_IT_IS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .learner import Mask, Report
    from .pictures import Pictures
    from .recipe import Recipe
    from .split import Cases

    Features = NDArray[np.float32]

INNER_FOLDS = 4
TOLERANCE = 1e-3  # of the optimiser; ten times finer gave the same figures in three times the time


class Transfer:
    """The learner of an architecture that has seen ImageNet."""

    def __init__(self, pictures: Pictures, recipe: Recipe, *, start: Callable[[], keras.Model]) -> None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(recipe.seed)
        tensorflow.config.experimental.enable_op_determinism()
        self.trunk = start()
        self.read = network.Reader(self.trunk)
        self._pictures = pictures
        self._size = recipe.transfer_size
        self._strengths = recipe.strengths
        self._of_change: dict[str, Features] = {}
        self._learnt_from = self._views(recipe.views, seed=recipe.seed)

    def fit(self, cases: Cases, training: Mask, *, seed: int, report: Report) -> Head:  # noqa: ARG002 - nothing random, no epochs
        """Fit the head to every version of the training images; see `Learner.fit`."""
        versions = len(self._learnt_from)
        mine = cases[training]
        return fit_head(
            self._learnt_from[:, training].reshape(-1, self._learnt_from.shape[-1]),
            labels=np.tile(mine.labels, versions),
            weights=np.tile(balanced(mine), versions) / versions,
            groups=np.tile(mine.groups, versions),
            strengths=self._strengths,
        )

    def features(self, change: str, chosen: Mask) -> Features:
        """See `Learner.features`."""
        if change not in self._of_change:
            pixels = self._pictures.pixels(self._size, change)
            self._of_change[change] = self.read(pixels)
        return self._of_change[change][chosen]

    def _views(self, count: int, *, seed: int) -> Features:
        """Features of the images as they are and of `count` disturbed versions: (1 + count, n, features)."""
        augment = Augment(seed=seed)
        everything = np.ones(len(self._pictures), dtype=bool)
        views = [self.features(AS_IT_IS, everything)]
        for number in tqdm(range(count), desc="reading disturbed images", unit="view", leave=False):
            moved = augment(self._pictures.view(self._size, number), training=True)
            views.append(self.read(np.asarray(moved)))
        return np.stack(views)


def fit_head(
    features: Features,
    *,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    groups: NDArray[np.int64],
    strengths: Sequence[float],
) -> Head:
    """Fit a logistic regression; its penalty is the one that does best on groups it has not seen.

    Parameters
    ----------
    features
        Shape (n, features); the other arrays have shape (n,).
    groups
        Rows of one group stay together where penalties are compared.
    strengths
        Inverse strengths of the penalty to choose from; where there is one, nothing is chosen.
    """
    regression = LogisticRegression(C=strengths[0], tol=TOLERANCE, max_iter=1000)
    pipeline = make_pipeline(StandardScaler(), regression)
    rows = features.astype(np.float64)
    if len(strengths) > 1:
        folds = GroupKFold(min(INNER_FOLDS, len(np.unique(groups))))
        pipeline = GridSearchCV(
            pipeline,
            {"logisticregression__C": strengths},
            scoring="neg_log_loss",
            cv=list(folds.split(rows, labels, groups)),
        )
    fitted = pipeline.fit(rows, labels, logisticregression__sample_weight=weights)
    scaler, regression = (step for _, step in getattr(fitted, "best_estimator_", fitted).steps)
    slopes = regression.coef_[0] / scaler.scale_
    return Head(weights=slopes, bias=float(regression.intercept_[0] - slopes @ scaler.mean_))
