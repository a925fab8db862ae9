"""A record that was edited by hand, or belongs elsewhere, is refused before anything is deployed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from infra import release as releases
from infra.release import Golden, ReleaseError
from tests.infra.synthesis import RELEASES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.synthesis import Json


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Dev's record and its card, to be spoiled."""
    for path in RELEASES.glob("dev.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "dev.json"


def refusal(record: Path, environment: str = "dev", *, local: bool = False) -> list[str]:
    with pytest.raises(ReleaseError) as error:
        releases.load_for(environment, record, local=local)
    assert error.value.source == record
    return error.value.problems


def edit(record: Path, section: str | None, key: str, value: object) -> None:
    content: Json = json.loads(record.read_text())
    (content[section] if section else content)[key] = value
    record.write_text(json.dumps(content))


def test_a_saved_record_is_read_back_the_same(record: Path) -> None:
    release = releases.load_for("dev", record, local=False)
    text = record.read_bytes()
    releases.save(record, release)
    assert record.read_bytes() == text
    assert b"forced" not in text
    assert releases.load(record) == release


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        (None, "schema", 2, "schema = 2"),
        (None, "threshold", 1.5, "threshold = 1.5"),
        (None, "theshold", 0.5, "theshold: unknown key"),
        (None, "metrics", {"roc_auc": "good"}, "metrics.roc_auc = 'good'"),
        (None, "metrics", {"roc_auc": float("nan")}, "metrics.roc_auc = nan"),
        (None, "golden", [], "golden = []: no answer by which"),
        (None, "golden", [{"seed": 1, "lesion": True}], "golden.0 = "),
        (None, "golden", [{"seed": 1, "lesion": True, "probability": 2}], "golden.0.probability = 2"),
        (None, "gates", [{"name": "g", "passed": "yes", "detail": ""}], "gates.0.passed = 'yes'"),
        (None, "forced", " ", "forced = ' ': write why"),
        (None, "forced", True, "forced = True"),
        (
            None,
            "forced",
            "x" * (releases.MAX_REASON + 1),
            f"forced = '{'x' * 201}': String should have at most 200",
        ),
        ("model", "sha256", "abc", "model.sha256 = 'abc'"),
        ("model", "sha256", "A" * 64, "model.sha256 = "),
        ("model", "bytes", 0, "model.bytes = 0"),
        ("model", "version", 3, "model.version = 3"),
        ("model", "name", "../x", "model.name = '../x'"),
        ("dataset", "kind", "real", "dataset.kind = 'real'"),
        ("mlflow", "run_id", "", "mlflow.run_id = ''"),
    ],
)
def test_a_wrong_value_is_named(
    record: Path, section: str | None, key: str, value: object, said: str
) -> None:
    edit(record, section, key, value)
    (problem,) = refusal(record)
    assert problem.startswith(said)


def test_all_mistakes_are_reported_at_once(record: Path) -> None:
    edit(record, "model", "sha256", "abc")
    edit(record, None, "threshold", 2)
    assert len(refusal(record)) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_file_that_is_no_record_is_refused(record: Path, text: str) -> None:
    record.write_text(text)
    assert refusal(record)


def test_an_absent_record_says_who_writes_it(tmp_path: Path) -> None:
    (problem,) = refusal(tmp_path / "dev.json")
    assert "scripts/promote" in problem


def test_another_environments_record_is_refused(record: Path) -> None:
    (problem,) = refusal(record, environment="prod")
    assert problem.startswith("environment = 'dev'")


def test_a_model_of_drawn_images_serves_on_a_laptop_only(record: Path) -> None:
    edit(record, "dataset", "kind", "phantom")
    (problem,) = refusal(record)
    assert problem.startswith("dataset.kind = 'phantom'")
    assert releases.load_for("dev", record, local=True).dataset.kind == "phantom"


def test_a_model_that_failed_a_gate_serves_on_a_laptop_only(record: Path) -> None:
    edit(record, None, "gates", [{"name": "beats_metadata", "passed": False, "detail": "0.5 is not > 0.5"}])
    (problem,) = refusal(record)
    assert "beats_metadata" in problem
    assert releases.load_for("dev", record, local=True).gates_failed == ("beats_metadata",)


def test_a_model_that_failed_a_gate_serves_where_somebody_forced_it(record: Path) -> None:
    edit(record, None, "gates", [{"name": "beats_metadata", "passed": False, "detail": "0.5 is not > 0.5"}])
    edit(record, None, "forced", "agreed in the review of 3 May")
    release = releases.load_for("dev", record, local=False)
    assert release.gates_failed == ("beats_metadata",)
    assert release.forced == "agreed in the review of 3 May"
    releases.save(record, release)
    assert releases.load(record) == release


def test_nobody_can_force_a_model_of_drawn_images(record: Path) -> None:
    edit(record, "dataset", "kind", "phantom")
    edit(record, None, "forced", "in a hurry")
    (problem,) = refusal(record)
    assert problem.startswith("dataset.kind = 'phantom'")


def test_a_record_without_its_card_is_refused(record: Path) -> None:
    for card in record.parent.glob("*.model-card.md"):
        card.unlink()
    (problem,) = refusal(record)
    assert "model-card.md is missing" in problem


def test_another_model_has_another_artifact_key(record: Path) -> None:
    release = releases.load(record)
    other = replace(release.model, sha256="e" * 64)
    assert releases.artifact_key(other.sha256) == f"models/{'e' * 64}/model.tar.gz"
    assert releases.artifact_key(other.sha256) != releases.artifact_key(release.model.sha256)


def test_a_golden_answer_is_a_probability_or_a_refusal() -> None:
    assert Golden(seed=1, lesion=True, probability=0.5).refused is None
    assert Golden(seed=1, lesion=True, refused=True).probability is None
    with pytest.raises(ValueError, match="give either"):
        Golden(seed=1, lesion=True, probability=0.5, refused=True)
