"""Cross-validate each architecture, fit the network that would serve, and log all of it to MLflow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import mlflow
import numpy as np
from tqdm import tqdm

from . import record, tracking
from .evaluate import Judgement, evaluate, figures, flat, majority_accuracy, roc_auc
from .fit import Examples, Fitter
from .metadata import describe
from .recipe import ARCHITECTURES, QUICK, THOROUGH, Recipe
from .registry import model_name
from .split import group, plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .data import Dataset, Scan
    from .evaluate import Evaluation, Figure, Floats
    from .split import Cases
    from .tracking import History

SELECTED_BY = "roc_auc"
"""The out-of-fold figure by which the best architecture is chosen: it depends on no threshold."""


@dataclass(frozen=True)
class Candidate:
    """One architecture's trained network and its out-of-fold figures."""

    architecture: str
    run_id: str
    model_uri: str
    figures: dict[str, Figure]


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave, best first."""

    experiment: str
    candidates: tuple[Candidate, ...]
    majority_accuracy: float

    @property
    def best(self) -> Candidate:
        """The candidate with the highest `SELECTED_BY`."""
        return self.candidates[0]


def train(
    dataset: Dataset,
    *,
    quick: bool = False,
    architectures: Sequence[str] = ARCHITECTURES,
    folds: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
) -> TrainingResult:
    """Train every architecture on the same folds; one MLflow run each, with one run per fold inside.

    Parameters
    ----------
    quick
        Smaller images, fewer folds and epochs: about a minute on two cores.
    folds, epochs
        Instead of the recipe's own.
    seed
        Decides the split, the first weights and the augmentation.

    Raises
    ------
    DataError
        When a class has too few independent images for the folds.
    TrackingError
        When the MLflow store cannot be used.
    TrainingError
        When a training diverges.
    """
    basis = QUICK if quick else THOROUGH
    recipe = replace(basis, folds=folds or basis.folds, epochs=epochs or basis.epochs, seed=seed)
    experiment = model_name(dataset)
    tracking.connect()
    tracking.choose_experiment(experiment)
    groups = group((scan.image() for scan in dataset.scans), total=len(dataset.scans))
    cases = plan(dataset.labels, groups, folds=recipe.folds, seed=seed)
    examples = Examples(dataset.pixels(recipe.size), cases)
    with tqdm(total=len(architectures) * (recipe.folds + 1) * recipe.epochs, unit="epoch") as bar:
        candidates = [_candidate(name, dataset, examples, recipe, bar) for name in architectures]
    ranked = sorted(candidates, key=lambda each: each.figures[SELECTED_BY].value, reverse=True)
    return TrainingResult(experiment, tuple(ranked), majority_accuracy(cases[~cases.held_out]))


def _candidate(
    architecture: str, dataset: Dataset, examples: Examples, recipe: Recipe, bar: tqdm[NoReturn]
) -> Candidate:
    """Cross-validate one architecture, then fit the network that would serve, and log both."""
    held_out = examples.cases.held_out
    seen = examples[~held_out]
    with tracking.run(architecture) as run_id:
        record.source(dataset)
        mlflow.log_params({"architecture": architecture, **asdict(recipe)})
        fitter = Fitter(architecture, recipe)
        logits, histories = _cross_validate(fitter, seen, bar, title=architecture)
        measured = evaluate(logits, seen.cases)
        record.evaluation(measured, logits, _chosen(dataset, ~held_out), histories)
        record.holdout(_chosen(dataset, held_out))

        bar.set_description(f"{architecture}, the network that serves")
        _fit(fitter, seen, validation=None, bar=bar)
        served = fitter.logits(examples.pixels)
        metrics = flat(measured.figures) | _held_out_figures(measured, served, examples.cases)
        mlflow.log_metrics(metrics)
        metadata = describe(
            experiment=model_name(dataset),
            run_id=run_id,
            architecture=architecture,
            recipe=recipe,
            dataset=dataset,
            cases=examples.cases,
            evaluation=measured,
            metrics=metrics,
        )
        model_uri = record.network(fitter.network, metadata, examples, served)
    return Candidate(architecture, run_id, model_uri, measured.figures)


def _cross_validate(
    fitter: Fitter, seen: Examples, bar: tqdm[NoReturn], *, title: str
) -> tuple[Floats, list[History]]:
    """Fit each fold in a run of its own; out-of-fold logits, shape (n,), and each fold's losses."""
    logits = np.full(len(seen.cases), np.nan)
    histories = []
    for fold in range(fitter.recipe.folds):
        own = seen.cases.folds == fold
        validation = seen[own]
        bar.set_description(f"{title}, fold {fold + 1} of {fitter.recipe.folds}")
        with tracking.run(f"fold {fold + 1}", nested=True):
            histories.append(_fit(fitter, seen[~own], validation=validation, bar=bar))
            logits[own] = fitter.logits(validation.pixels)
            cases = validation.cases
            mlflow.log_metric("roc_auc", float(roc_auc(logits[own], cases.labels, cases.weights[None])[0]))
    return logits, histories


def _fit(fitter: Fitter, examples: Examples, *, validation: Examples | None, bar: tqdm[NoReturn]) -> History:
    """Fit once from the first weights; show each epoch's losses and log them, also those of a broken fit."""
    history: History = []

    def report(losses: dict[str, float]) -> None:
        history.append(losses)
        bar.update()
        bar.set_postfix_str(f"loss {losses['loss']:.3f}")

    try:
        fitter.fit(examples, validation=validation, report=report)
    finally:
        tracking.log_history(history)
    return history


def _held_out_figures(measured: Evaluation, served: Floats, cases: Cases) -> dict[str, float]:
    """What the network that serves says of the images nothing has seen; and what needs no network at all."""
    probabilities = measured.calibration.probabilities(served[cases.held_out])
    decisions = (probabilities >= measured.threshold).astype(np.int64)
    unseen = figures(Judgement(cases[cases.held_out], probabilities, decisions))
    shown = {f"holdout_{name}": figure.value for name, figure in unseen.items()}
    return shown | {"majority_accuracy": majority_accuracy(cases[~cases.held_out])}


def _chosen(dataset: Dataset, marked: NDArray[np.bool_]) -> list[Scan]:
    return [scan for scan, chosen in zip(dataset.scans, marked, strict=True) if chosen]
