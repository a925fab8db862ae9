"""What each image was said to be, out of fold, as a table: what a later network is compared with."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from .judge import Judgement
from .split import Cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .data import Scan

FILE = "predictions.csv"
COLUMNS = ("name", "sha256", "label", "group", "weight", "repeat", "fold", "probability", "said", "said_even")

WHOLE, REAL = ("label", "group", "fold", "said", "said_even"), ("weight", "probability")


def write(judged: Sequence[Judgement], scans: Sequence[Scan]) -> str:
    """Write a row for each repeat and image, as CSV; `scans` are the cases' files."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(COLUMNS)
    for repeat, each in enumerate(judged, start=1):
        cases = each.cases
        for place, scan in enumerate(scans):
            rows.writerow(
                [
                    scan.name,
                    scan.sha256,
                    cases.labels[place],
                    cases.groups[place],
                    cases.weights[place],
                    repeat,
                    cases.folds[place],
                    each.probabilities[place],
                    each.decisions[place],
                    each.even[place],
                ]
            )
    return table.getvalue()


def read(text: str) -> list[Judgement]:
    """Read what `write` wrote, each repeat's images in the order of their hashes."""
    rows = list(csv.DictReader(io.StringIO(text)))
    judged = []
    for repeat in sorted({row["repeat"] for row in rows}, key=int):
        mine = sorted((row for row in rows if row["repeat"] == repeat), key=lambda row: row["sha256"])
        whole = {name: np.array([int(row[name]) for row in mine]) for name in WHOLE}
        real = {name: np.array([float(row[name]) for row in mine]) for name in REAL}
        cases = Cases(whole["label"], whole["group"], whole["fold"], real["weight"])
        judged.append(Judgement(cases, real["probability"], whole["said"], whole["said_even"]))
    return judged


def paired(
    first: Sequence[Judgement], second: Sequence[Judgement]
) -> tuple[list[Judgement], list[Judgement]]:
    """Give the repeats in which two networks judged the same images by the same folds, both in one order."""
    pairs = [
        (one, other)
        for one, other in zip(first, second, strict=False)
        if np.array_equal(one.cases.labels, other.cases.labels)
        and np.array_equal(one.cases.folds, other.cases.folds)
        and np.array_equal(one.cases.groups, other.cases.groups)
    ]
    return [one for one, _ in pairs], [other for _, other in pairs]
