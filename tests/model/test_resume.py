"""A training that was stopped goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import pytest

from model import tracking
from model import train as training
from model.fit import Fitter

if TYPE_CHECKING:
    from model.data import Dataset
    from model.learner import Mask, Report
    from model.network import Head
    from model.recipe import Recipe
    from model.split import Cases
    from model.train import TrainingResult

FITS, STOPPED_IN = 6, 3
"""Three folds and three pairs; the first two fits are finished before one is stopped."""


class Fitted:
    """Counts the fits that learn, by their seed, and stops one of them."""

    def __init__(self, *, stop_in: int | None = None, by: BaseException | None = None) -> None:
        self.count, self._stop_in, self._by = 0, stop_in, by

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Count in place of `Fitter.fit`, which goes on learning."""
        learn = Fitter.fit

        def fit(fitter: Fitter, cases: Cases, training: Mask, *, seed: int, report: Report) -> Head:
            self.count += 1
            if self.count == self._stop_in and self._by:
                raise self._by
            return learn(fitter, cases, training, seed=seed, report=report)

        patch.setattr(Fitter, "fit", fit)


@pytest.fixture
def recipe(tiny: Recipe) -> Recipe:
    return replace(tiny, architectures=("plain_cnn",), epochs=2, size=32)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Keep each test to an experiment of its own, and end trainings where their figures are known."""
    monkeypatch.setattr(training, "model_name", lambda _: f"resume-{request.node.name}")
    monkeypatch.setattr(training, "finish", lambda *_, **__: "models:/none")


def run(dataset: Dataset, recipe: Recipe, *, fitted: Fitted, resume: bool) -> TrainingResult:
    with pytest.MonkeyPatch.context() as patch:
        fitted.patch(patch)
        return training.train(dataset, recipe, resume=resume, say=lambda _: None)


def stop(dataset: Dataset, recipe: Recipe, by: BaseException) -> None:
    with pytest.raises(type(by)):
        run(dataset, recipe, fitted=Fitted(stop_in=STOPPED_IN, by=by), resume=False)


@pytest.mark.parametrize("by", [KeyboardInterrupt(), OSError("no space left")], ids=["ctrl-c", "failure"])
def test_finished_fits_are_not_done_again_and_the_figures_are_those_of_one_go(
    phantoms: Dataset, recipe: Recipe, by: BaseException
) -> None:
    # Given a training that was stopped in its third fit
    stop(phantoms, recipe, by)
    # When it is resumed
    rest = Fitted()
    resumed = run(phantoms, recipe, fitted=rest, resume=True)
    # Then only the others are fitted, and the network's figures are as if it had gone through
    assert rest.count == FITS - (STOPPED_IN - 1)
    whole = Fitted()
    in_one_go = run(phantoms, recipe, fitted=whole, resume=False)
    assert whole.count == FITS
    assert resumed.run_id != in_one_go.run_id
    assert resumed.figures == in_one_go.figures
    assert resumed.compared["plain_cnn"] == in_one_go.compared["plain_cnn"]


def test_it_is_the_same_run_that_goes_on(phantoms: Dataset, recipe: Recipe) -> None:
    stop(phantoms, recipe, KeyboardInterrupt())
    resumed = run(phantoms, recipe, fitted=Fitted(), resume=True)
    (only,) = mlflow.search_runs(
        experiment_names=[resumed.experiment],
        filter_string="attributes.run_name = 'training'",
        output_format="list",
    )
    assert (only.info.run_id, only.info.status) == (resumed.run_id, "FINISHED")
    (architecture,) = tracking.children(resumed.run_id).values()
    assert len(tracking.children(architecture, finished=True)) == FITS


def test_a_fit_whose_process_was_killed_is_done_again(phantoms: Dataset, recipe: Recipe) -> None:
    # Given a training of which one fit and the runs around it never came to say how they ended
    done = run(phantoms, recipe, fitted=Fitted(), resume=False)
    (architecture,) = tracking.children(done.run_id).values()
    killed = next(iter(tracking.children(architecture).values()))
    for each in (killed, architecture, done.run_id):
        mlflow.MlflowClient().update_run(each, status="RUNNING")
    # When it is resumed, Then this fit alone is done again
    again = Fitted()
    resumed = run(phantoms, recipe, fitted=again, resume=True)
    assert again.count == 1
    assert (resumed.run_id, resumed.figures) == (done.run_id, done.figures)


def test_who_resumes_what_was_never_begun_is_told(phantoms: Dataset, recipe: Recipe) -> None:
    # Given a stopped training by another recipe
    stop(phantoms, replace(recipe, seed=1), KeyboardInterrupt())
    # When one by this recipe is to be resumed, Then nothing of the other is taken and it is said
    said: list[str] = []
    fitted = Fitted()
    with pytest.MonkeyPatch.context() as patch:
        fitted.patch(patch)
        training.train(phantoms, recipe, resume=True, say=said.append)
    assert fitted.count == FITS
    assert any("no training of these images by this recipe" in line for line in said)


def test_without_resume_everything_is_fitted_anew(phantoms: Dataset, recipe: Recipe) -> None:
    stop(phantoms, recipe, KeyboardInterrupt())
    fitted = Fitted()
    run(phantoms, recipe, fitted=fitted, resume=False)
    assert fitted.count == FITS
