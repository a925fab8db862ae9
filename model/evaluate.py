"""Honest figures: what judges a fold, its calibration and its threshold, was fitted on the other folds.

Every image counts by its weight, 1 / size of its group of near-duplicates, and intervals come from drawing
groups, not images: a copy is no further evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .split import Cases

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

BOOTSTRAP_DRAWS = 1000
CONFIDENCE = 0.95
TIE = 1e-12  # what rounding may make of equal scores


@dataclass(frozen=True)
class Calibration:
    """Platt's calibration: probability of class 1 = sigmoid(slope * logit + intercept)."""

    slope: float
    intercept: float

    def probabilities(self, logits: Floats) -> Floats:
        """Probability of class 1 for each logit."""
        return 0.5 * (1 + np.tanh(0.5 * (self.slope * logits + self.intercept)))


@dataclass(frozen=True)
class Judgement:
    """A probability and a decision, 0 or 1, for each case."""

    cases: Cases
    probabilities: Floats
    decisions: Labels

    @property
    def wrong(self) -> Labels:
        """Places of the cases that were decided against their label."""
        return np.flatnonzero(self.decisions != self.cases.labels)


@dataclass(frozen=True)
class Figure:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Evaluation:
    """The cross-fitted judgement and its figures; the calibration and threshold of all folds, for serving."""

    judged: Judgement
    figures: dict[str, Figure]
    calibration: Calibration
    threshold: float


def evaluate(logits: Floats, cases: Cases) -> Evaluation:
    """Measure an architecture by its out-of-fold logits, and fit what its network will serve with.

    Parameters
    ----------
    logits
        Of each case, by the network that did not see its group; shape (n,).
    cases
        Without those held out.
    """
    judged = cross_fit(logits, cases)
    calibration = calibrate(logits, cases)
    threshold = choose_threshold(calibration.probabilities(logits), cases)
    return Evaluation(judged, figures(judged), calibration, threshold)


def cross_fit(logits: Floats, cases: Cases) -> Judgement:
    """Judge each fold by the calibration and threshold that the other folds' predictions give."""
    probabilities = np.empty(len(logits))
    decisions = np.empty(len(logits), dtype=np.int64)
    for fold in np.unique(cases.folds):
        own, others = cases.folds == fold, cases.folds != fold
        calibration = calibrate(logits[others], cases[others])
        threshold = choose_threshold(calibration.probabilities(logits[others]), cases[others])
        probabilities[own] = calibration.probabilities(logits[own])
        decisions[own] = probabilities[own] >= threshold
    return Judgement(cases, probabilities, decisions)


def calibrate(logits: Floats, cases: Cases) -> Calibration:
    """Fit Platt's calibration (Platt 1999): a logistic regression of the label on the logit.

    Its slight penalty (C = 1) keeps the slope finite where the logits separate the classes without a mistake.
    """
    fitted = LogisticRegression(C=1.0).fit(logits[:, None], cases.labels, sample_weight=cases.weights)
    return Calibration(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))


def choose_threshold(probabilities: Floats, cases: Cases) -> float:
    """Choose the probability from which on the answer is YES: where balanced accuracy is highest.

    Candidates lie half-way between neighbouring probabilities; of equally good ones the middle one is taken.
    """
    levels, level = np.unique(probabilities, return_inverse=True)
    if len(levels) == 1:
        return float(levels[0])
    positive = cases.labels == 1
    missed = np.cumsum(np.bincount(level, cases.weights * positive))
    spared = np.cumsum(np.bincount(level, cases.weights * ~positive))
    scores = (spared / spared[-1] - missed / missed[-1])[:-1]
    best = np.flatnonzero(scores >= scores.max() - TIE)
    middle = best[len(best) // 2]
    return float((levels[middle] + levels[middle + 1]) / 2)


def figures(judged: Judgement, *, seed: int = 0) -> dict[str, Figure]:
    """All figures with their 95 % intervals, by bootstrap over groups within each class."""
    values = _values(judged, judged.cases.weights[None])
    drawn = _values(judged, judged.cases.weights * _draws(judged, seed=seed))
    tail = 100 * (1 - CONFIDENCE) / 2
    return {
        name: Figure(float(values[name][0]), *map(float, np.percentile(drawn[name], [tail, 100 - tail])))
        for name in values
    }


def majority_accuracy(cases: Cases) -> float:
    """Accuracy of always answering the commoner class."""
    share_of_yes = float(np.average(cases.labels, weights=cases.weights))
    return max(share_of_yes, 1 - share_of_yes)


def flat(measured: dict[str, Figure]) -> dict[str, float]:
    """Figures as MLflow and `metadata.json` keep them: `name`, `name_low`, `name_high`."""
    return {
        f"{name}{bound}": value
        for name, figure in measured.items()
        for bound, value in (("", figure.value), ("_low", figure.low), ("_high", figure.high))
    }


def roc_auc(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Area under the ROC curve: how often a YES image has the higher score, a tie counting half.

    Parameters
    ----------
    scores, labels
        Shape (n,).
    weights
        Shape (rows, n): one area for each row.

    Returns
    -------
    Shape (rows,); not a number where a row has one class only.
    """
    order = np.argsort(scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # where the next higher score begins
    positive = labels[order] == 1
    yes = np.add.reduceat(weights[:, order] * positive, starts, axis=1)
    no = np.add.reduceat(weights[:, order] * ~positive, starts, axis=1)
    no_below = np.cumsum(no, axis=1) - no / 2
    with np.errstate(invalid="ignore"):
        area: Floats = (yes * no_below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1))
    return area


def _draws(judged: Judgement, *, seed: int) -> Floats:
    """How often each image's group was drawn in each bootstrap draw, shape (draws, n)."""
    rng = np.random.default_rng(seed)
    unique, first, inverse = np.unique(judged.cases.groups, return_index=True, return_inverse=True)
    times = np.zeros((BOOTSTRAP_DRAWS, len(unique)))
    for label in (0, 1):
        stratum = np.flatnonzero(judged.cases.labels[first] == label)
        times[:, stratum] = rng.multinomial(
            len(stratum), np.full(len(stratum), 1 / len(stratum)), size=BOOTSTRAP_DRAWS
        )
    return times[:, inverse]


def _values(judged: Judgement, weights: Floats) -> dict[str, Floats]:
    """Each figure under each row of weights, shape (rows, n) -> (rows,)."""
    positive, said_yes = judged.cases.labels == 1, judged.decisions == 1
    everything = np.ones(len(judged.cases), dtype=bool)
    sensitivity = _share(said_yes, positive, weights)
    specificity = _share(~said_yes, ~positive, weights)
    squared_error = (judged.probabilities - judged.cases.labels) ** 2
    return {
        "roc_auc": roc_auc(judged.probabilities, judged.cases.labels, weights),
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
