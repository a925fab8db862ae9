"""A baseline without pixels, tested on the same folds, and a probe of how a network knows the sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from container import imaging
from model.arrays import Floats, Mask, Names
from model.data.scan import read_file

if TYPE_CHECKING:
    from model.data.cases import Cases
    from model.data.dataset import Scan

ForestScores = Callable[[Mask, "Cases", int], Floats]
"""Fits to the cases of a mask, which has both classes, with a seed, and scores all cases: (n,), positive for
YES. It reads no label outside the mask."""
TREES = 100


class Header(NamedTuple):
    """What a file reveals apart from its pixels; sizes in pixels, as stored."""

    width: int
    height: int
    bytes: int
    mode: str
    format: str


def header(scan: Scan) -> Header:
    """Read a scan's header."""
    data = read_file(scan.path)
    if imaging.is_dicom(data):
        return Header(*scan.image().size, len(data), "L", "DICOM")
    with Image.open(scan.path) as image:  # lazy: decodes no pixel
        kind = "PNG" if image.format == "PNG" else "JPEG"  # a JPEG with several images has the format MPO
        return Header(image.width, image.height, len(data), image.mode, kind)


def metadata_forest(scans: Sequence[Scan]) -> ForestScores:
    """Build a random forest on each file's header and length, without a pixel: the shortcut of a data set."""
    headers = [header(scan) for scan in scans]
    modes = sorted({each.mode for each in headers})
    features = np.array(
        [
            (
                *(each.width, each.height, each.width / each.height, each.width * each.height),
                *(each.bytes, each.bytes / (each.width * each.height)),  # the latter tells the compression
                *(each.format == form for form in ("PNG", "DICOM")),
                *(each.mode == mode for mode in modes),
            )
            for each in headers
        ],
        dtype=np.float64,
    )

    def scores(chosen: Mask, cases: Cases, seed: int) -> Floats:
        # One thread: more are slower for so few images, and sum the votes in a varying order.
        forest = RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed)
        forest.fit(features[chosen], cases.labels[chosen], sample_weight=cases.weights[chosen])
        share = forest.predict_proba(features)[:, 1]
        margin = 1 / (2 * TREES)  # half a vote, since the logit of 0 or 1 is infinite
        return np.asarray(logit(np.clip(share, margin, 1 - margin)), dtype=np.float64)

    return scores


@dataclass(frozen=True)
class SourceProbe:
    """How well a linear classifier tells an image's source by a network's features, within a class."""

    accuracy: float  # mean over the sources' shares of images attributed rightly, and over the classes
    chance: float  # that of guessing


def source_probe(features: Floats, sources: Names, cases: Cases) -> SourceProbe | None:
    """Tell the sources apart by pooled features, (n, d), each fold by a logistic regression on the others.

    None where no class comes from several sources.
    """
    found = []
    for label in (0, 1):
        of_class = cases.labels == label
        names, attributed = np.unique(sources[of_class]), np.full(len(cases), "", dtype=object)
        for fold in np.unique(cases.folds[of_class]):
            training, tested = of_class & (cases.folds != fold), of_class & (cases.folds == fold)
            if len(np.unique(sources[training])) > 1:
                strength = 1 / features.shape[1]
                regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
                probe = make_pipeline(StandardScaler(), regression)
                weights = cases.weights[training]
                probe.fit(features[training], sources[training], logisticregression__sample_weight=weights)
                attributed[tested] = probe.predict(features[tested])
        if len(names) > 1:
            of_source = [of_class & (sources == name) for name in names]
            shares = [
                np.average(attributed[own] == sources[own], weights=cases.weights[own]) for own in of_source
            ]
            found.append((np.mean(shares), 1 / len(names)))
    return SourceProbe(*np.mean(found, axis=0).tolist()) if found else None
