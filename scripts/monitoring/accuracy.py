"""How right the answers were that people labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

from model.data.cases import Cases
from model.evaluation.metrics import CONFIDENCE, Estimate, estimates
from model.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scripts.monitoring.labels import Consensus
    from scripts.monitoring.records import Record


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Figures of one model's labelled answers; None where no label is of the class that they need.

    `wrong` are the ids whose answer differs from the label, `disputed` those on whose label people disagree:
    these count in no figure.
    """

    labelled: int
    sensitivity: Estimate | None
    specificity: Estimate | None
    calibration_error: Estimate | None
    wrong: tuple[str, ...]
    disputed: tuple[str, ...]


def accuracy(answers: Sequence[Record], agreed: Mapping[str, Consensus]) -> Accuracy:
    """Join one model's answers with the labels by request id."""
    named = {each.id: each for each in answers if each.id in agreed}
    rated = [(each, agreed[id_].label) for id_, each in named.items() if agreed[id_].label]
    right = {label: [each.label == label for each, own in rated if own == label] for label in ("YES", "NO")}
    return Accuracy(
        labelled=len(rated),
        sensitivity=_share(right["YES"]),
        specificity=_share(right["NO"]),
        calibration_error=_calibration_error(rated) if rated else None,
        wrong=tuple(sorted(each.id for each, label in rated if each.label != label)),
        disputed=tuple(sorted(id_ for id_ in named if not agreed[id_].label)),
    )


def _share(right: list[bool]) -> Estimate | None:
    """Return the share with Wilson's interval, which few answers that are all right do not make certain."""
    if not right:
        return None
    interval = binomtest(sum(right), len(right)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(sum(right) / len(right), float(interval.low), float(interval.high))


def _calibration_error(rated: Sequence[tuple[Record, str | None]]) -> Estimate:
    alone = np.arange(len(rated))  # each a group and fold of its own
    labels = np.array([int(label == "YES") for _, label in rated])
    predicted = np.array([int(each.label == "YES") for each, _ in rated])
    probabilities = np.array([float(each.statistics["probability"]) for each, _ in rated])
    cases = Cases(labels, alone, alone, np.ones(len(rated)))
    return estimates(Predictions(cases, probabilities, predicted, predicted))["calibration_error"]
