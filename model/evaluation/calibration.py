"""Calibration and threshold, fitted without the images that they are tested on.

The rule of a fold is fitted to logits of images on its training side, each from a network trained without the
image and without the fold (nested cross-validation). The rule that serves is fitted to every image's
out-of-fold logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve

from model.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.arrays import Floats
    from model.data.cases import Cases

TARGET_SENSITIVITY = 0.95
"""Sensitivity that the served threshold must reach: a missed tumour costs more than a false alarm."""
TIE = 1e-12  # rounding error between equal scores


@dataclass(frozen=True)
class Calibration:
    """Platt's calibration: probability of class 1 = sigmoid(slope * logit + intercept)."""

    slope: float
    intercept: float

    def probabilities(self, logits: Floats) -> Floats:
        """Probability of class 1 for each logit."""
        return 0.5 * (1 + np.tanh(0.5 * (self.slope * logits + self.intercept)))

    def of_unscaled(self, *, mean: float, deviation: float) -> Calibration:
        """Return the calibration of logits that became (logit - mean) / deviation before this was fitted."""
        slope = self.slope / deviation
        return Calibration(slope, self.intercept - slope * mean)


@dataclass(frozen=True)
class Rule:
    """How a logit becomes a probability and a class."""

    calibration: Calibration
    threshold: float  # the highest probability with the target sensitivity


def nested_rules(inner: Floats, cases: Cases) -> list[Rule]:
    """Fit the rule of each fold to its row of `OutOfFold.inner`, shape (folds, n)."""
    outside = [cases.folds != fold for fold in range(len(inner))]
    return [fit_rule(logits[mask], cases[mask]) for logits, mask in zip(inner, outside, strict=True)]


def classify(logits: Floats, cases: Cases, rules: Sequence[Rule]) -> Predictions:
    """Apply the rule of each image's fold to its out-of-fold logit, shape (n,)."""
    probabilities, predicted = np.empty(len(logits)), np.empty(len(logits), dtype=np.int64)
    for fold, rule in enumerate(rules):
        own = cases.folds == fold
        probabilities[own] = rule.calibration.probabilities(logits[own])
        predicted[own] = probabilities[own] >= rule.threshold
    return Predictions(cases, probabilities, predicted)


def fit_rule(logits: Floats, cases: Cases, *, sensitivity: float = TARGET_SENSITIVITY) -> Rule:
    """Fit calibration and threshold to logits of images not trained on, shape (n,).

    The threshold is half-way between a probability and the next lower one.
    """
    calibration = calibrate(logits, cases)
    probabilities = calibration.probabilities(logits)
    _, found, levels = roc_curve(
        cases.labels, probabilities, sample_weight=cases.weights, drop_intermediate=False
    )
    levels, found = levels[1:], found[1:]  # of every distinct probability, descending; the first is infinite
    between = (levels + np.append(levels[1:], levels[-1])) / 2
    return Rule(calibration, float(between[np.argmax(found >= sensitivity - TIE)]))


def calibrate(logits: Floats, cases: Cases) -> Calibration:
    """Fit Platt's calibration (Platt 1999): a logistic regression of the label on the logit.

    A weak penalty (C = 1) keeps the slope finite where the logits separate the classes perfectly.
    """
    fitted = LogisticRegression(C=1.0).fit(logits[:, None], cases.labels, sample_weight=cases.weights)
    return Calibration(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))
