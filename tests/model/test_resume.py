"""An interrupted training resumes where it stopped, with the same result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import pytest

from model import tracking
from model.training import train as training
from model.training.learner import Learner

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.data.dataset import Dataset
    from model.training.config import Recipe
    from model.training.train import TrainingResult

FITS, STOPPED_IN = 13, 8
"""Three folds and three pairs, then four sources and three pairs; those before the eighth are finished."""


@pytest.fixture
def recipe(tiny: Recipe) -> Recipe:
    return replace(tiny, architecture="linear_probe", steps=20, size=32)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Give each test an experiment of its own, and end trainings before the final fit."""
    monkeypatch.setattr(training, "model_name", lambda _: f"resume-{request.node.name}")
    monkeypatch.setattr(training, "fit_and_log", lambda *_, **__: "models:/none")


def run(
    sources: Dataset, recipe: Recipe, *, resume: bool = False, stop: BaseException | None = None
) -> tuple[TrainingResult, int, list[str]]:
    """Train, and return the number of fits that ran and what was printed; `stop` is raised in one."""
    fits: list[object] = []
    printed: list[str] = []
    learn: Callable[..., None] = Learner.fit

    def fit(*given: object, **named: object) -> None:
        fits.append(given)
        if stop and len(fits) == STOPPED_IN:
            raise stop
        learn(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "fit", fit)
        result = training.train(sources, recipe, resume=resume, echo=printed.append)
    return result, len(fits), printed


@pytest.mark.slow
def test_resuming_repeats_no_finished_fit_and_gives_the_same_metrics(
    sources: Dataset, recipe: Recipe
) -> None:
    # Given a training that was stopped in a fit without a source
    with pytest.raises(KeyboardInterrupt):
        run(sources, recipe, stop=KeyboardInterrupt())
    # When it is resumed
    resumed, repeated, _ = run(sources, recipe, resume=True)
    # Then only the other fits run, in the same run, and the metrics equal those of an uninterrupted one
    assert repeated == FITS - (STOPPED_IN - 1)
    (only,) = mlflow.search_runs(
        experiment_names=[resumed.experiment],
        filter_string="attributes.run_name = 'training'",
        output_format="list",
    )
    assert (only.info.run_id, only.info.status) == (resumed.run_id, "FINISHED")
    whole, every, _ = run(sources, recipe)
    assert every == FITS
    assert resumed.run_id != whole.run_id
    assert (resumed.estimates, resumed.forest) == (whole.estimates, whole.forest)
    assert resumed.left_out is not None
    assert whole.left_out is not None
    assert resumed.left_out.metrics() == whole.left_out.metrics()


@pytest.mark.slow
def test_a_fit_whose_process_was_killed_is_repeated(sources: Dataset, recipe: Recipe) -> None:
    # Given a training of which one fit and its parent run never ended
    done, _, _ = run(sources, recipe)
    killed = next(iter(tracking.children(done.run_id).values()))
    for each in (killed, done.run_id):
        mlflow.MlflowClient().update_run(each, status="RUNNING")
    # When it is resumed, then only this fit is repeated
    resumed, repeated, _ = run(sources, recipe, resume=True)
    assert repeated == 1
    assert (resumed.run_id, resumed.estimates) == (done.run_id, done.estimates)


@pytest.mark.slow
def test_resuming_without_a_matching_training_starts_anew(sources: Dataset, recipe: Recipe) -> None:
    # Given a stopped training by another recipe
    with pytest.raises(KeyboardInterrupt):
        run(sources, replace(recipe, seed=1), stop=KeyboardInterrupt())
    # When one by this recipe is resumed, then it starts anew
    _, fits, printed = run(sources, recipe, resume=True)
    assert fits == FITS
    assert any("No training with these images" in line for line in printed)
