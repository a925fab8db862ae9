"""Each gate fails on its own metric."""

from __future__ import annotations

from typing import Any

import pytest

from model.evaluation.metrics import Difference
from model.release import gates
from tests.model.passing_metrics import GOOD


def details(
    metrics: dict[str, float],
    *,
    over: Difference | None = None,
    comparable: bool = True,
    failed: bool = False,
) -> dict[str, str]:
    """The details of all gates, or of the failed ones alone."""
    outcomes = gates.evaluate(
        metrics, comparable=comparable, over_champion=over, rival="version 7", dataset="brain_mri"
    )
    assert all(outcome["detail"] for outcome in outcomes)
    return {each["name"]: each["detail"] for each in outcomes if not failed or not each["passed"]}


def refused(metrics: dict[str, float], **options: Any) -> set[str]:
    return {*details(metrics, failed=True, **options)}


def better(share: float) -> Difference:
    return Difference(0.01, -0.01, 0.03, better=share)


@pytest.mark.parametrize(
    ("gate", "metric", "enough", "not_enough"),
    [
        ("beats_metadata", "roc_auc_low", 0.851, 0.85),
        ("beats_metadata", "forest_roc_auc_high", 0.919, 0.92),
        ("sensitivity", "sensitivity", 0.93, 0.929),
        ("specificity", "specificity", 0.60, 0.599),
        ("calibration", "calibration_error", 0.06, 0.061),
        ("no_overfitting", "roc_auc", 0.841, 0.839),
        ("no_overfitting", "training_roc_auc", 1.0, 1.11),
        ("robust", "largest_fall", 3.0, 3.1),
        ("refuses_others", "refused_other", 0.95, 0.949),
        ("accepts_mri", "refused_mri", 0.03, 0.031),
        ("sources_balanced", "sources_with_both", 1.0, 0.0),
        ("held_out_auc", "held_out_roc_auc", 0.80, 0.799),
        ("held_out_balanced_accuracy", "held_out_balanced_accuracy", 0.72, 0.719),
        ("held_out_calibration", "held_out_calibration_error", 0.10, 0.101),
        ("held_out_tumour_free", "held_out_all_tumour_free_specificity", 0.60, 0.599),
    ],
)
def test_each_gate_has_its_own_limit(gate: str, metric: str, enough: float, not_enough: float) -> None:
    assert refused(GOOD | {metric: enough}) == set()
    assert refused(GOOD | {metric: not_enough}) == {gate}


@pytest.mark.parametrize("metric", [*GOOD])
def test_a_metric_that_is_not_a_number_fails(metric: str) -> None:
    assert refused(GOOD | {metric: float("nan")})


def test_a_challenger_must_be_better_in_nine_of_ten_draws() -> None:
    assert refused(GOOD, over=better(0.90)) == set()
    assert refused(GOOD, over=better(0.899)) == {"beats_champion"}
    assert refused(GOOD, comparable=False) == {"beats_champion"}


def test_the_detail_names_value_and_limit() -> None:
    found = details(GOOD | {"sensitivity": 0.5}, over=better(0.4))
    assert found["sensitivity"] == "sensitivity 0.500, at least 0.93 needed"
    assert "against version 7, better in 40% of the paired draws, 90% needed" in found["beats_champion"]


@pytest.mark.parametrize(
    ("both", "failed", "detail"),
    [
        (None, {"several_sources"}, "trained on one source (brain_mri): figures inside one source"),
        (2.0, {"several_sources"}, "trained on too few sources with both classes (brain_mri): fig"),
        (0.0, {"several_sources", "sources_balanced"}, "trained on too few sources"),
    ],
)
def test_a_network_of_too_few_sources_is_refused(both: float | None, failed: set[str], detail: str) -> None:
    inside = {name: value for name, value in GOOD.items() if not name.startswith(("held_out", "sources"))}
    metrics = inside | {"refused_mri": 0.025} | ({} if both is None else {"sources_with_both": both})
    found = details(metrics, failed=True)
    assert found.keys() == failed | {"accepts_mri"}  # of known sources, at most 2 % are refused
    assert detail in found["several_sources"]
    assert "docs/training.md" in found["several_sources"]


def test_a_set_without_tumour_free_sources_has_no_gate_for_them() -> None:
    assert refused({name: value for name, value in GOOD.items() if "tumour_free" not in name}) == set()
