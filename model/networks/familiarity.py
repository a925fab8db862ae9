"""How much an image's view resembles those that a network learnt, by the encoder's features.

A view is a plane and contrast of one source. The familiarity is minus the squared Mahalanobis distance to the
nearest view's mean, by the covariance within the views (Lee et al. 2018), in the features' main directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.networks.backend import keras

if TYPE_CHECKING:
    from model.arrays import Floats, Floats32, Names

DIRECTIONS = 100  # largest number of principal components
SHRINKAGE = 0.1  # of the covariance towards a multiple of the identity
FEWEST = 20  # images of a view with a mean of its own


@dataclass(frozen=True)
class Familiarity:
    """A linear map that whitens features, and each view's mean after it; larger values are more familiar."""

    weights: Floats  # (features, directions)
    bias: Floats  # (directions,)
    means: Floats  # (views, directions)

    def of(self, features: Floats32) -> Floats:
        """Minus the mean squared distance from the nearest view: (n, features) -> (n,)."""
        white = features @ self.weights + self.bias
        distances = ((white[:, None] - self.means[None]) ** 2).mean(axis=2)
        return -np.asarray(distances.min(axis=1), dtype=np.float64)

    def layer(self) -> keras.Model:
        """Build the layers that compute it in a network: (batch, features) -> (batch, 1)."""
        layers, ops, count = keras.layers, keras.ops, len(self.bias)
        features = keras.Input((len(self.weights),))
        whiten, compare = layers.Dense(count, name="whiten"), layers.Dense(len(self.means), name="compare")
        white = whiten(features)
        # The square of a difference, multiplied out, needs no tensor of all views' differences.
        nearest = ops.max(compare(white), axis=1, keepdims=True)
        model = keras.Model(features, nearest - ops.mean(white**2, axis=1, keepdims=True), name="familiarity")
        whiten.set_weights([self.weights, self.bias])
        compare.set_weights([2 / count * self.means.T, -np.mean(self.means**2, axis=1)])
        return model


def fit_familiarity(features: Floats32, views: Names) -> Familiarity:
    """Fit to features, (n, features), of images of these views, (n,); rare views share one mean."""
    names, view, sizes = np.unique(views, return_inverse=True, return_counts=True)
    view = np.where(sizes[view] >= FEWEST, view, len(names))
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    standard = (features - mean) / deviation
    directions = np.linalg.svd(standard, full_matrices=False)[2][:DIRECTIONS].T.astype(np.float64)
    reduced = standard @ directions
    means = np.stack([reduced[view == number].mean(axis=0) for number in np.unique(view)])
    within = reduced - means[np.unique(view, return_inverse=True)[1]]
    covariance = within.T @ within / len(within)
    shrunk = SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whitening = np.linalg.cholesky(np.linalg.inv((1 - SHRINKAGE) * covariance + shrunk))
    weights = directions @ whitening / deviation[:, None]
    return Familiarity(weights, -mean @ weights, means @ whitening)
