"""Measure an architecture by folds and on sources left out, fit it to serve, and log everything to MLflow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import mlflow
import numpy as np
from tqdm import tqdm

from model import tracking
from model.data.dataset import model_name
from model.data.perturbations import PERTURBATIONS, UNCHANGED
from model.evaluation.baselines import metadata_forest
from model.evaluation.crossval import cross_validate
from model.evaluation.left_out import leave_sources_out
from model.evaluation.metrics import estimates, roc_auc
from model.networks.architectures import Encoder
from model.networks.imagenet import WeightsError
from model.training import mlflow_logging
from model.training.config import TrainingError
from model.training.final_fit import fit_and_log
from model.training.learner import Learner
from model.training.plan import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from model.arrays import Floats, Mask
    from model.data.cases import Cases
    from model.data.dataset import Dataset
    from model.evaluation.baselines import ForestScores
    from model.evaluation.crossval import Fit, Logits, OutOfFold
    from model.evaluation.left_out import LeftOutSources
    from model.evaluation.metrics import Estimates
    from model.training.config import Recipe

LOGITS = "logits.json"


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training."""

    experiment: str
    run_id: str
    architecture: str
    model_uri: str
    estimates: Estimates  # out of fold
    forest: Estimates  # of the metadata forest, likewise
    left_out: LeftOutSources | None  # None where too few sources have both classes


def train(
    dataset: Dataset,
    recipe: Recipe,
    *,
    related: Mapping[str, frozenset[str]] | None = None,
    resume: bool = False,
    echo: Callable[[str], None] = print,
) -> TrainingResult:
    """Measure the recipe's architecture and fit it to serve.

    A training is one MLflow run, with a child run for each fit. With `resume`, the last training with the
    same images, recipe and code continues, and finished fits are not repeated. `related` names, by source,
    those that may show the same patients; `echo` prints progress.

    Raises
    ------
    DataError, TrackingError, TrainingError
        When a class has too few independent images for the folds, or a folder cannot be used; when the MLflow
        store cannot be used; when a training diverges, or the ImageNet weights cannot be read.
    """
    experiment = model_name(dataset)
    tracking.connect()
    tracking.choose_experiment(experiment)
    plan = TrainingPlan.of(dataset, recipe, related=related)
    before = tracking.latest({"training": plan.fingerprint}) if resume else None
    if resume and before is None:
        echo("No training with these images, this recipe and this code can be resumed: starting a new one.")
    with tracking.run("training", resumed=before) as run_id:
        mlflow.set_tag("training", plan.fingerprint)
        mlflow_logging.log_source(dataset)
        mlflow.log_params({name: str(value) for name, value in asdict(recipe).items()})
        try:
            encoder = Encoder(recipe.size)
        except WeightsError as error:
            raise TrainingError(str(error)) from error
        learner = Learner(plan.images, encoder, recipe, sources=plan.sources)
        finished = tracking.children(run_id, finished=True)
        out_of_fold, left_out = _measure(plan, learner, finished=finished)
        echo("Measuring the metadata forest")
        run_forest = partial(_forest_logits, metadata_forest(dataset.scans), plan)
        forest = cross_validate(plan.cases, run_forest).predictions()
        forest_left_out = leave_sources_out(plan.leave_out, run_forest, facts=plan.facts)
        echo("Fitting the network that serves")
        model_uri = fit_and_log(
            plan,
            learner,
            out_of_fold,
            left_out,
            forest=forest,
            forest_left_out=forest_left_out,
            run_id=run_id,
        )
    return TrainingResult(
        experiment,
        run_id,
        recipe.architecture,
        model_uri,
        estimates(out_of_fold.predictions()),
        estimates(forest),
        left_out,
    )


def _measure(
    plan: TrainingPlan, learner: Learner, *, finished: dict[str, str]
) -> tuple[OutOfFold, LeftOutSources | None]:
    """Cross-validate the architecture, and leave each source out.

    `finished` holds the run ids of finished fits by name, whose logits are loaded.
    """
    folds = plan.recipe.folds
    count = folds * (folds + 1) // 2 + plan.leave_out.fits
    with tqdm(total=count, unit="fit", smoothing=0.05, disable=None) as bar:

        def run(fit: Fit) -> Logits:
            bar.set_description(fit.name)
            before = finished.get(fit.name)
            logits = _load(before) if before else _run(fit, plan, learner)
            bar.update()
            return logits

        out_of_fold = cross_validate(plan.cases, run)
        left_out = leave_sources_out(
            plan.leave_out, run, facts=plan.facts, out_of_fold=out_of_fold.outer[UNCHANGED]
        )
    return out_of_fold, left_out


def _forest_logits(forest: ForestScores, plan: TrainingPlan, fit: Fit) -> Logits:
    return {UNCHANGED: forest(fit.training, plan.cases, plan.recipe.seed)}


def _run(fit: Fit, plan: TrainingPlan, learner: Learner) -> Logits:
    """Run one fit as a child of the open run, and return its logits of every image."""
    with tracking.run(fit.name, nested=True):
        learner.fit(plan.cases, fit.training, seed=plan.recipe.seed, on_epoch=_log_loss)
        logits = {UNCHANGED: learner.logits()}
        if not np.isfinite(logits[UNCHANGED]).all():
            raise TrainingError(
                f"{fit.name}: the network's logits are not finite, the training diverged. "
                "Lower the learning rate."
            )
        if fit.outer:
            logits |= _perturbed_logits(learner, plan.perturbed & ~fit.training)
        if fit.locate:
            logits |= learner.locate(~fit.training)
        mlflow.log_metrics(_areas(logits[UNCHANGED], plan.cases, fit.training))
        mlflow.log_dict({name: values.tolist() for name, values in logits.items()}, LOGITS)
    return logits


def _log_loss(epoch: int, loss: float) -> None:
    mlflow.log_metric("loss", loss, step=epoch)


def _perturbed_logits(learner: Learner, tested: Mask) -> Logits:
    """Logits of the tested images under each perturbation, NaN of the others."""
    chosen = np.flatnonzero(tested)
    logits = {name: np.full(len(tested), np.nan) for name in PERTURBATIONS if name != UNCHANGED}
    if len(chosen):
        for name, values in logits.items():
            values[chosen] = learner.logits(name, chosen)
    return logits


def _areas(logits: Floats, cases: Cases, training: Mask) -> dict[str, float]:
    parts = {"roc_auc": ~training, "training_roc_auc": training}
    return {
        name: float(roc_auc(logits[own], cases.labels[own], cases.weights[None, own])[0])
        for name, own in parts.items()
    }


def _load(run_id: str) -> Logits:
    kept = cast("dict[str, list[float]]", mlflow.artifacts.load_dict(f"runs:/{run_id}/{LOGITS}"))
    return {name: np.array(values, dtype=np.float64) for name, values in kept.items()}
