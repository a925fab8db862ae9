"""Figures and their intervals.

Every image counts by its weight, 1 / size of its group of near-duplicates, and intervals come from drawing
groups, not images: a copy is no further evidence. A figure is that of one network, averaged over the repeats
of the cross-validation; predictions are never averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .judge import Judgement
    from .split import Cases

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]
    Figures = dict[str, "Figure"]

BOOTSTRAP_DRAWS = 1000
CONFIDENCE = 0.95
BINS = 10
"""Of the expected calibration error, each of equal mass."""


@dataclass(frozen=True)
class Figure:
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Difference:
    """How much higher a figure is for one network than for another, over the same drawn groups.

    Attributes
    ----------
    better
        Share of the draws in which it is higher.
    """

    value: float
    low: float
    high: float
    better: float


def figures(judged: Sequence[Judgement], *, seed: int = 0) -> Figures:
    """All figures of one network, averaged over its repeats; intervals by bootstrap over groups of a class.

    A drawn calibration error is higher than the true one, since drawing adds noise to every bin: its interval
    is moved down by as much as the draws' median lies above the value.
    """
    cases = judged[0].cases
    values = _averaged(judged, cases.weights[None])
    drawn = _averaged(judged, cases.weights * _draws(cases, seed=seed))
    measured = {}
    for name in values:
        value, (low, high) = float(values[name][0]), _interval(drawn[name])
        if name == "calibration_error":
            excess = float(np.median(drawn[name])) - value
            low, high = max(0.0, low - excess), high - excess
        measured[name] = Figure(value, low, high)
    return measured


def compare(
    first: Sequence[Judgement], second: Sequence[Judgement], name: str, *, seed: int = 0
) -> Difference:
    """Compare a figure of two networks that judged the same images, by a paired bootstrap over groups."""
    cases = first[0].cases
    drawn_weights = cases.weights * _draws(cases, seed=seed)
    value, drawn = (
        _averaged(first, weights)[name] - _averaged(second, weights)[name]
        for weights in (cases.weights[None], drawn_weights)
    )
    return Difference(float(value[0]), *_interval(drawn), better=float(np.mean(drawn > 0)))


def majority_accuracy(cases: Cases) -> float:
    """Accuracy of always answering the commoner class."""
    share_of_yes = float(np.average(cases.labels, weights=cases.weights))
    return max(share_of_yes, 1 - share_of_yes)


def flat(measured: Figures, *, prefix: str = "") -> dict[str, float]:
    """Figures as MLflow and `metadata.json` keep them: `name`, `name_low`, `name_high`."""
    return {
        f"{prefix}{name}{bound}": value
        for name, figure in measured.items()
        for bound, value in (("", figure.value), ("_low", figure.low), ("_high", figure.high))
    }


def roc_auc(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Area under the ROC curve: how often a YES image has the higher score, a tie counting half.

    Parameters
    ----------
    scores, labels
        Shape (n,).
    weights
        Shape (rows, n): one area for each row.

    Returns
    -------
    Shape (rows,); not a number where a row has one class only.
    """
    yes, no = _mass_by_level(scores, labels, weights)
    no_below = np.cumsum(no, axis=1) - no / 2
    with np.errstate(invalid="ignore"):
        area: Floats = (yes * no_below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1))
    return area


def average_precision(scores: Floats, labels: Labels, weights: Floats) -> Floats:
    """Precision at each score level, averaged by the tumours that lie on it; shapes as `roc_auc`'s."""
    yes, no = _mass_by_level(scores, labels, weights)
    found = np.cumsum(yes[:, ::-1], axis=1)[:, ::-1]
    called = np.cumsum((yes + no)[:, ::-1], axis=1)[:, ::-1]
    with np.errstate(invalid="ignore"):
        precision = np.where(called > 0, found / called, 0.0)
        average: Floats = (yes * precision).sum(axis=1) / yes.sum(axis=1)
    return average


def calibration_error(probabilities: Floats, labels: Labels, weights: Floats) -> Floats:
    """Expected calibration error: how far each bin's mean probability is from its share of tumours.

    The bins hold equal mass in the first row of weights; every row uses these. Shapes as `roc_auc`'s.
    """
    _, level = np.unique(probabilities, return_inverse=True)  # equal probabilities stay in one bin
    mass = np.bincount(level, weights[0])
    middle = np.cumsum(mass) - mass / 2
    bins = np.minimum(middle * BINS / mass.sum(), BINS - 1).astype(int)[level]
    in_bin = bins == np.arange(BINS)[:, None]
    gaps = (weights * (probabilities - labels)) @ in_bin.T
    error: Floats = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return error


def _mass_by_level(scores: Floats, labels: Labels, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of both classes on each level of the score, from the lowest up: (rows, levels)."""
    order = np.argsort(scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # where the next higher score begins
    positive = labels[order] == 1
    yes: Floats = np.add.reduceat(weights[:, order] * positive, starts, axis=1)
    no: Floats = np.add.reduceat(weights[:, order] * ~positive, starts, axis=1)
    return yes, no


def _interval(drawn: Floats) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


def _draws(cases: Cases, *, seed: int) -> Floats:
    """How often each image's group was drawn in each bootstrap draw, shape (draws, n)."""
    rng = np.random.default_rng(seed)
    unique, first, inverse = np.unique(cases.groups, return_index=True, return_inverse=True)
    times = np.zeros((BOOTSTRAP_DRAWS, len(unique)))
    for label in (0, 1):
        stratum = np.flatnonzero(cases.labels[first] == label)
        if len(stratum):
            chances = np.full(len(stratum), 1 / len(stratum))
            times[:, stratum] = rng.multinomial(len(stratum), chances, size=BOOTSTRAP_DRAWS)
    return times[:, inverse]


def _averaged(judged: Sequence[Judgement], weights: Floats) -> dict[str, Floats]:
    """Each figure under each row of weights, averaged over the repeats: shape (rows, n) -> (rows,)."""
    repeats = [_values(each, weights) for each in judged]
    return {name: np.mean([values[name] for values in repeats], axis=0) for name in repeats[0]}


def _values(judged: Judgement, weights: Floats) -> dict[str, Floats]:
    """Each figure of one repeat under each row of weights, shape (rows, n) -> (rows,)."""
    labels, probabilities = judged.cases.labels, judged.probabilities
    positive, said_yes, even_yes = labels == 1, judged.decisions == 1, judged.even == 1
    everything = np.ones(len(labels), dtype=bool)
    sensitivity, even_sensitivity = (_share(said, positive, weights) for said in (said_yes, even_yes))
    specificity, even_specificity = (_share(~said, ~positive, weights) for said in (said_yes, even_yes))
    return {
        "roc_auc": roc_auc(probabilities, labels, weights),
        "average_precision": average_precision(probabilities, labels, weights),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "accuracy": _share(said_yes == positive, everything, weights),
        "youden_sensitivity": even_sensitivity,
        "youden_specificity": even_specificity,
        "youden_balanced_accuracy": (even_sensitivity + even_specificity) / 2,
        "brier_score": _share((probabilities - labels) ** 2, everything, weights),
        "calibration_error": calibration_error(probabilities, labels, weights),
    }


def _share(what: NDArray[np.bool_] | Floats, among: NDArray[np.bool_], weights: Floats) -> Floats:
    """Weighted mean of `what` among the images that `among` marks."""
    counted = weights * among
    with np.errstate(invalid="ignore"):
        share: Floats = (counted * what).sum(axis=-1) / counted.sum(axis=-1)
    return share
