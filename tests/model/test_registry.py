"""Who wears the crown: what is registered, what it is compared with, and what that changes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pytest

from model import data, predictions, registry, tracking
from model.data import Scan
from model.evaluate import Figure
from model.judge import Judgement
from model.registry import RegistryError
from model.split import plan
from model.train import TrainingResult

from .passing import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from model.data import Dataset
    from model.registry import Champion

IMAGES, FOLDS, REPEATS = 60, 3, 2


class TestTrained:
    def test_the_trained_network_is_crowned(
        self, trained: TrainingResult, champion: Champion, phantoms: Dataset
    ) -> None:
        assert champion.name == "tumor-detector-phantom"
        assert champion.run_id == trained.run_id
        assert champion.architecture == trained.architecture
        assert champion.dataset_kind == "phantom"
        assert champion.dataset_fingerprint == phantoms.fingerprint
        assert champion.metrics["roc_auc"] == trained.figures["roc_auc"].value

    def test_the_champion_is_an_alias_and_no_stage(self, champion: Champion) -> None:
        version = mlflow.MlflowClient().get_model_version_by_alias(champion.name, "champion")
        assert str(version.version) == champion.version
        assert version.current_stage in (None, "None")

    def test_the_champion_is_found_by_its_name(self, champion: Champion) -> None:
        assert registry.champion(champion.name) == champion

    def test_its_verdicts_are_kept_with_the_version_and_with_the_run(self, champion: Champion) -> None:
        outcomes = champion.gates()
        assert {"beats_metadata", "beats_champion", "not_by_heart"} <= {each["name"] for each in outcomes}
        kept = mlflow.artifacts.load_dict(f"runs:/{champion.run_id}/gates.json")
        assert kept == {"gates": outcomes}

    def test_what_it_said_of_each_image_can_be_read_again(
        self, champion: Champion, phantoms: Dataset
    ) -> None:
        (only,) = champion.judged()
        assert len(only.cases) == len(phantoms.scans)

    def test_the_held_out_images_are_in_the_data_folder(self, champion: Champion, phantoms: Dataset) -> None:
        known = {(scan.name, scan.label, scan.sha256) for scan in phantoms.scans}
        held_out = [(scan["name"], scan["label"], scan["sha256"]) for scan in champion.holdout()]
        assert set(held_out) <= known
        assert {label for _, label, _ in held_out} == {0, 1}

    def test_an_unknown_version_is_an_error(self, champion: Champion) -> None:
        with pytest.raises(RegistryError, match="no version 99"):
            registry.champion(champion.name, version="99")


class Contest:
    """Makes runs as trainings leave them, with drawn predictions in place of a network's."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self._scans = [
            Scan(folder / data.CLASSES[number % 2] / f"{number}.png", number % 2, f"{number:064d}")
            for number in range(IMAGES)
        ]

    def trained(
        self, *, skill: float, seed: int = 0, images: str = "these", worthy: bool = True
    ) -> TrainingResult:
        """Log a training: the higher the skill, the more it knows; `seed` draws its folds."""
        labels = np.array([scan.label for scan in self._scans])
        judged = []
        for repeat in range(REPEATS):
            noise = np.random.default_rng(repeat).normal(size=IMAGES)
            said = 1 / (1 + np.exp(-(noise + skill * (labels - 0.5))))
            decided = (said > 0.5).astype(np.int64)
            cases = plan(labels, np.arange(IMAGES), folds=FOLDS, seed=seed + repeat)
            judged.append(Judgement(cases, said, decided, decided))
        tracking.choose_experiment(self._name)
        metadata: dict[str, Any] = {
            "architecture": "drawn",
            "metrics": GOOD | {"roc_auc": 0.9 + skill / 100} | ({} if worthy else {"sensitivity": 0.5}),
            "dataset": {"kind": "phantom", "fingerprint": images},
        }
        with mlflow.start_run(run_name="training") as run:
            mlflow.log_dict(metadata, "serving/metadata.json")
            mlflow.log_dict(
                {"artifact_path": "model", "run_id": run.info.run_id, "flavors": {}}, "model/MLmodel"
            )
            mlflow.log_text(predictions.write(judged, self._scans), predictions.FILE)
        area = Figure(metadata["metrics"]["roc_auc"], 0.9, 1.0)
        uri = f"runs:/{run.info.run_id}/model"
        return TrainingResult(self._name, run.info.run_id, "drawn", uri, {"roc_auc": area}, {}, {})

    def gate(self, result: TrainingResult, name: str = "beats_champion") -> tuple[bool, str]:
        """What the gate said of this training: its verdict and detail."""
        kept = mlflow.artifacts.load_dict(f"runs:/{result.run_id}/gates.json")
        (outcome,) = [each for each in kept["gates"] if each["name"] == name]
        return outcome["passed"], outcome["detail"]

    def champion(self) -> str:
        """Id of the champion's run."""
        return registry.champion(self._name).run_id


@pytest.fixture
def contest(request: pytest.FixtureRequest, tmp_path: Path) -> Contest:
    tracking.connect()
    return Contest(f"contest-{request.node.name}", tmp_path)


def test_the_first_is_crowned_though_it_is_unworthy(contest: Contest) -> None:
    first = contest.trained(skill=2, worthy=False)
    crowned = registry.crown(first)
    assert crowned.run_id == contest.champion() == first.run_id
    assert not registry.passed(crowned.gates())
    assert contest.gate(first) == (True, "there is no champion yet")


def test_a_clearly_better_one_takes_the_crown_and_the_first_is_kept(contest: Contest) -> None:
    first = registry.crown(contest.trained(skill=1))
    better = contest.trained(skill=4)
    second = registry.crown(better)
    assert second.run_id == contest.champion() == better.run_id
    assert int(second.version) == int(first.version) + 1
    assert registry.champion(first.name, version=first.version) == first
    passed, detail = contest.gate(better)
    assert passed
    assert f"against version {first.version}" in detail


def test_an_equal_one_does_not_take_the_crown(contest: Contest) -> None:
    first, equal = contest.trained(skill=3), contest.trained(skill=3)
    registry.crown(first)
    assert registry.crown(equal).run_id == contest.champion() == first.run_id
    assert not contest.gate(equal)[0]


def test_a_worse_one_is_a_version_and_the_champion_stays(contest: Contest) -> None:
    first, worse = contest.trained(skill=3), contest.trained(skill=1)
    kept = registry.crown(first)
    assert registry.crown(worse).run_id == contest.champion() == first.run_id
    newest = registry.champion(kept.name, version=str(int(kept.version) + 1))
    assert newest.run_id == worse.run_id
    assert not registry.passed(newest.gates())


def test_a_worthy_champion_stays_against_an_unworthy_one_that_knows_more(contest: Contest) -> None:
    first, unworthy = contest.trained(skill=1), contest.trained(skill=4, worthy=False)
    registry.crown(first)
    assert registry.crown(unworthy).run_id == contest.champion() == first.run_id
    assert contest.gate(unworthy)[0]


@pytest.mark.parametrize(("skill", "takes"), [(3, True), (1, False)])
def test_an_unworthy_champion_gives_way_to_whom_is_no_worse(
    contest: Contest, *, skill: int, takes: bool
) -> None:
    first = contest.trained(skill=2, worthy=False)
    challenger = contest.trained(skill=skill, worthy=False)
    registry.crown(first)
    registry.crown(challenger)
    assert contest.champion() == (challenger if takes else first).run_id


def test_other_images_start_another_contest_and_it_is_said(contest: Contest) -> None:
    registry.crown(contest.trained(skill=4))
    other = contest.trained(skill=1, images="others")
    assert registry.crown(other).run_id == contest.champion() == other.run_id
    passed, detail = contest.gate(other)
    assert passed
    assert "judged on other images" in detail


def test_other_images_do_not_let_an_unworthy_one_push_out_a_worthy_champion(contest: Contest) -> None:
    first = contest.trained(skill=1)
    registry.crown(first)
    registry.crown(contest.trained(skill=4, images="others", worthy=False))
    assert contest.champion() == first.run_id


def test_the_same_images_by_other_folds_cannot_be_compared_and_are_refused(contest: Contest) -> None:
    first, refolded = contest.trained(skill=1), contest.trained(skill=4, seed=50)
    registry.crown(first)
    assert registry.crown(refolded).run_id == contest.champion() == first.run_id
    passed, detail = contest.gate(refolded)
    assert not passed
    assert "by other folds: train with its seed and folds" in detail


def without_gates(champion: Champion) -> None:
    mlflow.MlflowClient().delete_model_version_tag(champion.name, champion.version, registry.GATES)


def without_files(champion: Champion) -> None:
    client = mlflow.MlflowClient()
    with mlflow.start_run() as empty:
        pass
    made = client.create_model_version(
        champion.name, source=empty.info.artifact_uri, run_id=empty.info.run_id
    )
    client.set_registered_model_alias(champion.name, registry.CHAMPION, made.version)


@pytest.mark.parametrize("made_old", [without_gates, without_files])
def test_a_champion_of_an_earlier_form_counts_as_none(
    contest: Contest, made_old: Callable[[Champion], None]
) -> None:
    made_old(registry.crown(contest.trained(skill=4)))
    later = contest.trained(skill=1, worthy=False)
    assert registry.crown(later).run_id == contest.champion() == later.run_id
    assert contest.gate(later) == (True, "there is no champion yet")


def test_verdicts_that_were_never_recorded_are_one_clear_error(contest: Contest) -> None:
    champion = registry.crown(contest.trained(skill=1))
    without_gates(champion)
    with pytest.raises(RegistryError, match=r"before gates were recorded with it. Run scripts/train again"):
        champion.gates()


def test_who_is_forced_is_crowned_and_the_reason_is_kept(contest: Contest) -> None:
    # Given a version that the gates kept from the crown
    first, worse = contest.trained(skill=3), contest.trained(skill=1)
    kept = registry.crown(first)
    registry.crown(worse)
    chosen = registry.champion(kept.name, version=str(int(kept.version) + 1))
    # When it is forced
    registry.force(chosen, reason="the other one is too slow")
    # Then it is champion, its verdicts are still those it got, and both places say why
    assert contest.champion() == worse.run_id
    assert not registry.passed(chosen.gates())
    version = mlflow.MlflowClient().get_model_version(chosen.name, chosen.version)
    assert version.tags["forced"] == "the other one is too slow"
    assert mlflow.get_run(chosen.run_id).data.tags["forced"] == "the other one is too slow"
    assert json.loads(version.tags["gates"]) == chosen.gates()


def test_without_a_champion_it_says_what_to_run() -> None:
    with pytest.raises(RegistryError, match=r"no champion of nobody. Run scripts/train first"):
        registry.champion("nobody")


def test_a_version_whose_run_has_nothing_to_serve_is_an_error(contest: Contest) -> None:
    champion = registry.crown(contest.trained(skill=1))
    without_files(champion)
    with pytest.raises(RegistryError, match=r"version 2: run .* has no files to serve"):
        registry.champion(champion.name)


def test_a_model_of_real_images_has_the_plain_name(phantoms: Dataset) -> None:
    assert data.model_name(phantoms) == "tumor-detector-phantom"
    assert data.model_name(replace(phantoms, kind="images")) == "tumor-detector"


def test_promoting_needs_no_tensorflow() -> None:
    code = (
        "import sys; from model import export, gates, golden, registry, data, phantom; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=data.ROOT, check=False).returncode == 0
