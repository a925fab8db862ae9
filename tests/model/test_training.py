"""What a training leaves in MLflow, seen through MLflow's own interface."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest
from PIL import Image

from model import registry, tracking
from model import train as training
from model.data import ROOT, DataError
from model.fit import Fitter
from model.recipe import ARCHITECTURES, TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import Run

    from model.data import Dataset
    from model.fit import Examples
    from model.split import Cases
    from model.train import Candidate, TrainingResult


@pytest.fixture(params=range(len(ARCHITECTURES)))
def candidate(request: pytest.FixtureRequest, trained: TrainingResult) -> Candidate:
    place: int = request.param
    return trained.candidates[place]


@pytest.fixture
def run(candidate: Candidate) -> Run:
    return mlflow.get_run(candidate.run_id)


def folds_of(run: Run) -> list[Run]:
    client = mlflow.MlflowClient()
    query = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    return list(client.search_runs([run.info.experiment_id], query, order_by=["attributes.start_time"]))


def artifact(run: Run, path: str, folder: Path) -> Path:
    to = str(folder)
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path, dst_path=to))


def predictions(run: Run, folder: Path) -> list[dict[str, str]]:
    with artifact(run, "predictions.csv", folder).open() as rows:
        return list(csv.DictReader(rows))


def test_every_architecture_has_a_run_and_each_fold_one_inside(candidate: Candidate, run: Run) -> None:
    assert run.info.run_name == candidate.architecture
    assert run.info.status == "FINISHED"
    assert [fold.info.run_name for fold in folds_of(run)] == ["fold 1", "fold 2"]


def test_the_best_has_the_highest_area_under_the_curve(trained: TrainingResult) -> None:
    assert {each.architecture for each in trained.candidates} == set(ARCHITECTURES)
    assert trained.best.figures["roc_auc"].value == max(
        each.figures["roc_auc"].value for each in trained.candidates
    )


def test_a_model_of_phantoms_is_named_so(trained: TrainingResult, run: Run) -> None:
    assert trained.experiment == "tumor-detector-phantom"
    assert mlflow.get_experiment(run.info.experiment_id).name == "tumor-detector-phantom"
    assert run.data.tags["dataset_kind"] == "phantom"


def test_the_recipe_is_logged(candidate: Candidate, run: Run) -> None:
    logged = run.data.params
    assert logged["architecture"] == candidate.architecture
    assert (logged["folds"], logged["epochs"], logged["seed"]) == ("2", "5", "0")
    assert {"size", "batch_size", "learning_rate", "weight_decay"} <= set(logged)


def test_each_epochs_losses_are_logged(run: Run) -> None:
    client = mlflow.MlflowClient()
    for each in (run, *folds_of(run)):
        history = client.get_metric_history(each.info.run_id, "loss")
        assert [metric.step for metric in history] == [1, 2, 3, 4, 5]
    for fold in folds_of(run):
        assert client.get_metric_history(fold.info.run_id, "val_loss")


def test_the_figures_are_logged_with_their_intervals(candidate: Candidate, run: Run) -> None:
    for name, figure in candidate.figures.items():
        logged = [run.data.metrics[f"{name}{bound}"] for bound in ("_low", "", "_high")]
        assert logged == [figure.low, figure.value, figure.high]


def test_the_data_set_is_logged_as_mlflows_own(run: Run, phantoms: Dataset) -> None:
    (logged,) = run.inputs.dataset_inputs  # type: ignore[union-attr]
    assert logged.dataset.name == "phantom"
    assert phantoms.fingerprint.startswith(logged.dataset.digest)
    assert run.data.tags["dataset_fingerprint"] == phantoms.fingerprint


def test_the_codes_revision_is_logged(run: Run) -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    if not head:
        pytest.skip("this is no git checkout")
    commit = run.data.tags["mlflow.source.git.commit"].removesuffix("-dirty")
    assert commit == head


@pytest.mark.parametrize("name", ["loss", "roc", "confusion_matrix", "calibration", "worst_mistakes"])
def test_the_evidence_is_drawn(run: Run, name: str, tmp_path: Path) -> None:
    with Image.open(artifact(run, f"plots/{name}.png", tmp_path)) as image:
        shown = np.asarray(image.convert("L"))
    assert min(shown.shape) > 300
    assert shown.std() > 5


def test_every_image_is_predicted_once_or_held_out(run: Run, phantoms: Dataset, tmp_path: Path) -> None:
    predicted = [row["name"] for row in predictions(run, tmp_path)]
    held_out = [row["name"] for row in json.loads(artifact(run, "holdout.json", tmp_path).read_text())]
    assert sorted(predicted + held_out) == sorted(scan.name for scan in phantoms.scans)
    assert {name.split("/")[0] for name in held_out} == {"yes", "no"}


def test_no_group_straddles_folds_in_what_was_logged(run: Run, tmp_path: Path) -> None:
    folds_of_group: dict[str, set[str]] = {}
    for row in predictions(run, tmp_path):
        folds_of_group.setdefault(row["group"], set()).add(row["fold"])
    assert all(len(folds) == 1 for folds in folds_of_group.values())
    assert set().union(*folds_of_group.values()) == {"0", "1"}


def test_the_keras_model_has_a_signature_and_an_example(candidate: Candidate) -> None:
    logged = mlflow.models.get_model_info(candidate.model_uri)
    assert logged.signature.inputs.inputs[0].shape == (-1, 64, 64, 1)
    assert [output.shape for output in logged.signature.outputs.inputs] == [(-1, 1), (-1, 4, 4, 1)]
    assert logged.saved_input_example_info


def test_the_keras_model_loads_and_says_what_was_kept_for_the_export(
    candidate: Candidate, run: Run, tmp_path: Path
) -> None:
    network = mlflow.tensorflow.load_model(candidate.model_uri)
    with np.load(artifact(run, "parity/validation.npz", tmp_path)) as kept:
        logits = network.predict(kept["greys"].astype(np.float32) / 255, verbose=0)[0][:, 0]
        np.testing.assert_allclose(logits, kept["logits"], atol=1e-4)


def statuses(experiment: str) -> dict[str, str]:
    runs = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    return {run.info.run_name: run.info.status for run in runs}


@pytest.mark.parametrize(
    ("raised", "status"),
    [(KeyboardInterrupt(), "KILLED"), (TrainingError("the loss became nan"), "FAILED")],
)
def test_a_training_that_is_broken_off_says_so_in_its_runs(
    phantoms: Dataset, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: str
) -> None:
    # Given a training that breaks off after two epochs
    def broken(fitter: Fitter, *_: object, report: Callable[[dict[str, float]], None], **__: object) -> None:
        report({"loss": 0.7})
        report({"loss": 0.6})
        raise raised

    experiment = f"broken-{status}"
    monkeypatch.setattr(Fitter, "fit", broken)
    monkeypatch.setattr(training, "model_name", lambda _: experiment)
    # When it runs
    with pytest.raises(type(raised)):
        training.train(phantoms, quick=True, folds=2, architectures=["residual_cnn"])
    # Then both of its runs say how they ended, and the losses so far are kept
    assert statuses(experiment) == {"residual_cnn": status, "fold 1": status}
    (fold,) = mlflow.search_runs(
        experiment_names=[experiment], filter_string="attributes.run_name = 'fold 1'", output_format="list"
    )
    assert fold.data.metrics["loss"] == 0.6
    assert mlflow.active_run() is None


def test_too_many_folds_for_the_data_are_an_error_before_anything_is_trained(phantoms: Dataset) -> None:
    with pytest.raises(DataError, match="fewer than the 40 folds"):
        training.train(phantoms, quick=True, folds=40)


def test_a_quick_training_on_the_real_set_beats_chance(
    real: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "model_name", lambda _: "real")
    result = training.train(real, quick=True, architectures=["residual_cnn"])
    assert result.best.figures["balanced_accuracy"].low > 0.5
    assert result.best.figures["roc_auc"].low > 0.6


class TestStore:
    def test_the_default_is_sqlite_with_its_artifacts_beside_it(
        self, store: Path, trained: TrainingResult
    ) -> None:
        assert tracking.uri() == f"sqlite:///{store / 'mlflow.db'}"
        run = mlflow.get_run(trained.best.run_id)
        assert run.info.artifact_uri.startswith((store / "artifacts").as_uri())

    def test_the_environment_names_another(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
        try:
            tracking.connect()
            tracking.choose_experiment("elsewhere")
            with tracking.run("a run"):
                pass
            assert statuses("elsewhere") == {"a run": "FINISHED"}
            assert (tmp_path / "other.db").is_file()
        finally:
            monkeypatch.undo()
            tracking.connect()
        assert mlflow.get_experiment_by_name("elsewhere") is None

    def test_a_server_that_does_not_answer_is_one_clear_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(tracking.TrackingError, match=r"127\.0\.0\.1:9 cannot be reached.*unset it"):
            registry.champion()
        monkeypatch.undo()
        tracking.connect()


def test_no_fit_sees_what_it_is_judged_by(phantoms: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a training whose fits are watched
    fits: list[tuple[Cases, Cases | None]] = []
    fit = Fitter.fit

    def watched(
        self: Fitter, examples: Examples, *, validation: Examples | None, report: Callable[..., None]
    ) -> None:
        fits.append((examples.cases, validation.cases if validation else None))
        fit(self, examples, validation=validation, report=report)

    monkeypatch.setattr(Fitter, "fit", watched)
    # When one architecture is trained
    training.train(phantoms, quick=True, architectures=["plain_cnn"], folds=2, epochs=1)
    # Then no held-out image is in any fit, and no fold's fit has a group that the fold is judged by
    assert len(fits) == 3
    for learnt, judged in fits:
        assert not learnt.held_out.any()
        if judged is not None:
            assert not set(learnt.groups) & set(judged.groups)
            assert not judged.held_out.any()
    # And the network that serves learns from all that the folds learnt from
    (first, judged), (last, nothing) = fits[0], fits[-1]
    assert judged is not None
    assert nothing is None
    assert len(last) == len(first) + len(judged)
