"""Quality gates that a network must pass, out of fold, to serve in any environment but local."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.evaluation.metrics import Difference

MIN_SENSITIVITY = 0.93  # below the 0.95 at which the threshold is chosen, for sampling error
MIN_SPECIFICITY = 0.60
"""Lower than the sensitivity, since a missed tumour costs more than a false alarm."""
MAX_CALIBRATION_ERROR = 0.06
MAX_OPTIMISM = 0.15
"""Largest excess of the training ROC AUC over the out-of-fold ROC AUC; more is overfitting."""
MAX_FALL = 3.0
"""Largest loss of balanced accuracy under a perturbation, in percentage points."""
MIN_REFUSED, MAX_WRONGLY_REFUSED, MAX_HELD_OUT_REFUSED = 0.95, 0.02, 0.03
MIN_HELD_OUT_AUC, MIN_HELD_OUT_ACCURACY, MAX_HELD_OUT_CALIBRATION = 0.80, 0.72, 0.10
"""Means over the sources, each judged by what never saw it."""
SHADOW = "shadow"
"""Name of the gate that a promotion adds to those of the training."""
MIN_BETTER = 0.90
"""Share of the paired bootstrap draws in which a challenger must beat the champion."""


class Outcome(TypedDict):
    """The result of one gate, as in the release record."""

    name: str
    passed: bool
    detail: str


def evaluate(
    metrics: Mapping[str, float],
    *,
    comparable: bool,
    over_champion: Difference | None,
    rival: str,
    dataset: str,
) -> list[Outcome]:
    """Evaluate every gate on the metrics of a `Report`.

    `over_champion` is by how much the ROC AUC exceeds the champion's on the same folds; None where the two
    cannot be paired. `comparable` is False where only their folds differ, which fails the gate. `rival` is
    the champion, or why there is none, and `dataset` the data set's name, for the gates' details.
    """
    # Among several sources, a file's size tells the source, and the source often the class.
    where = "held_out_" if "held_out_forest_roc_auc" in metrics else ""
    optimism = metrics["training_roc_auc"] - metrics["roc_auc"]
    most_refused = MAX_HELD_OUT_REFUSED if "held_out_roc_auc" in metrics else MAX_WRONGLY_REFUSED
    return [
        _outcome(
            "beats_metadata",
            metrics[f"{where}roc_auc_low"] > metrics[f"{where}forest_roc_auc_high"],
            f"ROC AUC from {metrics[f'{where}roc_auc_low']:.3f} against the metadata forest's up to "
            f"{metrics[f'{where}forest_roc_auc_high']:.3f}{', on sources left out' if where else ''}",
        ),
        _champion(comparable, over_champion, rival),
        _at_least("sensitivity", metrics["sensitivity"], MIN_SENSITIVITY),
        _at_least("specificity", metrics["specificity"], MIN_SPECIFICITY),
        _at_most("calibration", metrics["calibration_error"], MAX_CALIBRATION_ERROR, "calibration error"),
        _at_most("no_overfitting", optimism, MAX_OPTIMISM, "training ROC AUC above the out-of-fold ROC AUC"),
        _at_most("robust", metrics["largest_fall"], MAX_FALL, "percentage points lost by a perturbation"),
        _at_least("refuses_others", metrics["refused_other"], MIN_REFUSED, "share of other images refused"),
        _at_most("accepts_mri", metrics["refused_mri"], most_refused, "share of brain MRIs refused"),
        *_held_out(metrics, dataset),
    ]


def shadowed(compared: Mapping[str, Any] | None, asked: Mapping[str, str], *, hours: int) -> Outcome:
    """Evaluate how long a version was the shadow of what serves, by its last comparison.

    A comparison counts only in the `asked` environment and beside the artifact that serves there now.
    """
    covered, agreed = 0, ""
    if compared and all(compared[name] == value for name, value in asked.items()):
        covered = compared["hours"]
        agreed = f", {compared['agreement']['value']:.1%} of {compared['pairs']} answers the same class"
    command = f"scripts/compare --shadow --env {asked['environment']} --since {hours // 24 + 1}d"
    remedy = "" if covered >= hours else f"; serve it as [hosting.shadow], then run {command}"
    detail = f"compared as a shadow in {covered} hours, at least {hours} needed{agreed}{remedy}"
    return _outcome(SHADOW, covered >= hours, detail)


def _held_out(metrics: Mapping[str, float], dataset: str) -> list[Outcome]:
    both = metrics.get("sources_with_both", 1)  # earlier releases were trained on one source
    alone = "" if both >= 1 else ": the source alone tells the class"
    found = [_outcome("sources_balanced", both >= 1, f"{both:g} sources with both classes{alone}")]
    if "held_out_roc_auc" not in metrics:
        what = "one source" if both == 1 else "too few sources with both classes"
        unknown = "figures inside one source do not hold on others; see docs/training.md"
        detail = f"trained on {what} ({dataset}): {unknown}"
        return [*found, _outcome("several_sources", passed=False, detail=detail)]
    area, accuracy = metrics["held_out_roc_auc"], metrics["held_out_balanced_accuracy"]
    error, where = metrics["held_out_calibration_error"], "on sources left out"
    found += [
        _at_least("held_out_auc", area, MIN_HELD_OUT_AUC, f"mean ROC AUC {where}"),
        _at_least(
            "held_out_balanced_accuracy", accuracy, MIN_HELD_OUT_ACCURACY, f"balanced accuracy {where}"
        ),
        _at_most("held_out_calibration", error, MAX_HELD_OUT_CALIBRATION, f"calibration error {where}"),
    ]
    name = "held_out_all_tumour_free_specificity"
    if name in metrics:
        what = "specificity on tumour-free sources left out"
        found.append(_at_least("held_out_tumour_free", metrics[name], MIN_SPECIFICITY, what))
    return found


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
