"""Which version becomes champion, and what it is compared with."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pytest

from infra import release
from model import ROOT, tracking
from model.data import dataset
from model.data.dataset import Scan
from model.data.split import assign_folds
from model.evaluation import predictions
from model.evaluation.metrics import Estimate
from model.evaluation.predictions import Predictions
from model.release import registry
from model.release.registry import RegistryError
from model.training.train import TrainingResult
from scripts.commands import compare
from tests.infra.synthesis import RELEASE
from tests.model.passing_metrics import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from model.data.dataset import Dataset
    from model.release.registry import ModelVersion

IMAGES, FOLDS = 60, 3


class TestTrained:
    def test_the_trained_network_becomes_champion(
        self, trained: TrainingResult, champion: ModelVersion, phantoms: Dataset
    ) -> None:
        assert champion.name == "tumor-detector-phantom"
        assert champion.run_id == trained.run_id
        assert champion.architecture == trained.architecture
        assert champion.dataset_kind == "phantom"
        assert champion.dataset_fingerprint == phantoms.fingerprint
        assert champion.metrics["roc_auc"] == trained.estimates["roc_auc"].value
        metadata = mlflow.artifacts.load_dict(f"runs:/{trained.run_id}/serving/metadata.json")
        assert metadata["name"] == champion.name
        assert metadata["mlflow"] == {"experiment": champion.name, "run_id": champion.run_id}
        assert metadata["split"] == {"folds": 3, "held_out": len(champion.holdout())}

    def test_the_held_out_images_are_in_the_data_folder(
        self, champion: ModelVersion, phantoms: Dataset
    ) -> None:
        known = {(scan.name, scan.label, scan.sha256) for scan in phantoms.scans}
        held_out = [(scan["name"], scan["label"], scan["sha256"]) for scan in champion.holdout()]
        assert set(held_out) <= known
        assert {label for _, label, _ in held_out} == {0, 1}

    def test_an_unknown_version_or_model_is_an_error(self, champion: ModelVersion) -> None:
        with pytest.raises(RegistryError, match="no version 99"):
            registry.find_version(champion.name, version="99")
        with pytest.raises(RegistryError, match=r"no champion of unknown. Run scripts/train first"):
            registry.find_version("unknown")


class Contest:
    """Logs runs like those of trainings, with simulated predictions."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self._scans = [
            Scan(folder / dataset.CLASSES[number % 2] / f"{number}.png", number % 2, f"{number:064d}")
            for number in range(IMAGES)
        ]

    def trained(
        self, *, skill: float, seed: int = 0, images: str = "these", passing: bool = True
    ) -> TrainingResult:
        """Log a training whose AUC grows with `skill`; `seed` draws its folds."""
        labels = np.array([scan.label for scan in self._scans])
        noise = np.random.default_rng(0).normal(size=IMAGES)
        probabilities = 1 / (1 + np.exp(-(noise + skill * (labels - 0.5))))
        decided = (probabilities > 0.5).astype(np.int64)
        cases = assign_folds(labels, np.arange(IMAGES), folds=FOLDS, seed=seed)
        tested = Predictions(cases, probabilities, decided)
        tracking.choose_experiment(self._name)
        metadata: dict[str, Any] = {
            "architecture": "drawn",
            "metrics": GOOD | {"roc_auc": 0.9 + skill / 100} | ({} if passing else {"sensitivity": 0.5}),
            "dataset": {"kind": "phantom", "name": "drawn", "fingerprint": images},
        }
        with mlflow.start_run(run_name="training") as run:
            mlflow.log_dict(metadata, "serving/metadata.json")
            mlflow.log_dict(
                {"artifact_path": "model", "run_id": run.info.run_id, "flavors": {}}, "model/MLmodel"
            )
            mlflow.log_text(predictions.write_csv(tested, self._scans), predictions.FILE)
        area = Estimate(metadata["metrics"]["roc_auc"], 0.9, 1.0)
        uri = f"runs:/{run.info.run_id}/model"
        return TrainingResult(self._name, run.info.run_id, "drawn", uri, {"roc_auc": area}, {}, None)

    def gate(self, result: TrainingResult) -> tuple[bool, str]:
        """Whether a training beat the champion, and the detail."""
        kept = mlflow.artifacts.load_dict(f"runs:/{result.run_id}/gates.json")
        (outcome,) = [each for each in kept["gates"] if each["name"] == "beats_champion"]
        return outcome["passed"], outcome["detail"]

    def champion(self) -> str:
        """Id of the champion's run."""
        return registry.find_version(self._name).run_id


def promoted(result: TrainingResult) -> ModelVersion:
    return registry.register_and_promote(result.experiment, run_id=result.run_id, model_uri=result.model_uri)


@pytest.fixture
def contest(request: pytest.FixtureRequest, tmp_path: Path) -> Contest:
    tracking.connect()
    return Contest(f"contest-{request.node.name}", tmp_path)


FAILED = {"skill": 2, "passing": False}


@pytest.mark.parametrize(
    ("first", "second", "takes", "detail"),
    [
        pytest.param({"skill": 1}, {"skill": 4}, True, "against version", id="better"),
        pytest.param({"skill": 3}, {"skill": 3}, False, "against version", id="equal"),
        pytest.param({"skill": 3}, {"skill": 1}, False, "against version", id="worse"),
        pytest.param({"skill": 1}, FAILED | {"skill": 4}, False, "against version", id="better-but-failed"),
        pytest.param(FAILED, FAILED | {"skill": 3}, True, "against version", id="better-of-failed"),
        pytest.param(FAILED, FAILED | {"skill": 1}, False, "against version", id="worse-of-failed"),
        pytest.param({"skill": 4}, {"skill": 1, "images": "others"}, True, "other images", id="other-images"),
        pytest.param({"skill": 1}, {"skill": 4, "seed": 50}, False, "with other folds", id="other-folds"),
    ],
)
def test_the_champion_after_a_challenge(
    contest: Contest,
    first: dict[str, Any],
    second: dict[str, Any],
    *,
    takes: bool,
    detail: str,
) -> None:
    champion, challenger = contest.trained(**first), contest.trained(**second)
    promoted(champion)
    expected = challenger.run_id if takes else champion.run_id
    assert promoted(challenger).run_id == contest.champion() == expected
    assert detail in contest.gate(challenger)[1]


def without_gates(champion: ModelVersion) -> None:
    mlflow.MlflowClient().delete_model_version_tag(champion.name, champion.version, registry.GATES)


def without_files(champion: ModelVersion) -> None:
    client = mlflow.MlflowClient()
    with mlflow.start_run() as empty:
        pass
    made = client.create_model_version(
        champion.name, source=empty.info.artifact_uri, run_id=empty.info.run_id
    )
    client.set_registered_model_alias(champion.name, registry.CHAMPION, made.version)


@pytest.mark.parametrize(
    ("made_old", "error"),
    [
        (without_gates, r"before gates were recorded with it. Run scripts/train again"),
        (without_files, r"version 2: the serving files of run .* cannot be read"),
    ],
    ids=["gates", "files"],
)
def test_a_champion_without_gates_or_files_is_an_error_and_counts_as_none(
    contest: Contest, made_old: Callable[[ModelVersion], None], error: str
) -> None:
    champion = promoted(contest.trained(skill=4))
    made_old(champion)
    with pytest.raises(RegistryError, match=error):
        registry.find_version(champion.name).gates()
    later = contest.trained(skill=1, passing=False)
    assert promoted(later).run_id == contest.champion() == later.run_id
    assert contest.gate(later) == (True, "there is no champion yet")


def test_a_forced_version_becomes_champion_with_its_reason(contest: Contest) -> None:
    # Given a version that failed a gate
    first, worse = contest.trained(skill=3), contest.trained(skill=1)
    kept = promoted(first)
    promoted(worse)
    chosen = registry.find_version(kept.name, version=str(int(kept.version) + 1))
    # When it is forced
    registry.force(chosen, reason="the other one is too slow")
    # Then it is champion, its gates are unchanged, and version and run hold the reason
    assert contest.champion() == worse.run_id
    assert not registry.passed(chosen.gates())
    version = mlflow.MlflowClient().get_model_version(chosen.name, chosen.version)
    assert version.tags["forced"] == "the other one is too slow"
    assert mlflow.get_run(chosen.run_id).data.tags["forced"] == "the other one is too slow"
    assert json.loads(version.tags["gates"]) == chosen.gates()


def test_a_challenger_leaves_the_champion_until_it_is_made_one(contest: Contest) -> None:
    first, better = contest.trained(skill=1), contest.trained(skill=4)
    kept = promoted(first)
    champion = registry.register_and_promote(
        better.experiment, run_id=better.run_id, model_uri=better.model_uri, challenges=True
    )
    assert champion.run_id == contest.champion() == first.run_id
    assert contest.gate(better)[0]
    challenger = registry.find_version(kept.name, version=str(registry.newest(kept.name)))
    assert challenger.run_id == better.run_id
    registry.make_champion(challenger)
    assert contest.champion() == better.run_id


def test_two_versions_are_compared_by_what_mlflow_keeps_of_them(
    contest: Contest, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, second = promoted(contest.trained(skill=4)), contest.trained(skill=0)
    promoted(second)
    words = [f"{first.name}@{number}" for number in (1, 2)]
    compare.main(words)
    printed = capsys.readouterr().out
    assert f"# {first.name} version 1 against {first.name} version 2" in printed
    assert f"all images ({IMAGES} in {IMAGES} groups)" in printed
    compare.main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    (everything,) = found["parts"]
    assert everything["metrics"]["roc_auc"]["difference"]["low"] > 0
    assert found["A"]["run_id"] == first.run_id
    assert {each["name"] for each in found["differing"]} <= {
        f"{dataset.CLASSES[number % 2]}/{number}.png" for number in range(IMAGES)
    }
    # A release record names its run; one of another store is an error
    record = tmp_path / "prod.json"
    known = release.load(RELEASE)
    named = replace(known, model=replace(known.model, name=first.name, version="1"))
    for run_id, status in ((first.run_id, None), ("0" * 32, 1)):
        release.save(record, replace(named, mlflow=replace(known.mlflow, run_id=run_id)))
        if status is None:
            compare.main([str(record), words[1]])
        else:
            with pytest.raises(SystemExit) as ended:
                compare.main([str(record), words[1]])
            assert ended.value.code == status
            assert "it was trained with another store" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["99", "nothing@1", "absent.json"])
def test_comparing_what_there_is_not_is_a_clear_error(
    contest: Contest, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        compare.main([what, what])
    assert ended.value.code == 1
    assert "✗" in capsys.readouterr().err


def test_promoting_needs_no_tensorflow() -> None:
    code = (
        "import sys; from model.release import export, gates, golden, registry; "
        "from model.data import dataset, phantom; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
