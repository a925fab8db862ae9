"""Repeated, nested cross-validation: every network that is asked about an image has not seen its group.

For each repeat and fold one network learns from the other folds, and its logits of the fold are measured. For
each pair of folds one more learns from what is left: its logits of one fold of the pair are what the other
fold's calibration, thresholds and choice of architecture come from. One such network serves both ways, so
that five folds take 5 + 10 fits, not 5 + 20.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from .evaluate import roc_auc
from .judge import Judgement, Rule, judge, nested_rules
from .robustness import AS_IT_IS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .split import Cases

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """One fit of a cross-validation.

    Attributes
    ----------
    name
        What is left out, for people and for finding the fit again.
    training
        Marks the images that are learnt from, shape (n,).
    seed
        Of first weights and order.
    measured
        Whether its logits of the images left out are figures; else they only choose for the other fold.
    """

    name: str
    cases: Cases
    training: Mask
    seed: int
    measured: bool


Logits = dict[str, "Floats"]
"""One fit's logits of every image, by `robustness.CHANGES`: (n,), not a number where nothing was asked."""


@dataclass(frozen=True)
class OutOfFold:
    """What the networks of a cross-validation said of images that they had not seen.

    Attributes
    ----------
    splits
        The cases with each repeat's own folds.
    outer
        By change of the image, the logit by the network that learnt from the other folds; (repeats, n).
    inner
        [r, f] has the logits of the images outside fold f by networks that saw neither them nor f; not a
        number inside fold f; (repeats, folds, n).
    training_auc
        Mean ROC AUC of the measured networks on what they had learnt from.
    """

    splits: Sequence[Cases]
    outer: dict[str, Floats]
    inner: Floats
    training_auc: float

    def rules(self) -> list[list[Rule]]:
        """Fit each repeat's and fold's rule on its training side."""
        return [nested_rules(rows, cases) for rows, cases in zip(self.inner, self.splits, strict=True)]

    def judged(self, change: str = AS_IT_IS) -> list[Judgement]:
        """Judge each repeat, of the images as they are or under a change, by the same rules."""
        parts = zip(self.outer[change], self.splits, self.rules(), strict=True)
        return [judge(logits, cases, rules) for logits, cases, rules in parts]

    def inner_auc(self) -> Floats:
        """ROC AUC on each fold's training side, which chooses an architecture for it: (repeats, folds)."""
        areas = np.empty(self.inner.shape[:2])
        for (repeat, fold), _ in np.ndenumerate(areas):
            cases = self.splits[repeat]
            others = cases.folds != fold
            mine = cases[others]
            said = self.inner[repeat, fold, others]
            areas[repeat, fold] = roc_auc(said, mine.labels, mine.weights[None])[0]
        return areas


def cross_validate(splits: Sequence[Cases], run: Callable[[Fit], Logits], *, seed: int) -> OutOfFold:
    """Run every fit and gather what it said.

    Parameters
    ----------
    splits
        The cases with each repeat's folds.
    run
        Fits once and gives the logits; or finds what the same fit gave before.
    seed
        Of the first fit of the first repeat; the next repeat has the next.
    """
    folds, count = int(splits[0].folds.max()) + 1, len(splits[0])
    outer: dict[str, Floats] = {}
    inner = np.full((len(splits), folds, count), np.nan)
    training_auc = []
    for repeat, cases in enumerate(splits):
        title = f"repeat {repeat + 1}, without fold"
        for fold in range(folds):
            own = cases.folds == fold
            logits = run(Fit(f"{title} {fold + 1}", cases, ~own, seed + repeat, measured=True))
            for change, said in logits.items():
                outer.setdefault(change, np.full((len(splits), count), np.nan))[repeat, own] = said[own]
            seen = cases[~own]
            training_auc.append(roc_auc(logits[AS_IT_IS][~own], seen.labels, seen.weights[None])[0])
        for first, second in combinations(range(folds), 2):
            pair = np.isin(cases.folds, (first, second))
            name = f"{title}s {first + 1} and {second + 1}"
            said = run(Fit(name, cases, ~pair, seed + repeat, measured=False))[AS_IT_IS]
            for judging, judged in ((first, second), (second, first)):
                own = cases.folds == judged
                inner[repeat, judging, own] = said[own]
    return OutOfFold(splits, outer, inner, float(np.mean(training_auc)))


def choose_inside(candidates: Sequence[OutOfFold]) -> list[Judgement]:
    """Judge each fold by the candidate that does best on its training side: the figures of choosing as such.

    A candidate's own figures are slightly too good once it was chosen by them; these are not.
    """
    best = np.argmax([candidate.inner_auc() for candidate in candidates], axis=0)
    judged = [candidate.judged() for candidate in candidates]
    chosen = []
    for repeat, cases in enumerate(candidates[0].splits):
        winner = best[repeat][cases.folds]
        rows = [each[repeat] for each in judged]
        chosen.append(
            Judgement(
                cases,
                np.choose(winner, [row.probabilities for row in rows]),
                np.choose(winner, [row.decisions for row in rows]),
                np.choose(winner, [row.even for row in rows]),
            )
        )
    return chosen
