"""Repeated, nested cross-validation: no network is tested on an image whose group it was trained on.

For each repeat and fold, one network is trained on the other folds and tested on this one. For each pair of
folds, another is trained without both: its logits of one fold of the pair serve to calibrate and choose
thresholds for the other. Each such network serves both ways, so that five folds
take 5 + 10 fits rather than 5 + 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from model.data.perturbations import UNCHANGED
from model.evaluation.calibration import Rule, classify, nested_rules
from model.evaluation.metrics import roc_auc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from model.data.cases import Cases
    from model.evaluation.predictions import Predictions

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """One fit of a cross-validation."""

    name: str  # what is left out; unique within the cross-validation
    cases: Cases
    training: Mask  # of the training images, shape (n,)
    seed: int  # of weights and order
    outer: bool  # tested on one fold; otherwise an inner fit without two folds, or without sources
    locate: bool = False  # whether the evidence of the images outside the training is compared with outlines


Logits = dict[str, "Floats"]
"""One fit's logits of every image by perturbation, and `localisation.MEASURES`: (n,), NaN if not computed."""


@dataclass(frozen=True)
class OutOfFold:
    """The logits of a cross-validation.

    Attributes
    ----------
    outer
        By perturbation, each image's logit by the network trained on the other folds; (repeats, n).
    inner
        [r, f] holds the logits of the images outside fold f by networks trained without them and without f;
        NaN inside fold f; (repeats, folds, n).
    """

    splits: Sequence[Cases]  # the cases with the folds of each repeat
    outer: dict[str, Floats]
    inner: Floats
    training_auc: float  # mean ROC AUC of the outer fits on their training images

    def rules(self) -> list[list[Rule]]:
        """Fit the rule of each repeat and fold."""
        return [nested_rules(rows, cases) for rows, cases in zip(self.inner, self.splits, strict=True)]

    def predictions(self, perturbation: str = UNCHANGED) -> list[Predictions]:
        """Classify the images of each repeat under a perturbation, always by the same rules."""
        parts = zip(self.outer[perturbation], self.splits, self.rules(), strict=True)
        return [classify(logits, cases, rules) for logits, cases, rules in parts]


def cross_validate(splits: Sequence[Cases], run: Callable[[Fit], Logits], *, seed: int) -> OutOfFold:
    """Run every fit of each repeat's folds and collect the logits; each repeat adds 1 to the seed."""
    folds, count = int(splits[0].folds.max()) + 1, len(splits[0])
    outer: dict[str, Floats] = {}
    inner = np.full((len(splits), folds, count), np.nan)
    training_auc = []
    for repeat, cases in enumerate(splits):
        title = f"repeat {repeat + 1}, without fold"
        for fold in range(folds):
            own = cases.folds == fold
            logits = run(Fit(f"{title} {fold + 1}", cases, ~own, seed + repeat, outer=True))
            for perturbation, values in logits.items():
                rows = outer.setdefault(perturbation, np.full((len(splits), count), np.nan))
                rows[repeat, own] = values[own]
            training = cases[~own]
            training_auc.append(roc_auc(logits[UNCHANGED][~own], training.labels, training.weights[None])[0])
        for first, second in combinations(range(folds), 2):
            pair = np.isin(cases.folds, (first, second))
            name = f"{title}s {first + 1} and {second + 1}"
            values = run(Fit(name, cases, ~pair, seed + repeat, outer=False))[UNCHANGED]
            for fold, other in ((first, second), (second, first)):
                own = cases.folds == other
                inner[repeat, fold, own] = values[own]
    return OutOfFold(splits, outer, inner, float(np.mean(training_auc)))
