"""What a training leaves in MLflow, seen through MLflow's own interface."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest
from PIL import Image

from model import data, predictions, registry, tracking
from model import train as training
from model.data import ROOT, DataError
from model.fit import Fitter
from model.recipe import QUICK, TrainingError
from model.robustness import AS_IT_IS, CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import Run

    from model.data import Dataset
    from model.judge import Judgement
    from model.recipe import Recipe
    from model.train import TrainingResult

FITS = [
    *(f"repeat 1, without fold {fold}" for fold in (1, 2, 3)),
    *(f"repeat 1, without folds {pair}" for pair in ("1 and 2", "1 and 3", "2 and 3")),
]


@pytest.fixture
def run(trained: TrainingResult) -> Run:
    return mlflow.get_run(trained.run_id)


def inside(run_id: str) -> dict[str, Run]:
    return {name: mlflow.get_run(child) for name, child in tracking.children(run_id).items()}


def artifact(run: Run, path: str, folder: Path) -> Path:
    to = str(folder)
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path, dst_path=to))


def judged(run: Run) -> list[Judgement]:
    return predictions.read(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{predictions.FILE}"))


def test_every_architecture_has_a_run_inside_and_each_fit_one_inside_that(run: Run, tiny: Recipe) -> None:
    assert (run.info.run_name, run.info.status) == ("training", "FINISHED")
    architectures = inside(run.info.run_id)
    assert set(architectures) == set(tiny.architectures)
    for each in architectures.values():
        fits = inside(each.info.run_id)
        assert sorted(fits) == sorted(FITS)
        assert {fit.info.status for fit in fits.values()} == {"FINISHED"}


def test_a_fits_logits_are_kept_of_every_image_and_change(run: Run, phantoms: Dataset) -> None:
    for architecture in inside(run.info.run_id).values():
        fits = inside(architecture.info.run_id)
        for name in FITS:
            kept = mlflow.artifacts.load_dict(f"runs:/{fits[name].info.run_id}/logits.json")
            measured = "folds" not in name
            assert set(kept) == (set(CHANGES) if measured else {AS_IT_IS})
            assert np.isfinite(kept[AS_IT_IS]).all()
            assert {len(said) for said in kept.values()} == {len(phantoms.scans)}


def test_the_best_has_the_highest_area_under_the_curve(trained: TrainingResult, tiny: Recipe) -> None:
    areas = {name: trained.compared[name]["roc_auc"].value for name in tiny.architectures}
    assert areas[trained.architecture] == max(areas.values())
    assert next(iter(trained.compared)) == trained.architecture


def test_a_model_of_phantoms_is_named_so(trained: TrainingResult, run: Run) -> None:
    assert trained.experiment == "tumor-detector-phantom"
    assert mlflow.get_experiment(run.info.experiment_id).name == "tumor-detector-phantom"
    assert run.data.tags["dataset_kind"] == "phantom"


def test_the_recipe_is_logged(run: Run) -> None:
    logged = run.data.params
    assert (logged["folds"], logged["epochs"], logged["seed"]) == ("3", "4", "0")
    assert {"size", "batch_size", "learning_rate", "weight_decay", "views"} <= set(logged)


def test_each_epochs_losses_are_logged_of_what_learns_whole(run: Run) -> None:
    client = mlflow.MlflowClient()
    for fit in inside(inside(run.info.run_id)["plain_cnn"].info.run_id).values():
        history = client.get_metric_history(fit.info.run_id, "loss")
        assert [metric.step for metric in history] == [1, 2, 3, 4]


def test_the_claimed_figures_are_logged_with_their_intervals(trained: TrainingResult, run: Run) -> None:
    for name, figure in trained.figures.items():
        logged = [run.data.metrics[f"{name}{bound}"] for bound in ("_low", "", "_high")]
        assert logged == [figure.low, figure.value, figure.high]


def test_the_baselines_stand_beside_it(trained: TrainingResult, run: Run) -> None:
    report = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/report.json")
    assert {"majority", "metadata-only forest"} <= set(report["baselines"]) <= set(trained.compared)
    assert len(report["baselines"]) == 4
    assert {"forest_roc_auc_high", "naive_roc_auc", "refused_mri", "largest_fall"} <= set(run.data.metrics)


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
    assert len(commit) == len(head)


@pytest.mark.parametrize(
    "name", ["plots/roc", "plots/calibration", "plots/comparison", "images/worst_mistakes", "images/heatmaps"]
)
def test_the_evidence_is_drawn(run: Run, name: str, tmp_path: Path) -> None:
    with Image.open(artifact(run, f"{name}.png", tmp_path)) as image:
        shown = np.asarray(image.convert("L"))
    assert min(shown.shape) > 200
    assert shown.std() > 5


def test_what_travels_holds_no_picture_of_the_images(run: Run, tmp_path: Path) -> None:
    served = artifact(run, "serving", tmp_path)
    assert sorted(path.name for path in served.iterdir()) == [
        "metadata.json",
        "model-card.md",
        "model.tflite",
    ]


def test_every_image_is_predicted_once_in_each_repeat(run: Run, phantoms: Dataset) -> None:
    (only,) = judged(run)
    assert len(only.cases) == len(phantoms.scans)
    assert set(only.cases.folds) == {0, 1, 2}


def test_no_group_straddles_folds_in_what_was_logged(run: Run) -> None:
    for each in judged(run):
        for group in set(each.cases.groups):
            assert len(set(each.cases.folds[each.cases.groups == group])) == 1


def test_images_of_both_classes_are_held_out(run: Run) -> None:
    held_out = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/holdout.json"))
    assert {row["name"].split("/")[0] for row in held_out} == {"yes", "no"}


def test_the_keras_model_has_a_signature_and_an_example(trained: TrainingResult) -> None:
    logged = mlflow.models.get_model_info(trained.model_uri)
    side = logged.signature.inputs.inputs[0].shape[1]
    assert logged.signature.inputs.inputs[0].shape == (-1, side, side, 1)
    judgement, evidence = (output.shape for output in logged.signature.outputs.inputs)
    assert judgement == (-1, 2)
    assert (evidence[0], evidence[-1]) == (-1, 1)
    assert logged.saved_input_example_info


def test_the_keras_model_loads_and_says_what_was_kept_for_the_export(
    trained: TrainingResult, run: Run, tmp_path: Path
) -> None:
    network = mlflow.tensorflow.load_model(trained.model_uri)
    with np.load(artifact(run, "parity/validation.npz", tmp_path)) as kept:
        judgement, evidence = network.predict(kept["greys"].astype(np.float32) / 255, verbose=0)
        np.testing.assert_allclose(judgement[:, 0], kept["tumour"], atol=1e-4)
        np.testing.assert_allclose(judgement[:, 1], kept["brain"], atol=1e-4)
        np.testing.assert_allclose(evidence[..., 0], kept["evidence"], atol=1e-4)


def test_the_map_of_the_network_that_serves_still_means_its_logit(run: Run, tmp_path: Path) -> None:
    with np.load(artifact(run, "parity/validation.npz", tmp_path)) as kept:
        np.testing.assert_allclose(kept["evidence"].mean(axis=(1, 2)), kept["tumour"], atol=1e-3)


def statuses(experiment: str) -> dict[str, str]:
    runs = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    return {run.info.run_name: run.info.status for run in runs}


@pytest.mark.parametrize(
    ("raised", "status"),
    [(KeyboardInterrupt(), "KILLED"), (TrainingError("the loss became nan"), "FAILED")],
)
def test_a_training_that_is_broken_off_says_so_in_its_runs(
    phantoms: Dataset, tiny: Recipe, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: str
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
        training.train(phantoms, replace(tiny, architectures=("residual_cnn",)))
    # Then all of its runs say how they ended, and the losses so far are kept
    assert statuses(experiment) == {"training": status, "residual_cnn": status, FITS[0]: status}
    (fit,) = mlflow.search_runs(
        experiment_names=[experiment],
        filter_string=f"attributes.run_name = '{FITS[0]}'",
        output_format="list",
    )
    assert fit.data.metrics["loss"] == 0.6
    assert mlflow.active_run() is None


def test_a_fit_whose_answers_are_no_numbers_ends_the_training(
    phantoms: Dataset, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "model_name", lambda _: "diverging")
    wild = replace(tiny, architectures=("plain_cnn",), learning_rate=1e18, weight_decay=0.0)
    with pytest.raises(TrainingError, match=r"diverged. Lower the learning rate"):
        training.train(phantoms, wild)


def test_too_many_folds_for_the_data_are_an_error_before_anything_is_trained(phantoms: Dataset) -> None:
    with pytest.raises(DataError, match="fewer than the 40 folds"):
        training.train(phantoms, replace(QUICK, folds=40))


def test_an_architecture_without_its_weights_is_left_out_and_said(
    phantoms: Dataset, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model.backend import keras  # noqa: PLC0415 - TensorFlow

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to the weights")

    monkeypatch.setattr(keras.applications, "MobileNetV2", unreachable)
    monkeypatch.setattr(training, "model_name", lambda _: "left-out")
    said: list[str] = []
    with pytest.raises(TrainingError, match=r"no architecture can be trained.*no route to the weights"):
        training.train(phantoms, replace(tiny, architectures=("mobilenet_v2",)), say=said.append)
    assert "mobilenet_v2 is left out" in said[0]


def test_a_quick_training_on_the_real_set_beats_the_metadata(
    real: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "model_name", lambda _: "real")
    result = training.train(real, QUICK)
    assert result.figures["roc_auc"].low > result.compared["metadata-only forest"]["roc_auc"].high
    assert result.figures["sensitivity"].value > 0.9


class TestStore:
    def test_the_default_is_sqlite_with_its_artifacts_beside_it(
        self, store: Path, trained: TrainingResult
    ) -> None:
        assert tracking.uri() == f"sqlite:///{store / 'mlflow.db'}"
        run = mlflow.get_run(trained.run_id)
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


def test_a_folder_that_two_classes_share_is_refused(tmp_path: Path, phantoms: Dataset) -> None:
    same = phantoms.scans[0].path.read_bytes()
    for name in ("yes", "no"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(same)
    with pytest.raises(DataError, match="are the same file"):
        data.load(tmp_path)
