"""Honest figures: what judges a fold, its calibration and its threshold, was fitted on the other folds.

Every image counts by its weight, 1 / size of its group of near-duplicates, and intervals come from drawing
groups, not images: a copy is no further evidence.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

BOOTSTRAP_DRAWS = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Calibration:
    """Platt's calibration: probability of class 1 = sigmoid(slope * logit + intercept)."""

    slope: float
    intercept: float

    def probabilities(self, logits: Floats) -> Floats:
        """Probability of class 1 for each logit."""
        return 0.5 * (1 + np.tanh(0.5 * (self.slope * logits + self.intercept)))

    def as_dict(self) -> dict[str, float]:
        """Slope and intercept by name."""
        return asdict(self)


@dataclass(frozen=True)
class Judgement:
    """What the folds' networks say of each image, judged by what the other folds taught; all of length n."""

    labels: Labels
    probabilities: Floats
    decisions: Labels
    weights: Floats
    groups: Labels


@dataclass(frozen=True)
class Figure:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def calibrate(logits: Floats, labels: Labels, weights: Floats) -> Calibration:
    """Fit Platt's calibration (Platt 1999): a logistic regression of the label on the logit.

    Its slight penalty (C = 1) keeps the slope finite where the logits separate the classes without a mistake.
    """
    fitted = LogisticRegression(C=1.0).fit(logits[:, None], labels, sample_weight=weights)
    return Calibration(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))


def choose_threshold(probabilities: Floats, labels: Labels, weights: Floats) -> float:
    """Choose the probability from which on the answer is YES: where balanced accuracy is highest.

    Candidates lie half-way between neighbouring probabilities; of equally good ones the middle one is taken.
    """
    levels = np.unique(probabilities)
    candidates = (levels[1:] + levels[:-1]) / 2 if len(levels) > 1 else levels
    decisions = probabilities >= candidates[:, None]
    scores = _share(decisions, labels == 1, weights) + _share(~decisions, labels == 0, weights)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(candidates[best[len(best) // 2]])


def cross_fit(logits: Floats, labels: Labels, weights: Floats, groups: Labels, folds: Labels) -> Judgement:
    """Judge each fold by the calibration and threshold that the other folds' predictions give.

    Parameters
    ----------
    logits
        Out-of-fold: each by the network that did not see its image's group, shape (n,).
    folds
        Number of the fold that held each image out, shape (n,).
    """
    probabilities = np.empty(len(logits))
    decisions = np.empty(len(logits), dtype=np.int64)
    for fold in np.unique(folds):
        own, others = folds == fold, folds != fold
        calibration = calibrate(logits[others], labels[others], weights[others])
        known = calibration.probabilities(logits[others])
        threshold = choose_threshold(known, labels[others], weights[others])
        probabilities[own] = calibration.probabilities(logits[own])
        decisions[own] = probabilities[own] >= threshold
    return Judgement(labels, probabilities, decisions, weights, groups)


def figures(judged: Judgement, *, seed: int = 0) -> dict[str, Figure]:
    """All figures with their 95 % intervals, by bootstrap over groups within each class."""
    values = _values(judged, judged.weights[None])
    drawn = _values(judged, judged.weights * _draws(judged, seed=seed))
    tail = 100 * (1 - CONFIDENCE) / 2
    return {
        name: Figure(float(values[name][0]), *map(float, np.percentile(drawn[name], [tail, 100 - tail])))
        for name in values
    }


def _draws(judged: Judgement, *, seed: int) -> Floats:
    """How often each image's group was drawn in each bootstrap draw, shape (draws, n)."""
    rng = np.random.default_rng(seed)
    unique, first, inverse = np.unique(judged.groups, return_index=True, return_inverse=True)
    times = np.zeros((BOOTSTRAP_DRAWS, len(unique)))
    for label in (0, 1):
        stratum = np.flatnonzero(judged.labels[first] == label)
        times[:, stratum] = rng.multinomial(
            len(stratum), np.full(len(stratum), 1 / len(stratum)), size=BOOTSTRAP_DRAWS
        )
    return times[:, inverse]


def _values(judged: Judgement, weights: Floats) -> dict[str, Floats]:
    """Each figure under each row of weights, shape (rows, n) -> (rows,)."""
    positive, said_yes = judged.labels == 1, judged.decisions == 1
    sensitivity = _share(said_yes, positive, weights)
    specificity = _share(~said_yes, ~positive, weights)
    everything = np.ones(len(judged.labels), dtype=bool)
    squared_error = (judged.probabilities - judged.labels) ** 2
    return {
        "roc_auc": _roc_auc(judged, weights),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "accuracy": _share(said_yes == positive, everything, weights),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "brier_score": _share(squared_error, everything, weights),
    }


def _share(what: NDArray[np.bool_] | Floats, among: NDArray[np.bool_], weights: Floats) -> Floats:
    """Weighted mean of `what` among the images that `among` marks."""
    counted = weights * among
    share: Floats = (counted * what).sum(axis=-1) / counted.sum(axis=-1)
    return share


def _roc_auc(judged: Judgement, weights: Floats) -> Floats:
    """Area under the ROC curve: how often a YES image has the higher probability, a tie counting half."""
    order = np.argsort(judged.probabilities)
    starts = np.flatnonzero(np.diff(judged.probabilities[order], prepend=-1.0))
    positive = judged.labels[order] == 1
    yes = np.add.reduceat(weights[:, order] * positive, starts, axis=1)
    no = np.add.reduceat(weights[:, order] * ~positive, starts, axis=1)
    no_below = np.cumsum(no, axis=1) - no / 2
    area: Floats = (yes * no_below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1))
    return area
