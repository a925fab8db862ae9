from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import pytest

from model import data, registry
from model.registry import RegistryError

if TYPE_CHECKING:
    from model.data import Dataset
    from model.registry import Champion
    from model.train import TrainingResult


def test_the_best_candidate_is_crowned(
    trained: TrainingResult, champion: Champion, phantoms: Dataset
) -> None:
    assert champion.name == "tumor-detector-phantom"
    assert champion.run_id == trained.best.run_id
    assert champion.architecture == trained.best.architecture
    assert champion.dataset_kind == "phantom"
    assert champion.dataset_fingerprint == phantoms.fingerprint
    assert champion.metrics["roc_auc"] == trained.best.figures["roc_auc"].value


def test_the_champion_is_an_alias_and_no_stage(champion: Champion) -> None:
    version = mlflow.MlflowClient().get_model_version_by_alias(champion.name, "champion")
    assert str(version.version) == champion.version
    assert version.current_stage in (None, "None")


def test_the_champion_is_found_by_its_name(champion: Champion) -> None:
    assert registry.champion(champion.name) == champion


def test_the_held_out_images_are_in_the_data_folder(champion: Champion, phantoms: Dataset) -> None:
    known = {(scan.name, scan.label, scan.sha256) for scan in phantoms.scans}
    held_out = [(scan["name"], scan["label"], scan["sha256"]) for scan in champion.holdout()]
    assert set(held_out) <= known
    assert {label for _, label, _ in held_out} == {0, 1}


def test_a_second_crowning_is_a_new_version_and_the_first_is_kept(
    trained: TrainingResult, champion: Champion
) -> None:
    second = registry.crown(trained)
    assert int(second.version) == int(champion.version) + 1
    assert registry.champion(champion.name) == second
    assert registry.champion(champion.name, version=champion.version) == champion


def test_a_worse_training_does_not_take_the_crown(trained: TrainingResult, champion: Champion) -> None:
    # Given the champion, and a training on the same images that found less
    registry.crown(trained)
    worse = replace(trained, candidates=trained.candidates[-1:])
    assert worse.best.figures["roc_auc"].value < trained.best.figures["roc_auc"].value
    # When that is registered, Then it is a version, and the champion stays
    kept = registry.crown(worse)
    assert kept.run_id == champion.run_id
    assert registry.champion(champion.name) == kept
    newest = str(int(kept.version) + 1)
    assert registry.champion(champion.name, version=newest).run_id == worse.best.run_id


def test_other_images_start_another_contest(
    trained: TrainingResult, champion: Champion, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a champion of other images that found more
    look_up = registry.champion

    def of_other_images(name: str, *, version: str | None = None) -> Champion:
        found = look_up(name, version=version)
        return found if version else replace(found, dataset_fingerprint="f" * 64)

    registry.crown(trained)
    worse = replace(trained, candidates=trained.candidates[-1:])
    monkeypatch.setattr(registry, "champion", of_other_images)
    # When a training on these images is registered, Then figures of two data sets are not compared
    assert registry.crown(worse).run_id == worse.best.run_id
    monkeypatch.undo()
    assert registry.champion(champion.name).run_id == worse.best.run_id
    registry.crown(trained)


def test_without_a_champion_it_says_what_to_run() -> None:
    with pytest.raises(RegistryError, match=r"no champion of nobody. Run scripts/train first"):
        registry.champion("nobody")


def test_an_unknown_version_is_an_error(champion: Champion) -> None:
    with pytest.raises(RegistryError, match="no version 99"):
        registry.champion(champion.name, version="99")


def test_a_version_whose_run_has_nothing_to_serve_is_an_error(champion: Champion) -> None:
    with mlflow.start_run() as empty:
        pass
    client = mlflow.MlflowClient()
    client.create_registered_model("hollow")
    client.create_model_version("hollow", source=empty.info.artifact_uri, run_id=empty.info.run_id)
    client.set_registered_model_alias("hollow", registry.CHAMPION, "1")
    with pytest.raises(RegistryError, match=r"hollow version 1: run .* has no files to serve"):
        registry.champion("hollow")


def test_a_model_of_real_images_has_the_plain_name(phantoms: Dataset) -> None:
    images = replace(phantoms, kind="images")
    assert registry.model_name(images) == "tumor-detector"


def test_promoting_needs_no_tensorflow() -> None:
    code = (
        "import sys; from model import export, gates, golden, registry, data, phantom; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=data.ROOT, check=False).returncode == 0
