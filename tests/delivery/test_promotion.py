"""What stops a promotion, what does not, and what of it stands in the release record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest

from container.predictor import Predictor
from infra import config, release
from model import gates, golden
from model import registry as registry_module
from model.export import Artifact
from scripts.delivery import artifacts, promotion
from scripts.delivery.console import DeliveryError
from scripts.delivery.promotion import promote

if TYPE_CHECKING:
    from pathlib import Path

    from model.gates import Outcome
    from model.metadata import Metadata
    from model.registry import Champion

FIGURES = {
    "roc_auc": 0.94,
    "roc_auc_low": 0.91,
    "forest_roc_auc_high": 0.87,
    "training_roc_auc": 0.97,
    "sensitivity": 0.95,
    "specificity": 0.75,
    "calibration_error": 0.05,
    "straddling_groups": 0.0,
    "largest_fall": 2.0,
    "refused_other": 0.97,
    "refused_mri": 0.01,
}
SHA256 = "c" * 64
WHY = "agreed in the review of 3 May"


@dataclass(frozen=True)
class Candidate:
    """A model version whose training reached these figures."""

    figures: dict[str, float] = field(default_factory=lambda: FIGURES)
    dataset_kind: str = "images"
    name: str = "tumor-detector"
    version: str = "7"

    def gates(self) -> list[Outcome]:
        return gates.evaluate(self.figures, comparable=True, over_champion=None, rival="there is no champion")


GOOD, BLUNT = Candidate(), Candidate(FIGURES | {"specificity": 0.4})


@dataclass
class Registry:
    """What a promotion told the model registry."""

    forced: list[str] = field(default_factory=list)
    exported: int = 0


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An export that needs no network, an AWS that takes what comes, and a model that refuses phantom 103."""
    told = Registry()

    def export(champion: Candidate, *, to: Path) -> Artifact:
        told.exported += 1
        metadata = {
            "dataset": {"name": "brain_mri", "kind": champion.dataset_kind, "fingerprint": "d" * 64},
            "mlflow": {"experiment": "tumor-detector", "run_id": "e" * 32},
            "metrics": champion.figures,
            "threshold": 0.35,
        }
        return Artifact(to / "model.tar.gz", SHA256, 11, cast("Metadata", metadata), "# The card")

    answers = [
        {"seed": seed, "lesion": lesion} | ({"refused": True} if seed == 103 else {"probability": 0.5})
        for seed, lesion in golden.PHANTOMS
    ]
    for place, name, instead in (
        (promotion, "export", export),
        (promotion, "unpack", lambda _, *, to: to),
        (promotion, "stack_outputs", lambda _: {"BucketName": "models"}),
        (artifacts, "keep", lambda path, *, sha256: path),
        (artifacts, "ensure_uploaded", lambda bucket, *, sha256: None),
        (Predictor, "load", lambda _: None),
        (golden, "golden_answers", lambda _: answers),
        (registry_module, "force", lambda _, *, reason: told.forced.append(reason)),
    ):
        monkeypatch.setattr(place, name, instead)
    return told


def promoted(candidate: Candidate, *, to: Path, environment: str = "dev", forced: str | None = None) -> Path:
    record = to / f"{environment}.json"
    promote(config.load(environment), cast("Champion", candidate), record=record, forced=forced)
    return record


def test_a_good_model_is_released_with_every_verdict_and_figure(registry: Registry, tmp_path: Path) -> None:
    record = promoted(GOOD, to=tmp_path)
    released = release.load_for("dev", record, local=False)
    assert released.gates_failed == ()
    assert [gate.name for gate in released.gates] == [gate["name"] for gate in GOOD.gates()]
    assert released.metrics == FIGURES
    assert released.forced is None
    assert registry.forced == []


def test_a_phantom_that_a_model_of_brains_refuses_is_a_golden_answer_too(
    registry: Registry, tmp_path: Path
) -> None:
    answers = {answer.seed: answer for answer in release.load(promoted(GOOD, to=tmp_path)).golden}
    assert answers[103].refused is True
    assert answers[103].probability is None
    assert answers[101].probability == 0.5


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_failed_gate_stops_it_and_is_named(registry: Registry, tmp_path: Path, environment: str) -> None:
    with pytest.raises(DeliveryError, match=r"failed the gates specificity\. .*--force REASON"):
        promoted(BLUNT, to=tmp_path, environment=environment)
    assert registry.exported == 0
    assert list(tmp_path.iterdir()) == []


def test_a_reason_goes_with_it_everywhere(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = promoted(BLUNT, to=tmp_path, forced=WHY)
    released = release.load_for("dev", record, local=False)
    assert (released.gates_failed, released.forced) == (("specificity",), WHY)
    assert registry.forced == [WHY]
    assert WHY in capsys.readouterr().err


def test_a_reason_that_was_not_needed_is_not_recorded(registry: Registry, tmp_path: Path) -> None:
    assert release.load(promoted(GOOD, to=tmp_path, forced=WHY)).forced is None
    assert registry.forced == []


def test_the_laptop_shows_failed_gates_and_goes_on(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = promoted(BLUNT, to=tmp_path, environment="local")
    assert release.load_for("local", record, local=True).gates_failed == ("specificity",)
    assert "✗ gate specificity: specificity 0.400, at least 0.6 needed" in capsys.readouterr().err


def test_drawn_images_go_to_a_laptop_only_whatever_the_reason(registry: Registry, tmp_path: Path) -> None:
    drawn = replace(GOOD, dataset_kind="phantom")
    with pytest.raises(DeliveryError, match="drawn phantoms"):
        promoted(drawn, to=tmp_path, forced=WHY)
    assert release.load(promoted(drawn, to=tmp_path, environment="local")).dataset.kind == "phantom"


def test_the_same_release_is_not_written_again(registry: Registry, tmp_path: Path) -> None:
    record = promoted(GOOD, to=tmp_path)
    promoted(GOOD, to=tmp_path)
    assert not release.previous_path(record).exists()
    promoted(replace(GOOD, version="8"), to=tmp_path)
    assert release.load(release.previous_path(record)).model.version == "7"
