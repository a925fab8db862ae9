"""The evidence is compared with the outline of the tumour."""

from __future__ import annotations

import numpy as np
import pytest

from model.data.cases import Cases
from model.evaluation.localisation import locate, summarise

SIZE, CELLS = 64, 4


def measured(*cells: tuple[int, int], evidence: float = 5.0) -> dict[str, float]:
    """Measure a map of -1 with evidence in the cells, of a head whose tumour fills the upper left cell."""
    grid = np.full((1, CELLS, CELLS), -1.0)
    for cell in cells:
        grid[(0, *cell)] = evidence
    greys = np.full((1, SIZE, SIZE), 100, dtype=np.uint8)
    outline = np.zeros((1, SIZE, SIZE), dtype=bool)
    outline[0, : SIZE // CELLS, : SIZE // CELLS] = True
    return {name: float(values[0]) for name, values in locate(grid, greys, outline).items()}


def test_evidence_inside_the_outline_is_concentrated_there() -> None:
    found = measured((0, 0))
    assert found["strongest_point_inside"] == 1
    assert 5 < found["concentration"] < 16  # all of it would be 16 times the outline's share of the head
    assert found["share_of_maximum"] < 0.02


@pytest.mark.parametrize("found", [measured((3, 3)), measured(), measured((0, 0), evidence=0.0)])
def test_evidence_elsewhere_or_none_points_at_nothing(found: dict[str, float]) -> None:
    assert found["strongest_point_inside"] == 0
    assert found["concentration"] == 0


def test_even_evidence_has_a_concentration_of_one() -> None:
    everywhere = [(row, column) for row in range(CELLS) for column in range(CELLS)]
    assert measured(*everywhere)["concentration"] == pytest.approx(1)


def test_a_patient_of_many_slices_counts_once() -> None:
    # Given three slices of one patient, which point elsewhere, and one of another, which points at the tumour
    groups = np.array([0, 0, 0, 1])
    cases = Cases(np.ones(4, dtype=np.int64), groups, groups, np.array([1 / 3, 1 / 3, 1 / 3, 1]))
    hits = np.array([0.0, 0, 0, 1])
    measures = {"strongest_point_inside": hits, "concentration": 8 * hits, "share_of_maximum": hits / 100}
    found = summarise(measures, cases)
    assert found.images == 4
    assert found.strongest_point_inside.value == pytest.approx(0.5)
    assert (found.strongest_point_inside.low, found.strongest_point_inside.high) == (0, 1)
