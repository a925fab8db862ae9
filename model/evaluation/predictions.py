"""Out-of-fold predictions, and their CSV file, by which a later network is compared with this one."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from model.data.cases import Cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.data.dataset import Scan

FILE = "predictions.csv"
COLUMNS = (
    *("name", "sha256", "label", "group", "weight", "repeat", "fold"),
    *("probability", "predicted", "predicted_youden"),
)
OLD_COLUMNS = {"said": "predicted", "said_even": "predicted_youden"}
"""Column names in the files of earlier releases, which the registry still holds."""


@dataclass(frozen=True)
class Predictions:
    """A probability and two predicted classes, 0 or 1, for each case; every array has shape (n,)."""

    cases: Cases
    probabilities: NDArray[np.float64]
    predicted: NDArray[np.int64]  # by the threshold that serves
    predicted_youden: NDArray[np.int64]  # by the threshold with the highest balanced accuracy

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Predictions:
        return Predictions(*(getattr(self, field.name)[chosen] for field in fields(self)))


def write_csv(repeats: Sequence[Predictions], scans: Sequence[Scan]) -> str:
    """Return CSV with one row for each repeat and image; `scans` are in the order of the cases."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    for repeat, predictions in enumerate(repeats, start=1):
        cases = predictions.cases
        columns = (
            *([scan.name for scan in scans], [scan.sha256 for scan in scans]),
            *(cases.labels, cases.groups, cases.weights, [repeat] * len(scans), cases.folds),
            *(predictions.probabilities, predictions.predicted, predictions.predicted_youden),
        )
        writer.writerows(zip(*columns, strict=True))
    return table.getvalue()


def read_csv(text: str) -> list[Predictions]:
    """Read the predictions of each repeat, with the images sorted by hash."""
    table = csv.DictReader(io.StringIO(text))
    table.fieldnames = [OLD_COLUMNS.get(name, name) for name in table.fieldnames or ()]
    rows = sorted(table, key=lambda row: (int(row["repeat"]), row["sha256"]))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in COLUMNS[2:]}
    whole = {name: columns[name].astype(np.int64) for name in set(columns) - {"weight", "probability"}}
    cases = Cases(whole["label"], whole["group"], whole["fold"], columns["weight"])
    every = Predictions(cases, columns["probability"], whole["predicted"], whole["predicted_youden"])
    return [every[whole["repeat"] == repeat] for repeat in np.unique(whole["repeat"])]


def paired(
    first: Sequence[Predictions], second: Sequence[Predictions]
) -> tuple[list[Predictions], list[Predictions]]:
    """Return the repeats in which both networks were tested on the same images and folds, in one order."""
    pairs = [
        (one, other)
        for one, other in zip(first, second, strict=False)
        if np.array_equal(one.cases.labels, other.cases.labels)
        and np.array_equal(one.cases.folds, other.cases.folds)
        and np.array_equal(one.cases.groups, other.cases.groups)
    ]
    return [one for one, _ in pairs], [other for _, other in pairs]
