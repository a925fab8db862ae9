"""Metrics and their confidence intervals.

Every image counts by its weight, 1 / size of its group of near-duplicates, and the bootstrap draws groups
rather than images: a copy adds no evidence. Predictions of several networks are never averaged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.arrays import Floats, Indices, Mask
    from model.data.cases import Cases
    from model.evaluation.predictions import Predictions

    Estimates = dict[str, "Estimate"]

BOOTSTRAP_DRAWS = 1000
CONFIDENCE = 0.95
BINS = 10
"""Bins of the expected calibration error, each of equal mass."""


@dataclass(frozen=True)
class Estimate:
    """A metric's value and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Difference(Estimate):
    """By how much one network's figure exceeds another's, and the share of draws in which it does."""

    better: float


def estimates(predictions: Predictions) -> Estimates:
    """Estimate every metric; intervals by a bootstrap over groups, by class.

    Resampling adds noise to every bin of the calibration error, so its draws are biased upwards: its interval
    is shifted down by the difference between their median and the value. Images of one class have no metric
    that needs the other.
    """
    return _summary(*_sampled(predictions))


def mean_estimates(sets: Sequence[Predictions]) -> Estimates:
    """Estimate each metric's mean over sets of images; each set's groups are drawn on their own.

    The interval is that of these sets' mean: how much other sets would differ, it does not tell.
    """
    sampled = [_sampled(each, seed=number) for number, each in enumerate(sets)]
    values, draws = (
        {name: np.mean([each[name] for each in part], axis=0) for name in part[0]}
        for part in zip(*sampled, strict=True)
    )
    return _summary(values, draws)


def weighted_estimate(values: Floats, cases: Cases, statistic: Callable[..., float]) -> Estimate:
    """Estimate a weighted statistic of the images' values, (n,), such as `numpy.average`."""
    draws = [statistic(values, weights=weights) for weights in cases.weights * _draws(cases)]
    return Estimate(float(statistic(values, weights=cases.weights)), *_interval(np.array(draws)))


def differences(first: Predictions, second: Predictions) -> dict[str, Difference]:
    """Compare every metric of two networks on the same images, by a paired bootstrap over groups.

    Each draw is the same groups for both, which takes out how hard they are. Images of one class have no
    metric that needs the other.
    """
    cases = first.cases
    values, draws = (
        {name: mine[name] - theirs[name] for name in mine}
        for weights in (cases.weights[None], cases.weights * _draws(cases))
        for mine, theirs in [(_values(first, weights), _values(second, weights))]
    )
    return {
        name: Difference(float(value), *_interval(draws[name]), better=float(np.mean(draws[name] > 0)))
        for name, (value,) in values.items()
        if not np.isnan(value)
    }


def majority_accuracy(cases: Cases) -> float:
    """Accuracy of always predicting the more frequent class."""
    share_of_yes = float(np.average(cases.labels, weights=cases.weights))
    return max(share_of_yes, 1 - share_of_yes)


def flat(measured: Estimates, *, prefix: str = "") -> dict[str, float]:
    """Flatten to `name`, `name_low` and `name_high`, as MLflow and `metadata.json` hold them."""
    return {
        metric_name(f"{prefix}{name}{bound}"): value
        for name, estimate in measured.items()
        for bound, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high))
    }


def metric_name(text: str) -> str:
    """Replace what MLflow does not take in a metric's name."""
    return re.sub(r"\W", "_", text)


def roc_auc(scores: Floats, labels: Indices, weights: Floats) -> Floats:
    """Area under the ROC curve; ties count half.

    One area for each row of weights, (rows, n) -> (rows,); NaN where a row has one class only. Scores and
    labels have shape (n,).
    """
    order = np.argsort(scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of the distinct scores, ascending
    positive = labels[order] == 1
    yes = np.add.reduceat(weights[:, order] * positive, starts, axis=1)
    no = np.add.reduceat(weights[:, order] * ~positive, starts, axis=1)
    no_below = np.cumsum(no, axis=1) - no / 2
    with np.errstate(invalid="ignore"):
        area: Floats = (yes * no_below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1))
    return area


def calibration_error(probabilities: Floats, labels: Indices, weights: Floats) -> Floats:
    """Expected calibration error: mean gap between a bin's probability and its share of tumours.

    The bins have equal mass under the first row of weights and are the same for every row. Shapes as for
    `roc_auc`.
    """
    _, level = np.unique(probabilities, return_inverse=True)  # equal probabilities share a bin
    mass = np.bincount(level, weights[0])
    middle = np.cumsum(mass) - mass / 2
    bins = np.minimum(middle * BINS / mass.sum(), BINS - 1).astype(int)[level]
    in_bin = bins == np.arange(BINS)[:, None]
    gaps = (weights * (probabilities - labels)) @ in_bin.T
    error: Floats = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return error


def _interval(draws: Floats) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def _draws(cases: Cases, *, seed: int = 0) -> Floats:
    """How often each image's group occurs in each bootstrap draw, shape (draws, n)."""
    rng = np.random.default_rng(seed)
    unique, inverse, sizes = np.unique(cases.groups, return_inverse=True, return_counts=True)
    yes = np.bincount(inverse, cases.labels) / sizes
    times = np.zeros((BOOTSTRAP_DRAWS, len(unique)))
    for members in (yes == 0, yes == 1, (yes > 0) & (yes < 1)):  # a group that mixes classes stays whole
        stratum = np.flatnonzero(members)
        if len(stratum):
            chances = np.full(len(stratum), 1 / len(stratum))
            times[:, stratum] = rng.multinomial(len(stratum), chances, size=BOOTSTRAP_DRAWS)
    return times[:, inverse]


def _sampled(predictions: Predictions, *, seed: int = 0) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Each metric's value, (1,), and its value in each bootstrap draw, (draws,)."""
    cases = predictions.cases
    values = _values(predictions, cases.weights[None])
    return values, _values(predictions, cases.weights * _draws(cases, seed=seed))


def _summary(values: dict[str, Floats], draws: dict[str, Floats]) -> Estimates:
    found = {}
    for name, (value,) in values.items():
        if np.isnan(value):
            continue
        low, high = _interval(draws[name])
        if name == "calibration_error":
            bias = float(np.median(draws[name]) - value)
            low, high = max(0.0, low - bias), high - bias
        found[name] = Estimate(float(value), low, high)
    return found


def _values(predictions: Predictions, weights: Floats) -> dict[str, Floats]:
    """Each metric under each row of weights: (rows, n) -> (rows,)."""
    labels, probabilities = predictions.cases.labels, predictions.probabilities
    positive, yes = labels == 1, predictions.predicted == 1
    everything = np.ones(len(labels), dtype=bool)
    sensitivity, specificity = _share(yes, positive, weights), _share(~yes, ~positive, weights)
    return {
        "roc_auc": roc_auc(probabilities, labels, weights),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "accuracy": _share(yes == positive, everything, weights),
        "brier_score": _share((probabilities - labels) ** 2, everything, weights),
        "calibration_error": calibration_error(probabilities, labels, weights),
    }


def _share(what: Mask | Floats, among: Mask, weights: Floats) -> Floats:
    """Weighted mean of `what` over the images of the mask `among`."""
    counted = weights * among
    with np.errstate(invalid="ignore"):
        share: Floats = (counted * what).sum(axis=-1) / counted.sum(axis=-1)
    return share
