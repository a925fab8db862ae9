"""Whatever answers otherwise than the release says is a failed check."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from infra import release
from infra.release import Golden
from scripts.delivery.gateway import Answer
from scripts.delivery.smoke import TOLERANCE, check_gateway

RELEASED = replace(
    release.load(Path(__file__).parents[1] / "fixtures" / "releases" / "local.json"),
    golden=(Golden(seed=1, lesion=True, probability=0.9), Golden(seed=2, lesion=False, refused=True)),
)
SERVING = {"name": RELEASED.model.name, "version": "3", "sha256": RELEASED.model.sha256}
OTHER = SERVING | {"sha256": "f" * 64}


@dataclass
class Told:
    """A gateway that answers what it was told: health, then one answer to each phantom."""

    health_answer: Answer = field(default_factory=lambda: Answer(200, {"status": "ok", "model": SERVING}))
    probability: float = 0.9
    model: dict[str, str] = field(default_factory=lambda: SERVING)
    refusal: int = 422
    asked: int = 0

    def health(self) -> Answer:
        return self.health_answer

    def predict(self, image: bytes, *, media_type: str) -> Answer:
        assert image.startswith(b"\x89PNG")
        self.asked += 1
        if self.asked == 1:
            return Answer(200, {"probability": self.probability, "model": self.model})
        return Answer(self.refusal, {"status": self.refusal, "detail": "no brain MRI"})


def failed(gateway: Told) -> set[str]:
    return {check.name for check in check_gateway(gateway, RELEASED) if not check.passed}


def test_what_was_released_passes() -> None:
    assert failed(Told()) == set()
    assert failed(Told(probability=0.9 + TOLERANCE / 2)) == set()


@pytest.mark.parametrize(
    ("gateway", "names"),
    [
        (Told(probability=0.9 + TOLERANCE * 2), {"golden phantom 1"}),
        (Told(model=OTHER), {"golden phantom 1's model"}),
        (Told(refusal=200), {"golden phantom 2"}),
        (Told(health_answer=Answer(200, {"status": "ok", "model": OTHER})), {"health's model"}),
        (Told(health_answer=Answer(503, {"status": 503, "detail": "no"})), {"health", "health's model"}),
    ],
    ids=["another probability", "another model", "no refusal", "another model in health", "not healthy"],
)
def test_every_difference_fails_its_check(gateway: Told, names: set[str]) -> None:
    assert failed(gateway) == names
