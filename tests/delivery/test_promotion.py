"""Promotion: what stops it, and what it writes into the release record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest

from container.predictor import Predictor
from infra import config, release
from infra.config.environment import Gates
from model.release import gates, golden
from model.release import registry as registry_module
from model.release.export import Artifact
from scripts.console import DeliveryError
from scripts.delivery import artifacts, promotion
from scripts.delivery.promotion import promote
from tests.model.passing_metrics import GOOD as METRICS

if TYPE_CHECKING:
    from pathlib import Path

    from infra.release import Release
    from model.release.export import Metadata
    from model.release.gates import Outcome
    from model.release.registry import ModelVersion

SHA256 = "c" * 64
WHY = "agreed in the review of 3 May"


@dataclass(frozen=True)
class Candidate:
    """A model version with these metrics."""

    metrics: dict[str, float] = field(default_factory=lambda: METRICS)
    dataset_kind: str = "images"
    name: str = "tumor-detector"
    version: str = "7"
    compared: dict[str, object] | None = None

    def shadow_comparison(self) -> dict[str, object] | None:
        return self.compared

    def gates(self) -> list[Outcome]:
        return gates.evaluate(
            self.metrics, comparable=True, over_champion=None, rival="none", dataset="drawn"
        )


GOOD, WEAK = Candidate(), Candidate(METRICS | {"specificity": 0.4})


@dataclass
class Registry:
    """What a promotion did to the model registry."""

    forced: list[str] = field(default_factory=list)
    exported: int = 0


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An export without a network, an AWS that accepts everything, and a model that refuses phantom 103."""
    recorded = Registry()

    def export(champion: Candidate, *, to: Path) -> Artifact:
        recorded.exported += 1
        metadata = {
            "dataset": {"name": "brain_mri", "kind": champion.dataset_kind, "fingerprint": "d" * 64},
            "mlflow": {"experiment": "tumor-detector", "run_id": "e" * 32},
            "metrics": champion.metrics,
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
        (registry_module, "force", lambda _, *, reason: recorded.forced.append(reason)),
    ):
        monkeypatch.setattr(place, name, instead)
    return recorded


def promoted(candidate: Candidate, *, to: Path, environment: str = "dev", forced: str | None = None) -> Path:
    record = to / f"{environment}.json"
    promote(config.load(environment), cast("ModelVersion", candidate), record=record, forced=forced)
    return record


def test_the_record_holds_gates_metrics_and_golden_answers(registry: Registry, tmp_path: Path) -> None:
    record = promoted(GOOD, to=tmp_path)
    released = release.load_for("dev", record, local=False)
    assert released.gates_failed == ()
    assert [gate.name for gate in released.gates] == [gate["name"] for gate in GOOD.gates()]
    assert released.metrics == METRICS
    answers = {answer.seed: (answer.refused, answer.probability) for answer in released.golden}
    assert (answers[101], answers[103]) == ((None, 0.5), (True, None))


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_failed_gate_stops_the_promotion(registry: Registry, tmp_path: Path, environment: str) -> None:
    with pytest.raises(DeliveryError, match=r"failed the gates specificity\. .*--force REASON"):
        promoted(WEAK, to=tmp_path, environment=environment)
    assert registry.exported == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("candidate", "recorded"), [(WEAK, WHY), (GOOD, None)], ids=["needed", "unneeded"])
def test_a_reason_is_recorded_where_it_overrides_a_gate(
    registry: Registry, tmp_path: Path, candidate: Candidate, recorded: str | None
) -> None:
    assert release.load(promoted(candidate, to=tmp_path, forced=WHY)).forced == recorded
    assert registry.forced == ([recorded] if recorded else [])


def test_a_local_environment_shows_failed_gates_and_promotes(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = promoted(WEAK, to=tmp_path, environment="local")
    assert release.load_for("local", record, local=True).gates_failed == ("specificity",)
    assert "✗ gate specificity: specificity 0.400, at least 0.6 needed" in capsys.readouterr().err


def test_a_model_trained_on_phantoms_is_promoted_locally_only(registry: Registry, tmp_path: Path) -> None:
    phantoms = replace(GOOD, dataset_kind="phantom")
    with pytest.raises(DeliveryError, match="trained on phantoms"):
        promoted(phantoms, to=tmp_path, forced=WHY)
    assert release.load(promoted(phantoms, to=tmp_path, environment="local")).dataset.kind == "phantom"


def test_the_same_release_is_not_written_again(registry: Registry, tmp_path: Path) -> None:
    record = promoted(GOOD, to=tmp_path)
    promoted(GOOD, to=tmp_path)
    assert not release.previous_path(record).exists()
    promoted(replace(GOOD, version="8"), to=tmp_path)
    assert release.load(release.previous_path(record)).model.version == "7"


def test_the_settings_gate_asks_for_hours_as_a_shadow_of_what_serves(
    registry: Registry, tmp_path: Path
) -> None:
    settings = replace(config.load("prod"), gates=Gates(shadow_hours=3))

    def promoted_as(name: str, candidate: Candidate, *, forced: str | None = None) -> Release:
        record = tmp_path / name
        promote(settings, cast("ModelVersion", candidate), record=record, forced=forced)
        return release.load_for("prod", record, local=False)

    promoted_as("prod.json", GOOD)  # the first one has nothing to be compared with
    later = replace(GOOD, version="8")
    promoted_as("prod.shadow.json", later)  # where it is no release yet
    compared: dict[str, object] = {"environment": "prod", "served": SHA256, "hours": 3, "pairs": 40}
    compared["agreement"] = {"value": 0.95}
    others: list[tuple[dict[str, object], int]]
    others = [({"hours": 2}, 2), ({"served": "e" * 64}, 0), ({"environment": "dev"}, 0)]
    for found, hours in ((None, 0), *((compared | members, hours) for members, hours in others)):
        short = replace(later, compared=found)
        needed = f"in {hours} hours, at least 3 needed.*scripts/compare --shadow --env prod"
        with pytest.raises(DeliveryError, match=rf"failed the gates shadow\. .*{needed}"):
            promoted_as("prod.json", short)
    assert promoted_as("prod.json", later, forced=WHY).gates_failed == ("shadow",)
    # And with enough hours it passes, also when it is promoted again
    enough = replace(GOOD, version="9", compared=compared)
    first = promoted_as("prod.json", enough)
    assert first.gates[-1].detail.startswith(
        "compared as a shadow in 3 hours, at least 3 needed, 95.0% of 40"
    )
    assert promoted_as("prod.json", replace(enough, compared=None)) == first
