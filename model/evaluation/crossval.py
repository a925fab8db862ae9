"""Nested cross-validation: no network is tested on an image whose group it was trained on.

For each fold, one network is trained on the other folds and tested on this one. For each pair of folds,
another is trained without both: its logits of one fold of the pair serve to calibrate and choose a threshold
for the other. Each such network serves both ways, so that five folds take 5 + 10 fits rather than 5 + 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from model.data.perturbations import UNCHANGED
from model.evaluation.calibration import classify, nested_rules
from model.evaluation.metrics import roc_auc

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.arrays import Floats, Mask
    from model.data.cases import Cases
    from model.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Fit:
    """One fit of a cross-validation."""

    name: str  # what is left out; unique within the cross-validation
    training: Mask  # of the training images, shape (n,)
    outer: bool  # tested on one fold; otherwise an inner fit without two folds, or without sources
    locate: bool = False  # whether the evidence of the images outside the training is compared with outlines


Logits = dict[str, "Floats"]
"""One fit's logits of every image by perturbation, and `localisation.MEASURES`: (n,), NaN if not computed."""


@dataclass(frozen=True)
class OutOfFold:
    """The logits of a cross-validation.

    Row f of `inner` holds those of the images outside fold f, by networks trained without both.
    """

    cases: Cases
    outer: dict[str, Floats]  # by perturbation, from the networks trained on the other folds: (n,)
    inner: Floats  # NaN inside fold f: (folds, n)
    training_auc: float  # mean ROC AUC of the outer fits on their training images

    def predictions(self, perturbation: str = UNCHANGED) -> Predictions:
        """Classify the images under a perturbation, always by the same rules."""
        return classify(self.outer[perturbation], self.cases, nested_rules(self.inner, self.cases))


def cross_validate(cases: Cases, run: Callable[[Fit], Logits]) -> OutOfFold:
    """Run every fit and collect the logits."""
    folds, count = int(cases.folds.max()) + 1, len(cases)
    outer: dict[str, Floats] = {}
    inner = np.full((folds, count), np.nan)
    training_auc = []
    for fold in range(folds):
        own = cases.folds == fold
        logits = run(Fit(f"without fold {fold + 1}", ~own, outer=True))
        for perturbation, values in logits.items():
            outer.setdefault(perturbation, np.full(count, np.nan))[own] = values[own]
        training = cases[~own]
        training_auc.append(roc_auc(logits[UNCHANGED][~own], training.labels, training.weights[None])[0])
    for first, second in combinations(range(folds), 2):
        pair = np.isin(cases.folds, (first, second))
        name = f"without folds {first + 1} and {second + 1}"
        values = run(Fit(name, ~pair, outer=False))[UNCHANGED]
        for fold, other in ((first, second), (second, first)):
            own = cases.folds == other
            inner[fold, own] = values[own]
    return OutOfFold(cases, outer, inner, float(np.mean(training_auc)))
