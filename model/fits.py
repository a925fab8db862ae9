"""The fits of one architecture, each a run inside its run: what is finished is never done again."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import mlflow
import numpy as np

from . import tracking
from .evaluate import roc_auc
from .recipe import TrainingError
from .robustness import AS_IT_IS, CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from tqdm import tqdm

    from .crossval import Fit, Floats, Logits
    from .learner import Learner
    from .tracking import History

LOGITS = "logits.json"


class Fits:
    """Runs a cross-validation's fits inside the run that is open, or finds what they gave before.

    Parameters
    ----------
    learner
        Makes the learner, once, when the first fit needs it.
    finished
        Ids of the runs of fits that need not be done again, by their names.
    bar
        Moves on by one for each fit.
    """

    def __init__(
        self, learner: Callable[[], Learner], *, finished: dict[str, str], bar: tqdm[NoReturn], title: str
    ) -> None:
        self._learner = learner
        self._finished = finished
        self._bar = bar
        self._title = title
        self.histories: list[History] = []

    def __call__(self, fit: Fit) -> Logits:
        """Give the logits of every image by one fit.

        Raises
        ------
        TrainingError
            When the fit diverges.
        """
        self._bar.set_description(f"{self._title}, {fit.name}")
        before = self._finished.get(fit.name)
        logits = _load(before) if before else self._run(fit)
        self._bar.update()
        return logits

    def _run(self, fit: Fit) -> Logits:
        learner = self._learner()
        with tracking.run(fit.name, nested=True):
            history: History = []
            try:
                head = learner.fit(fit.cases, fit.training, seed=fit.seed, report=history.append)
            finally:
                tracking.log_history(history)
            everything = np.ones(len(fit.cases), dtype=bool)
            logits = {AS_IT_IS: head.logits(learner.features(AS_IT_IS, everything))}
            if not np.isfinite(logits[AS_IT_IS]).all():
                raise TrainingError(
                    f"{self._title}, {fit.name}: the network's answers are no numbers, its training "
                    "diverged. Lower the learning rate."
                )
            if fit.measured:
                self.histories.append(history)
                logits |= {
                    change: _spread(head.logits(learner.features(change, ~fit.training)), ~fit.training)
                    for change in CHANGES
                    if change != AS_IT_IS
                }
            mlflow.log_metrics(_areas(fit, logits[AS_IT_IS]))
            mlflow.log_dict({change: said.tolist() for change, said in logits.items()}, LOGITS)
        return logits


def _spread(values: Floats, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """Put values where `chosen` marks, and no number elsewhere."""
    spread = np.full(len(chosen), np.nan)
    spread[chosen] = values
    return spread


def _areas(fit: Fit, logits: Floats) -> dict[str, float]:
    parts = {"roc_auc": ~fit.training, "training_roc_auc": fit.training}
    return {
        name: float(roc_auc(logits[own], fit.cases.labels[own], fit.cases.weights[None, own])[0])
        for name, own in parts.items()
    }


def _load(run_id: str) -> Logits:
    kept = cast("dict[str, list[float]]", mlflow.artifacts.load_dict(f"runs:/{run_id}/{LOGITS}"))
    return {change: np.array(said, dtype=np.float64) for change, said in kept.items()}
