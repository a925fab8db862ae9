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

    from numpy.typing import NDArray

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


def accuracy(answers: Sequence[Record], agreed: Mapping[str, str | None]) -> Accuracy:
    """Join one model's answers with the labels by request id."""
    named = {each.id: each for each in answers if each.id in agreed}
    rated = [each for each in named.values() if agreed[each.id]]
    labels = np.array([agreed[each.id] == "YES" for each in rated], dtype=np.int64)
    predicted = np.array([each.label == "YES" for each in rated], dtype=np.int64)
    probabilities = np.array([float(each.statistics["probability"]) for each in rated])
    alone = np.arange(len(rated))  # each a group and fold of its own
    cases, right = Cases(labels, alone, alone, np.ones(len(rated))), labels == predicted
    predictions = Predictions(cases, probabilities, predicted)
    return Accuracy(
        labelled=len(rated),
        sensitivity=share(right[labels == 1]),
        specificity=share(right[labels == 0]),
        calibration_error=estimates(predictions)["calibration_error"] if rated else None,
        wrong=tuple(sorted(each.id for each in rated if each.label != agreed[each.id])),
        disputed=tuple(sorted(id_ for id_ in named if not agreed[id_])),
    )


def share(right: NDArray[np.bool_]) -> Estimate | None:
    """Return the share with Wilson's interval, which few answers that are all right do not make certain."""
    if not len(right):
        return None
    count = int(right.sum())
    interval = binomtest(count, len(right)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(count / len(right), float(interval.low), float(interval.high))
