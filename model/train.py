"""Compare architectures on the same folds, choose one, fit what serves, and log all of it to MLflow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, NoReturn

import mlflow
from tqdm import tqdm

from . import pretrain, record, tracking
from .baselines import BASELINES
from .crossval import Fit, Logits, choose_inside, cross_validate
from .data import model_name
from .evaluate import figures
from .finish import finish
from .fits import Fits
from .imagenet import WeightsError
from .learner import Learner, learner
from .recipe import TrainingError
from .robustness import AS_IT_IS
from .study import Candidate, Study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .baselines import Baseline
    from .data import Dataset
    from .evaluate import Figures
    from .judge import Judgement
    from .recipe import Recipe

SELECTED_BY = "roc_auc"
"""The out-of-fold figure by which an architecture is chosen: it depends on no threshold."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave.

    Attributes
    ----------
    figures
        Those that are claimed: of choosing an architecture inside each fold.
    compared
        Each architecture's own, best first, then each baseline's.
    left_out
        Architectures that could not be trained, and why.
    """

    experiment: str
    run_id: str
    architecture: str
    model_uri: str
    figures: Figures
    compared: dict[str, Figures]
    left_out: dict[str, str]


def train(
    dataset: Dataset,
    recipe: Recipe,
    *,
    pretrain_on: Path | str | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> TrainingResult:
    """Compare the recipe's architectures and fit the best one to serve.

    The training is one MLflow run; each architecture is a run inside it, and each fit a run inside that.

    Parameters
    ----------
    pretrain_on
        Folder of class folders that trunks learn from first; see `pretrain`.
    resume
        Go on with the last training of these images by this recipe: its finished fits are not done again.
    say
        Takes lines for people.

    Raises
    ------
    DataError
        When a class has too few independent images for the folds, or a folder cannot be learnt from.
    TrackingError
        When the MLflow store cannot be used.
    TrainingError
        When a training diverges, or no architecture can be trained.
    """
    experiment = model_name(dataset)
    tracking.connect()
    tracking.choose_experiment(experiment)
    study = Study.of(dataset, recipe, pretrain_on=pretrain_on)
    if study.typed:
        say(f"Pretraining: {study.typed.summary()}; {study.copies} more resemble a labelled image: left out")
    before = tracking.latest({"training": study.fingerprint}) if resume else None
    if resume and before is None:
        say("There is no training of these images by this recipe to go on with: this one starts afresh.")
    with tracking.run("training", resumed=before) as run_id:
        mlflow.set_tag("training", study.fingerprint)
        record.source(dataset)
        mlflow.log_params({name: str(value) for name, value in asdict(recipe).items()})
        candidates, left_out = _candidates(study, tracking.children(run_id), say)
        ranked = sorted(candidates, key=lambda each: -each.figures[SELECTED_BY].value)
        baselines = _baselines(study)
        say(f"{ranked[0].architecture} is chosen; measuring it further and fitting the network that serves")
        judged = choose_inside([each.out_of_fold for each in candidates])
        compared = {each.architecture: each.figures for each in ranked}
        model_uri = finish(
            study, ranked[0], rivals=compared, baselines=baselines, judged=judged, run_id=run_id
        )
    return TrainingResult(
        experiment,
        run_id,
        ranked[0].architecture,
        model_uri,
        figures(judged),
        compared | {name: figures(rows) for name, rows in baselines.items()},
        left_out,
    )


def _candidates(
    study: Study, begun: dict[str, str], say: Callable[[str], None]
) -> tuple[list[Candidate], dict[str, str]]:
    """Cross-validate every architecture whose first weights can be had; say which cannot, and why."""
    recipe = study.recipe
    fits = recipe.repeats * recipe.folds * (recipe.folds + 1) // 2
    candidates, left_out = [], {}
    with tqdm(total=len(recipe.architectures) * fits, unit="fit", smoothing=0.05) as bar:
        for architecture in recipe.architectures:
            try:
                candidates.append(_candidate(architecture, study, begun.get(architecture), bar))
            except WeightsError as error:
                left_out[architecture] = str(error)
                say(f"{architecture} is left out: {error}")
                bar.update(fits)  # they will not be done
    if not candidates:
        raise TrainingError("no architecture can be trained: " + " ".join(left_out.values()))
    return candidates, left_out


def _candidate(architecture: str, study: Study, begun: str | None, bar: tqdm[NoReturn]) -> Candidate:
    recipe = study.recipe

    @cache
    def make() -> Learner:
        trunk = partial(pretrain.start, architecture, study.typed, recipe)
        return learner(architecture, study.pictures, recipe, start=trunk)

    with tracking.run(architecture, nested=True, resumed=begun) as run_id:
        mlflow.log_param("architecture", architecture)
        fits = Fits(make, finished=tracking.children(run_id, finished=True), bar=bar, title=architecture)
        out_of_fold = cross_validate(study.splits, fits, seed=recipe.seed)
        judged = out_of_fold.judged()
        measured = figures(judged)
        record.evaluation(judged, measured, study.dataset.scans, fits.histories)
    return Candidate(architecture, run_id, out_of_fold, measured, make)


def _baselines(study: Study) -> dict[str, list[Judgement]]:
    """Judge by what needs no network, on the same folds and in the same way."""
    judged = {}
    for name, make in tqdm(BASELINES.items(), desc="baselines", unit="baseline", leave=False):
        run = partial(_ask, make(study.dataset.scans))
        judged[name] = cross_validate(study.splits, run, seed=study.recipe.seed).judged()
    return judged


def _ask(baseline: Baseline, fit: Fit) -> Logits:
    return {AS_IT_IS: baseline.scores(fit.training, fit.cases, fit.seed)}
