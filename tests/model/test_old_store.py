"""The store of a small training on phantoms, written by release ca49d7b, is read from another folder."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest

from container.predictor import Predictor
from model import tracking
from model.release import golden, registry
from model.release.export import export, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

STORE = Path(__file__).parents[1] / "fixtures" / "ca49d7b" / "mlruns.tar.xz"
NAME = "tumor-detector-phantom"


@pytest.fixture(scope="module")
def old_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The store, moved from where it was written to a path that needs quoting."""
    folder = tmp_path_factory.mktemp("moved") / "100 %20? of it"
    with tarfile.open(STORE) as archive, pytest.MonkeyPatch.context() as patch:
        archive.extractall(folder, filter="data")
        patch.setattr(tracking, "STORE", folder / "mlruns")
        patch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it, and undoing this removes it
        tracking.connect()
        yield folder / "mlruns"
    tracking.connect()


@pytest.fixture(scope="module")
def version(old_store: Path) -> registry.ModelVersion:
    assert old_store.is_dir()
    return registry.find_version(NAME)


def test_the_champion_and_its_metrics_are_found(version: registry.ModelVersion) -> None:
    assert (version.version, version.architecture, version.dataset_kind) == ("1", "plain_cnn", "phantom")
    assert {"roc_auc", "sensitivity", "largest_fall", "refused_mri"} <= set(version.metrics)
    assert registry.trained_on(NAME, fingerprint=version.dataset_fingerprint) == version


def test_its_gates_and_the_reason_for_forcing_it_are_read(version: registry.ModelVersion) -> None:
    outcomes = {outcome["name"]: outcome["passed"] for outcome in version.gates()}
    assert outcomes["not_by_heart"]
    assert not outcomes["sensitivity"]
    tags = mlflow.MlflowClient().get_model_version(version.name, version.version).tags
    assert "too small to pass" in tags[registry.FORCED]


def test_predictions_and_held_out_images_are_read(version: registry.ModelVersion) -> None:
    found = version.scored().predictions
    assert len(found.cases) == 24
    assert set(found.predicted) <= {0, 1}
    assert {image["label"] for image in version.holdout()} == {0, 1}


def test_it_is_exported_and_predicts(version: registry.ModelVersion, tmp_path: Path) -> None:
    artifact = export(version, to=tmp_path / "out")
    assert artifact.metadata["mlflow"]["run_id"] == version.run_id
    predictor = Predictor.load(unpack(artifact.path, to=tmp_path / "model"))
    assert len(golden.golden_answers(predictor)) == len(golden.PHANTOMS)


def test_new_runs_are_stored_beside_the_moved_database(old_store: Path) -> None:
    tracking.choose_experiment(NAME)
    with tracking.run("new") as run_id:
        mlflow.log_text("content", "file.txt")
    assert (old_store / "artifacts" / run_id / "artifacts" / "file.txt").is_file()
    tracking.connect()  # again: nothing is left to relocate
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/file.txt") == "content"
