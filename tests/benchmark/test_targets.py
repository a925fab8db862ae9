"""The targets: what they are sent, and that ours and the peers that need no installation really serve."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from model.data import phantom
from scripts.benchmark import load, measure, network, targets
from scripts.benchmark.load import Outcome, Payload
from scripts.benchmark.measure import Grid
from scripts.benchmark.targets import TARGETS
from scripts.commands import bench
from scripts.console import DeliveryError
from tests.tiny_model import make_model_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE = Payload(phantom.png(seed=7, lesion=True), "image/png")
GRID = Grid({"512": IMAGE}, connections=(2,), seconds=1)
RESPONSES = {
    "raw": b'{"probability": 0.25}',
    "dataframe": b'{"predictions": [0.25]}',
}
BY_NAME = {target.name: target for target in TARGETS}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model, this Python as every environment, and a client that posts one image."""
    monkeypatch.setattr(network, "SERVING", make_model_dir(tmp_path / "model", logit=2.0))
    monkeypatch.setattr(measure, "HOME", tmp_path)
    monkeypatch.setattr(measure, "SETTLE_S", 0)

    def ensure(name: str, locks: Sequence[Path]) -> Path:
        return Path(sys.executable).parent

    def post(url: str, payload: Payload, *, connections: int, seconds: float) -> Outcome:
        return Outcome(completed=1, errors=0, seconds=seconds, p50_ms=1, p99_ms=1)

    monkeypatch.setattr(targets, "ensure_environment", ensure)
    monkeypatch.setattr(load, "run", post)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_target_has_its_requirements_and_its_form_of_an_image(target: targets.Target) -> None:
    assert all(lock.is_file() for lock in target.locks)
    packed = target.pack(IMAGE)
    assert packed == IMAGE or json.loads(packed.body)
    assert target.probability(RESPONSES[target.payload]) == 0.25


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", ["ours", "gunicorn"])
def test_a_server_starts_and_every_point_is_measured(name: str) -> None:
    measured = measure.server(BY_NAME[name], GRID)
    assert measured.points.keys() == {"512@2"}
    assert measured.ping_s is not None
    assert measured.prediction_s is not None
    assert 0 < measured.ping_s <= measured.prediction_s
    assert measured.pss_mb is not None
    assert measured.pss_mb > 10


@pytest.mark.usefixtures("tiny")
def test_a_server_that_predicts_something_else_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "expected", lambda _: 0.5)
    with pytest.raises(DeliveryError, match=r"predicts 0\.\d+ instead of 0\.500000"):
        measure.server(BY_NAME["gunicorn"], GRID)


@pytest.mark.usefixtures("tiny")
def test_a_server_that_does_not_start_is_reported_with_its_log() -> None:
    failing = ("{bin}/python", "-c", "raise SystemExit('no such setting')")
    with pytest.raises(DeliveryError, match=r"(?s)ended before it responded.*no such setting"):
        measure.server(replace(BY_NAME["ours"], command=failing), GRID)


@pytest.mark.usefixtures("tiny")
def test_the_lower_bound_counts_predictions() -> None:
    point = measure.lower_bound(replace(GRID, seconds=0.5)).points["512"]
    assert point.per_second > 0
    assert 0 < point.p50_ms <= point.p99_ms


def test_a_failed_target_is_left_out_of_the_rounds_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(target: targets.Target, grid: Grid) -> measure.Round:
        if target.name == "mlflow":
            raise DeliveryError("it is broken")
        return measure.Round()

    monkeypatch.setattr(measure, "server", fail)
    rounds = bench.measure_all([BY_NAME["mlflow"], BY_NAME["ours"]], GRID, count=3)
    assert {name: len(each) for name, each in rounds.items()} == {"mlflow": 0, "ours": 3}
