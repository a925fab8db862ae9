"""Slices of a data set by file and pixel properties: a good mean can hide a slice that fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.evaluation.baselines import header
from model.evaluation.metrics import estimates
from model.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.arrays import Floats, Mask
    from model.data.dataset import Scan
    from model.evaluation.metrics import Estimates
    from model.evaluation.predictions import Predictions

FEW = 10
"""Groups of each class that a slice needs to be compared."""


@dataclass(frozen=True)
class Slice:
    """Estimates on a slice of the images; `enough` says whether it is large enough to be compared."""

    by: str
    name: str
    images: int
    groups: int
    yes: int
    enough: bool
    estimates: Estimates


def slices(scans: Sequence[Scan]) -> dict[str, dict[str, Mask]]:
    """Partition scans by image size, file type and brightness: by property and name, a mask (n,)."""
    sides, greys = [], []
    for scan in progress(scans, "finding slices"):
        image = scan.image()
        sides.append(round((image.width * image.height) ** 0.5))
        greys.append(round(float(np.asarray(image).mean())))
    headers = [header(scan) for scan in scans]
    return {
        "image size": terciles(sides, "{} pixels"),
        "mode and format": named([f"{each.mode} {each.format}" for each in headers]),
        "brightness": terciles(greys, "mean grey {}"),
    }


def measure(by: str, name: str, predictions: Predictions) -> Slice:
    """Estimate the metrics of a slice, given its predictions."""
    cases = predictions.cases
    groups = [len(np.unique(cases.groups[cases.labels == label])) for label in np.unique(cases.labels)]
    return Slice(
        by,
        name,
        images=len(cases),
        groups=len(np.unique(cases.groups)),
        yes=int(cases.labels.sum()),
        enough=min(groups) >= FEW,
        estimates=estimates(predictions),
    )


def terciles(values: Sequence[float], name: str) -> dict[str, Mask]:
    """Cut into about equal thirds, named by their range; equal values stay together."""
    found = np.asarray(values)
    third = np.digitize(found, np.quantile(found, [1 / 3, 2 / 3]), right=True)
    masks = [third == number for number in np.unique(third)]
    return {name.format(_range(found[mask])): mask for mask in masks}


def _range(values: Floats) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low} to {high}"


def named(names: Sequence[str]) -> dict[str, Mask]:
    """Mask of each distinct name, in alphabetical order."""
    found = np.asarray(names)
    return {str(name): found == name for name in np.unique(found)}
