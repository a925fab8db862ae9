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

    from model.arrays import Floats, Indices, Mask
    from model.data.dataset import Scan

FILE = "predictions.csv"
COLUMNS = ("name", "sha256", "label", "group", "weight", "fold", "probability", "predicted")
OLD_COLUMNS = {"said": "predicted"}
"""Column names in the files of earlier releases, which the registry still holds."""


@dataclass(frozen=True)
class Predictions:
    """A probability and a predicted class, 0 or 1, for each case; every array has shape (n,)."""

    cases: Cases
    probabilities: Floats
    predicted: Indices

    def __getitem__(self, chosen: Mask | Indices) -> Predictions:
        return Predictions(*(getattr(self, field.name)[chosen] for field in fields(self)))


def write_csv(predictions: Predictions, scans: Sequence[Scan]) -> str:
    """Return CSV with one row for each image; `scans` are in the order of the cases."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    cases = predictions.cases
    columns = (
        *([scan.name for scan in scans], [scan.sha256 for scan in scans]),
        *(cases.labels, cases.groups, cases.weights, cases.folds),
        *(predictions.probabilities, predictions.predicted),
    )
    writer.writerows(zip(*columns, strict=True))
    return table.getvalue()


def read_csv(text: str) -> tuple[Predictions, list[str], list[str]]:
    """Read the predictions, and the images' names and hashes, sorted by hash.

    Files of earlier releases may hold several repeats of the cross-validation; the first is read.
    """
    table = csv.DictReader(io.StringIO(text))
    table.fieldnames = [OLD_COLUMNS.get(name, name) for name in table.fieldnames or ()]
    first = (row for row in table if row.get("repeat", "1") == "1")
    rows = sorted(first, key=lambda row: row["sha256"])
    columns = {name: np.array([float(row[name]) for row in rows]) for name in COLUMNS[2:]}
    whole = {name: columns[name].astype(np.int64) for name in set(columns) - {"weight", "probability"}}
    cases = Cases(whole["label"], whole["group"], whole["fold"], columns["weight"])
    read = Predictions(cases, columns["probability"], whole["predicted"])
    return read, [row["name"] for row in rows], [row["sha256"] for row in rows]


def paired(first: Predictions, second: Predictions) -> bool:
    """Return whether both networks were tested on the same images and folds."""
    return all(
        np.array_equal(getattr(first.cases, name), getattr(second.cases, name))
        for name in ("labels", "groups", "folds")
    )
