"""From logits to decisions without a look at the answer: what judges a fold was fitted without it.

A fold's calibration and thresholds come from logits of images on its training side, each given by a network
that saw neither the image nor the fold (nested cross-validation). For the network that serves they come from
every image's own out-of-fold logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .split import Cases

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

MIN_SENSITIVITY = 0.95
"""What the served threshold aims at: a missed tumour costs more than a second look."""
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
class Rule:
    """How a logit becomes a probability and a decision.

    Attributes
    ----------
    threshold
        The highest probability from which on at least `MIN_SENSITIVITY` of the tumours are found; it serves.
    youden
        The probability where sensitivity and specificity together are highest (Youden 1950); only reported.
    """

    calibration: Calibration
    threshold: float
    youden: float


@dataclass(frozen=True)
class Judgement:
    """A probability and decisions, 0 or 1, for each case; every array has shape (n,).

    Attributes
    ----------
    decisions
        By the rule's `threshold`, as the served network decides.
    even
        By the rule's `youden` threshold.
    """

    cases: Cases
    probabilities: Floats
    decisions: Labels
    even: Labels

    @property
    def wrong(self) -> Labels:
        """Places of the cases that were decided against their label."""
        return np.flatnonzero(self.decisions != self.cases.labels)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Judgement:
        return Judgement(
            self.cases[chosen], self.probabilities[chosen], self.decisions[chosen], self.even[chosen]
        )


def nested_rules(inner: Floats, cases: Cases) -> list[Rule]:
    """Fit the rule that judges each fold.

    Parameters
    ----------
    inner
        Row f has the logits of the images outside fold f, by networks that saw neither them nor fold f; shape
        (folds, n).
    """
    rules = []
    for fold, logits in enumerate(inner):
        others = cases.folds != fold
        rules.append(fit_rule(logits[others], cases[others]))
    return rules


def judge(logits: Floats, cases: Cases, rules: Sequence[Rule]) -> Judgement:
    """Judge each image by the rule of its fold; `logits` by networks that had not seen it, shape (n,)."""
    probabilities = np.empty(len(logits))
    decisions, even = np.empty((2, len(logits)), dtype=np.int64)
    for fold, rule in enumerate(rules):
        own = cases.folds == fold
        probabilities[own] = rule.calibration.probabilities(logits[own])
        decisions[own] = probabilities[own] >= rule.threshold
        even[own] = probabilities[own] >= rule.youden
    return Judgement(cases, probabilities, decisions, even)


def fit_rule(logits: Floats, cases: Cases) -> Rule:
    """Fit calibration and thresholds to logits of images that their networks had not seen, shape (n,)."""
    calibration = calibrate(logits, cases)
    probabilities = calibration.probabilities(logits)
    return Rule(
        calibration,
        threshold=sensitive_threshold(probabilities, cases),
        youden=youden_threshold(probabilities, cases),
    )


def calibrate(logits: Floats, cases: Cases) -> Calibration:
    """Fit Platt's calibration (Platt 1999): a logistic regression of the label on the logit.

    Its slight penalty (C = 1) keeps the slope finite where the logits separate the classes without a mistake.
    """
    fitted = LogisticRegression(C=1.0).fit(logits[:, None], cases.labels, sample_weight=cases.weights)
    return Calibration(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))


def sensitive_threshold(probabilities: Floats, cases: Cases, *, at_least: float = MIN_SENSITIVITY) -> float:
    """Choose the highest threshold that finds `at_least` of the tumours, half-way to the next lower level."""
    levels, sensitivity, _ = _rates(probabilities, cases)
    chosen = np.flatnonzero(sensitivity >= at_least - TIE)[-1]
    below = levels[chosen - 1] if chosen else levels[chosen]
    return float((levels[chosen] + below) / 2)


def youden_threshold(probabilities: Floats, cases: Cases) -> float:
    """Choose the threshold where balanced accuracy is highest.

    Candidates lie half-way between neighbouring probabilities; of equally good ones the middle one is taken.
    """
    levels, sensitivity, specificity = _rates(probabilities, cases)
    scores = sensitivity + specificity
    best = np.flatnonzero(scores >= scores.max() - TIE)
    middle = best[len(best) // 2]
    below = levels[middle - 1] if middle else levels[middle]
    return float((levels[middle] + below) / 2)


def _rates(probabilities: Floats, cases: Cases) -> tuple[Floats, Floats, Floats]:
    """Give each level, from the lowest up, with sensitivity and specificity of answering YES from it on."""
    levels, level = np.unique(probabilities, return_inverse=True)
    positive = cases.labels == 1
    yes = np.bincount(level, cases.weights * positive)
    no = np.bincount(level, cases.weights * ~positive)
    missed, spared = np.cumsum(yes) - yes, np.cumsum(no) - no
    return levels, 1 - missed / yes.sum(), spared / no.sum()
