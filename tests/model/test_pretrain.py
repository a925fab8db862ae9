"""Learning the look of brain MRI from other images: which are told apart, and what becomes of the trunk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pytest

from model import phantom, pretrain, tracking
from model.data import DataError
from model.recipe import QUICK, TrainingError
from model.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from model.backend import keras
    from model.data import Dataset

RECIPE = replace(QUICK, size=32, transfer_size=32, folds=3, pretraining_epochs=2, views=1)


def draw(folder: Path, *names: str, count: int = 3, seed: int = 5000) -> None:
    """Class folders of heads, each head another one."""
    for place, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            content = phantom.png(seed=seed + 100 * place + number, lesion=place % 2 == 0, size=96)
            (folder / name / f"{number}.png").write_bytes(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources: tumours of three types with the healthy beside them, and two grades."""
    where = tmp_path_factory.mktemp("types")
    draw(where, "glioma", "meningioma", "pituitary", "notumor", "oasis/mild", "oasis/none at all", "lone/x")
    return where


@pytest.fixture(scope="module")
def typed(folder: Path) -> pretrain.TypedSet:
    return pretrain.load(folder)


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> None:
    tracking.connect()
    tracking.choose_experiment(request.node.name)


def weights(trunk: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in trunk.get_weights()]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


class TestFamilies:
    def test_only_folders_beside_each_other_are_told_apart(self, typed: pretrain.TypedSet) -> None:
        family = dict(zip(typed.types, typed.families, strict=True))
        assert set(family) == {"glioma", "meningioma", "pituitary", "oasis/mild", "oasis/none at all"}
        assert family["glioma"] == family["meningioma"] == family["pituitary"]
        assert family["oasis/mild"] == family["oasis/none at all"] != family["glioma"]

    def test_every_image_has_its_folders_type(self, typed: pretrain.TypedSet) -> None:
        assert len(typed.scans) == 15
        for scan in typed.scans:
            assert scan.path.parent == typed.folder / typed.types[scan.type]

    @pytest.mark.parametrize("healthy", ["no", "No_Tumor", "normal", "Healthy", "none"])
    def test_the_healthy_are_no_type(self, tmp_path: Path, healthy: str) -> None:
        draw(tmp_path, "glioma", "meningioma", healthy, count=1)
        assert pretrain.load(tmp_path).types == ("glioma", "meningioma")

    def test_the_summary_tells_who_is_told_from_whom(self, typed: pretrain.TypedSet) -> None:
        assert "glioma | meningioma | pituitary; oasis/mild | oasis/none at all" in typed.summary()

    def test_hidden_folders_are_not_looked_at(self, tmp_path: Path) -> None:
        draw(tmp_path, "a", "b", ".cache/c", ".cache/d", count=1)
        assert pretrain.load(tmp_path).types == ("a", "b")

    def test_unreadable_files_are_skipped_and_said(self, tmp_path: Path) -> None:
        draw(tmp_path, "a", "b", count=1)
        (tmp_path / "a" / "broken.png").write_bytes(b"no image")
        loaded = pretrain.load(tmp_path)
        assert len(loaded.scans) == 2
        assert [name for name, _ in loaded.skipped] == ["a/broken.png"]
        assert "1 unreadable files skipped" in loaded.summary()

    def test_the_fingerprint_is_of_types_and_bytes_not_of_place(
        self, typed: pretrain.TypedSet, folder: Path, tmp_path: Path
    ) -> None:
        moved = shutil.copytree(folder, tmp_path / "moved")
        assert pretrain.load(moved).fingerprint == typed.fingerprint
        (moved / "glioma" / "0.png").rename(moved / "meningioma" / "other.png")
        assert pretrain.load(moved).fingerprint != typed.fingerprint


class TestErrors:
    def test_what_is_no_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"nowhere is not a folder"):
            pretrain.load(tmp_path / "nowhere")

    @pytest.mark.parametrize("names", [["glioma"], ["glioma", "no"], ["here/glioma", "there/meningioma"]])
    def test_types_with_nothing_beside_them_cannot_be_learnt_from(
        self, tmp_path: Path, names: list[str]
    ) -> None:
        draw(tmp_path, *names, count=1)
        with pytest.raises(DataError, match="cannot be learnt from"):
            pretrain.load(tmp_path)

    def test_a_type_without_a_readable_image_is_none(self, tmp_path: Path) -> None:
        draw(tmp_path, "glioma", count=1)
        (tmp_path / "meningioma").mkdir()
        (tmp_path / "meningioma" / "a.png").write_bytes(b"no image")
        with pytest.raises(DataError, match="cannot be learnt from"):
            pretrain.load(tmp_path)


class TestCopies:
    def test_images_that_resemble_a_labelled_one_are_left_out(
        self, phantoms: Dataset, folder: Path, tmp_path: Path
    ) -> None:
        # Given the types with two labelled images among them, one of them upside down
        copied = shutil.copytree(folder, tmp_path / "copied")
        first, second = phantoms.scans[0], phantoms.scans[-1]
        shutil.copy(first.path, copied / "glioma" / "copy.png")
        second.image().rotate(180).save(copied / "oasis" / "mild" / "turned.png")
        # When the copies are left out
        study = Study.of(phantoms, RECIPE, pretrain_on=copied)
        # Then just those two are gone
        assert study.typed is not None
        assert study.copies == 2
        assert len(study.typed.scans) == 15
        assert not {scan.path.name for scan in study.typed.scans} & {"copy.png", "turned.png"}

    def test_a_type_of_nothing_but_copies_is_an_error(self, phantoms: Dataset, tmp_path: Path) -> None:
        draw(tmp_path, "glioma", count=1)
        (tmp_path / "meningioma").mkdir()
        shutil.copy(phantoms.scans[0].path, tmp_path / "meningioma")
        with pytest.raises(DataError, match="all images of a type are near-duplicates of labelled images"):
            pretrain.load(tmp_path).unlike(phantoms.scans)


class TestTrunk:
    def test_its_weights_change(self, typed: pretrain.TypedSet) -> None:
        from model import network  # noqa: PLC0415 - TensorFlow

        trunk = network.build_trunk("plain_cnn", size=32)
        before, losses = weights(trunk), list[dict[str, float]]()
        pretrain.pretrain(trunk, typed, RECIPE, title="plain_cnn", report=losses.append)
        assert not same(before, weights(trunk))
        assert len(losses) == RECIPE.pretraining_epochs

    @pytest.mark.usefixtures("experiment")
    def test_a_pretraining_is_done_once_and_found_again(
        self, typed: pretrain.TypedSet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given how often a pretraining really runs
        calls: list[str] = []
        really: Callable[..., None] = pretrain.pretrain

        def counted(*arguments: object, title: str, **rest: object) -> None:
            calls.append(title)
            really(*arguments, title=title, **rest)

        monkeypatch.setattr(pretrain, "pretrain", counted)
        # When the same trunk is asked for twice
        first = weights(pretrain.start("plain_cnn", typed, RECIPE))
        again = weights(pretrain.start("plain_cnn", typed, RECIPE))
        # Then it was pretrained once, and both have its weights
        assert calls == ["plain_cnn"]
        assert same(first, again)
        # And another recipe is another pretraining
        pretrain.start("plain_cnn", typed, replace(RECIPE, pretraining_epochs=1))
        assert len(calls) == 2

    @pytest.mark.usefixtures("experiment")
    def test_its_run_tells_what_it_was(
        self, typed: pretrain.TypedSet, request: pytest.FixtureRequest
    ) -> None:
        pretrain.start("plain_cnn", typed, replace(RECIPE, seed=3))
        (run,) = mlflow.search_runs(experiment_names=[request.node.name], output_format="list")
        assert (run.info.run_name, run.info.status) == ("pretraining of plain_cnn", "FINISHED")
        assert run.data.params["images"] == str(len(typed.scans))
        assert run.data.tags["pretraining_done"] == "yes"
        history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
        assert [metric.step for metric in history] == [1, 2]

    @pytest.mark.usefixtures("experiment")
    def test_one_that_broke_off_is_not_taken_for_done(
        self, typed: pretrain.TypedSet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe, started = replace(RECIPE, seed=4), list[str]()

        def broken(*_: object, title: str, **__: object) -> None:
            started.append(title)
            raise TrainingError("the loss became nan")

        monkeypatch.setattr(pretrain, "pretrain", broken)
        for _ in range(2):
            with pytest.raises(TrainingError):
                pretrain.start("plain_cnn", typed, recipe)
        assert len(started) == 2

    @pytest.mark.usefixtures("experiment")
    def test_one_that_has_seen_imagenet_is_left_as_it_is(
        self, typed: pretrain.TypedSet, request: pytest.FixtureRequest
    ) -> None:
        untouched = weights(pretrain.start("efficientnet_lite0", None, RECIPE))
        assert same(untouched, weights(pretrain.start("efficientnet_lite0", typed, RECIPE)))
        assert mlflow.search_runs(experiment_names=[request.node.name], output_format="list") == []

    def test_without_other_images_a_trunk_starts_from_scratch(self) -> None:
        assert pretrain.start("plain_cnn", None, RECIPE).input.shape[1] == RECIPE.size


class TestLoss:
    def said(self, logits: list[list[float]], true: list[int]) -> list[float]:
        loss = pretrain._within_family((0, 0, 1, 1))
        given = np.array(logits, dtype=np.float32)
        each: list[float] = np.asarray(loss(np.array(true, dtype=np.float32)[:, None], given)).tolist()
        return each

    def test_other_families_do_not_count(self) -> None:
        calm, loud = [1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 50.0, -50.0]
        one, other = self.said([calm, loud], [0, 0])
        assert one == other == pytest.approx(np.log1p(np.exp(-1)), rel=1e-5)

    def test_its_own_family_does(self) -> None:
        right, wrong = self.said([[0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 3.0]], [2, 2])
        assert right < 0.1
        assert wrong > 2
