"""Release records: invalid ones and those of other environments are refused before anything is deployed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra import release as releases
from infra.paths import ROOT
from infra.release import ReleaseError
from tests.infra.synthesis import record_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.synthesis import Json

GOLDEN = {"seed": 1, "lesion": True}  # needs a probability or a refusal


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Dev's record and its card, to be edited."""
    return record_for("dev", tmp_path)


def refusal(record: Path, environment: str = "dev", *, local: bool = False) -> list[str]:
    with pytest.raises(ReleaseError) as error:
        releases.load_for(environment, record, local=local)
    assert error.value.source == record
    return error.value.problems


def edit(record: Path, section: str | None, key: str, value: object) -> None:
    content: Json = json.loads(record.read_text())
    (content[section] if section else content)[key] = value
    record.write_text(json.dumps(content))


def test_a_record_of_an_earlier_version_is_read_and_written_back_unchanged(tmp_path: Path) -> None:
    # Given a record that commit ca49d7b wrote, whose metrics and gates have earlier names
    written = (ROOT / "tests" / "fixtures" / "ca49d7b" / "releases" / "local.json").read_bytes()
    record = tmp_path / "local.json"
    record.write_bytes(written)
    content = json.loads(written)
    releases.card_path(record, sha256=content["model"]["sha256"]).write_text("# A card\n")
    # When it is read, Then it has the same metrics, gates and golden answers
    release = releases.load_for("local", record, local=True)
    assert release.metrics == content["metrics"]
    assert [gate.name for gate in release.gates] == [gate["name"] for gate in content["gates"]]
    assert len(release.golden) == len(content["golden"])
    releases.save(record, release)
    assert record.read_bytes() == written


@pytest.mark.parametrize(
    ("section", "key", "value", "line"),
    [
        (None, "schema", 2, "schema = 2"),
        (None, "threshold", 1.5, "threshold = 1.5"),
        (None, "theshold", 0.5, "theshold: unknown key"),
        (None, "metrics", {"roc_auc": "good"}, "metrics.roc_auc = 'good'"),
        (None, "metrics", {"roc_auc": float("nan")}, "metrics.roc_auc = nan"),
        (None, "golden", [], "golden = []: no answer to check"),
        (None, "golden", [GOLDEN], "golden.0 = "),
        (None, "golden", [GOLDEN | {"probability": 0.5, "refused": True}], "golden.0 = "),
        (None, "gates", [{"name": "g", "passed": "yes", "detail": ""}], "gates.0.passed = 'yes'"),
        (None, "forced", " ", "forced = ' ': write why"),
        (None, "forced", True, "forced = True"),
        (None, "forced", "x" * 201, f"forced = '{'x' * 201}': String should have at most 200"),
        ("model", "sha256", "A" * 64, "model.sha256 = "),
        ("model", "bytes", 0, "model.bytes = 0"),
        ("model", "version", 3, "model.version = 3"),
        ("model", "name", "../x", "model.name = '../x'"),
        ("dataset", "kind", "real", "dataset.kind = 'real'"),
        ("mlflow", "run_id", "", "mlflow.run_id = ''"),
    ],
)
def test_a_wrong_value_is_named(
    record: Path, section: str | None, key: str, value: object, line: str
) -> None:
    edit(record, section, key, value)
    (problem,) = refusal(record)
    assert problem.startswith(line)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_file_that_is_not_a_record_is_refused(record: Path, text: str) -> None:
    record.write_text(text)
    assert refusal(record)


def test_an_absent_record_or_one_of_another_environment_is_refused(record: Path) -> None:
    (problem,) = refusal(record.with_name("prod.json"))
    assert "scripts/promote" in problem
    (problem,) = refusal(record, environment="prod")
    assert problem.startswith("environment = 'dev'")


def test_a_model_of_drawn_images_serves_locally_only_even_if_forced(record: Path) -> None:
    edit(record, "dataset", "kind", "phantom")
    edit(record, None, "forced", "in a hurry")
    (problem,) = refusal(record)
    assert problem.startswith("dataset.kind = 'phantom'")
    assert releases.load_for("dev", record, local=True).dataset.kind == "phantom"


def test_a_model_that_failed_a_gate_serves_locally_or_if_forced(record: Path) -> None:
    edit(record, None, "gates", [{"name": "beats_metadata", "passed": False, "detail": "0.5 is not > 0.5"}])
    (problem,) = refusal(record)
    assert "beats_metadata" in problem
    assert releases.load_for("dev", record, local=True).gates_failed == ("beats_metadata",)
    edit(record, None, "forced", "agreed in the review of 3 May")
    release = releases.load_for("dev", record, local=False)
    assert release.gates_failed == ("beats_metadata",)
    assert release.forced == "agreed in the review of 3 May"
    releases.save(record, release)
    assert releases.load(record) == release


def test_a_record_without_its_card_is_refused(record: Path) -> None:
    for card in record.parent.glob("*.model-card.md"):
        card.unlink()
    (problem,) = refusal(record)
    assert "model-card.md is missing" in problem
