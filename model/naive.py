"""What a careless split would have claimed of the same network, as most papers on such sets do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedKFold

from .evaluate import figures
from .judge import fit_rule, judge
from .robustness import AS_IT_IS
from .split import Cases

if TYPE_CHECKING:
    from .data import Dataset
    from .evaluate import Figures
    from .learner import Learner

FOLDS = 5


def naive_figures(dataset: Dataset, cases: Cases, learner: Learner, *, seed: int) -> Figures:
    """Cross-validate over all files, copies included, as if each were independent.

    Calibration and thresholds of a fold come from the other folds' files, with no nesting.
    """
    place = {scan.name: number for number, scan in enumerate(dataset.scans)}
    copies = [place[original] for _, original in dataset.copies]
    files = np.array([*range(len(cases)), *copies])
    labels = cases.labels[files]
    logits, folds = np.empty(len(files)), np.empty(len(files), dtype=np.int64)
    everything = np.ones(len(cases), dtype=bool)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (learnt, judged) in enumerate(splitter.split(files, labels)):
        training = np.isin(np.arange(len(cases)), files[learnt])
        head = learner.fit(cases, training, seed=seed, report=lambda _: None)
        logits[judged] = head.logits(learner.features(AS_IT_IS, everything))[files[judged]]
        folds[judged] = fold
    alone = Cases(labels, np.arange(len(files)), folds, np.ones(len(files)))
    rules = [fit_rule(logits[folds != fold], alone[folds != fold]) for fold in range(FOLDS)]
    return figures([judge(logits, alone, rules)])
