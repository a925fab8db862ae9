"""Quality gates: what a network must reach, out of fold, before it may serve anywhere but on a laptop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .evaluate import Difference

MIN_SENSITIVITY = 0.93
MIN_SPECIFICITY = 0.60
"""A missed tumour costs more than a second look, so sensitivity is asked for more."""
MAX_CALIBRATION_ERROR = 0.06
MAX_OPTIMISM = 0.15
"""How much higher the ROC AUC may be on what was learnt from than out of fold; more is learning by heart."""
MAX_FALL = 3.0
"""Points of balanced accuracy that a harmless change of the image may cost."""
MIN_REFUSED, MAX_WRONGLY_REFUSED = 0.95, 0.02
MIN_BETTER = 0.90
"""Share of the paired bootstrap draws in which a challenger must be better than the champion."""


class Outcome(TypedDict):
    """One gate's verdict, as the release record keeps it."""

    name: str
    passed: bool
    detail: str


def evaluate(
    metrics: Mapping[str, float], *, comparable: bool, over_champion: Difference | None, rival: str
) -> list[Outcome]:
    """Judge a network by the figures of its training; every gate is judged, whatever the others say.

    Parameters
    ----------
    metrics
        As `Report.metrics` gives them.
    comparable
        Whether nothing stands in the way of a comparison; a challenger that could be compared and was not is
        refused.
    over_champion
        How much higher its ROC AUC is than the present champion's on the same folds; None where they cannot
        be paired.
    rival
        The present champion, or why there is nothing to compare with, for people.
    """
    optimism = metrics["training_roc_auc"] - metrics["roc_auc"]
    return [
        _outcome(
            "beats_metadata",
            metrics["roc_auc_low"] > metrics["forest_roc_auc_high"],
            f"ROC AUC from {metrics['roc_auc_low']:.3f} against the metadata forest's up to "
            f"{metrics['forest_roc_auc_high']:.3f}",
        ),
        _champion(comparable, over_champion, rival),
        _at_least("sensitivity", metrics["sensitivity"], MIN_SENSITIVITY),
        _at_least("specificity", metrics["specificity"], MIN_SPECIFICITY),
        _at_most("calibration", metrics["calibration_error"], MAX_CALIBRATION_ERROR, "calibration error"),
        _at_most("not_by_heart", optimism, MAX_OPTIMISM, "ROC AUC on what was learnt above that out of fold"),
        _at_most("groups_apart", metrics["straddling_groups"], 0, "near-duplicates on both sides of a split"),
        _at_most("robust", metrics["largest_fall"], MAX_FALL, "points lost by a harmless change"),
        _at_least("refuses_others", metrics["refused_other"], MIN_REFUSED, "share of other pictures refused"),
        _at_most("accepts_mri", metrics["refused_mri"], MAX_WRONGLY_REFUSED, "share of brain MRIs refused"),
    ]


def _champion(comparable: bool, over: Difference | None, rival: str) -> Outcome:
    if over is None:
        return _outcome("beats_champion", comparable, rival)
    detail = (
        f"ROC AUC {over.value:+.3f} ({over.low:+.3f} to {over.high:+.3f}) against {rival}, better in "
        f"{over.better:.0%} of the paired draws, {MIN_BETTER:.0%} needed"
    )
    return _outcome("beats_champion", over.better >= MIN_BETTER, detail)


def _at_least(name: str, value: float, least: float, what: str = "") -> Outcome:
    return _outcome(name, value >= least, f"{what or name} {value:.3f}, at least {least:g} needed")


def _at_most(name: str, value: float, most: float, what: str) -> Outcome:
    return _outcome(name, value <= most, f"{what}: {value:.3f}, at most {most:g} allowed")


def _outcome(name: str, passed: bool, detail: str) -> Outcome:
    return {"name": name, "passed": bool(passed), "detail": detail}
