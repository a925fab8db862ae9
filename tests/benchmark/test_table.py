"""The tables: medians over rounds, ratios, and what could not be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.benchmark import load
from scripts.benchmark.load import Payload
from scripts.benchmark.measure import Grid, Point, Round
from scripts.benchmark.targets import LOWER_BOUND
from scripts.commands.bench import markdown
from scripts.console import DeliveryError

if TYPE_CHECKING:
    from scripts.commands.bench import Rounds

GRID = Grid({"JPEG": Payload(b"", "image/jpeg")}, connections=(1, 8), seconds=1)
TITLES = {LOWER_BOUND: "lower bound", "ours": "this server", "peer": "a peer"}


def a_round(*, one: float, eight: float, cpu_ms: float, errors: int = 0) -> Round:
    points = {
        "JPEG@1": Point(one, cpu_ms, p50_ms=9, p99_ms=11),
        "JPEG@8": Point(eight, cpu_ms, p50_ms=30, p99_ms=40, errors=errors),
    }
    return Round(ping_s=0.2, prediction_s=0.25, pss_mb=80, points=points)


def rows(rounds: Rounds) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in markdown(rounds, TITLES, GRID).splitlines()]
    return {cells[0]: cells[1:] for cells in lines if cells[0] in TITLES.values()}


def test_medians_and_ratios_are_shown() -> None:
    rounds = {
        LOWER_BOUND: [Round(points={"JPEG": Point(300, 6, p50_ms=6, p99_ms=8)})],
        "ours": [a_round(one=each, eight=2 * each, cpu_ms=9) for each in (90, 100, 140)],
        "peer": [a_round(one=25, eight=50, cpu_ms=18, errors=2)],
    }
    found = rows(rounds)
    assert found["this server"] == [
        "100 / 200", "1.00", "30.0, 40.0", "9.00", "1.50", "0.20", "0.25", "80", "0"
    ]  # fmt: skip
    assert found["a peer"][:2] == ["25 / 50", "0.25"]
    assert found["a peer"][-1] == "2"
    assert found["lower bound"] == ["300", "1.50", "6.0, 8.0", "6.00", "1.00", "-", "-", "-", "0"]


def test_without_a_lower_bound_or_ours_ratios_are_dashes() -> None:
    found = rows({"ours": [], "peer": [a_round(one=25, eight=50, cpu_ms=18)]})
    assert "this server" not in found
    assert found["a peer"][1] == found["a peer"][4] == "-"


def test_wrks_result_is_read_among_its_other_output() -> None:
    result = '{"completed": 10, "errors": 4, "seconds": 2.0, "p50_ms": 1.5, "p99_ms": 3}'
    outcome = load.read(f"Running 1s test\n\nresult {result}\n")
    assert (outcome.completed, outcome.errors, outcome.per_second, outcome.p99_ms) == (10, 4, 3.0, 3)
    with pytest.raises(DeliveryError, match="no result"):
        load.read("unable to connect")
