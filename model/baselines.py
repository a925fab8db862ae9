"""What needs no network, measured on the same folds: a network not clearly better has learnt little."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from PIL import Image
from scipy.special import logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .data import Scan
    from .split import Cases

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

TREES = 500
SIDE = 32
PENALTY = SIDE**2
"""1 / C of the logistic regression: as strong as the pixels are many, as each says nearly what the next does.
Fixed for all data: no baseline is fitted to the images that judge it."""


class Baseline(Protocol):
    """Features of all scans, and what they say about each of them once some have been learnt from."""

    def scores(self, chosen: Mask, cases: Cases, seed: int) -> Floats:
        """Learn from some cases, and judge all of them.

        Parameters
        ----------
        chosen
            Marks the cases to learn from, of both classes; of the others no label is looked at. Shape (n,).
        cases
            Of all the scans, in their order.
        seed
            Decides what is drawn, where something is.

        Returns
        -------
        For every case, shape (n,): the higher, the more it speaks for YES; 0 is undecided. Those of the
        chosen cases are recalled rather than judged.
        """


class Header(NamedTuple):
    """What a file tells before one pixel of it is decoded; sizes in pixels, as stored."""

    width: int
    height: int
    bytes: int
    mode: str
    format: str

    @property
    def area(self) -> int:
        """Pixels of the image."""
        return self.width * self.height


def header(scan: Scan) -> Header:
    """Read a scan's header."""
    with Image.open(scan.path) as image:  # reads no pixel before it is asked for one
        kind = "PNG" if image.format == "PNG" else "JPEG"  # a JPEG of several pictures calls itself MPO
        return Header(image.width, image.height, scan.path.stat().st_size, image.mode, kind)


class Majority:
    """Always the class that the training side has more groups of."""

    def __init__(self, scans: Sequence[Scan]) -> None:
        self._count = len(scans)

    def scores(self, chosen: Mask, cases: Cases, seed: int) -> Floats:  # noqa: ARG002 - draws nothing
        """Score 1 everywhere for YES, -1 for NO.

        Not the odds: these vary from fold to fold against the fold's own share, so that folds put together
        would get an ROC curve out of nothing.
        """
        share_of_yes = np.average(cases.labels[chosen], weights=cases.weights[chosen])
        return np.full(self._count, 1.0 if share_of_yes >= 1 / 2 else -1.0)


class MetadataForest:
    """A random forest that sees each file's header and length, and not one pixel: the shortcut itself."""

    def __init__(self, scans: Sequence[Scan]) -> None:
        headers = [header(scan) for scan in scans]
        modes = sorted({each.mode for each in headers})
        self._features = np.array(
            [
                (
                    *(each.width, each.height, each.width / each.height, each.area),
                    *(each.bytes, each.bytes / each.area),  # the latter: how hard it was compressed
                    each.format == "PNG",
                    *(each.mode == mode for mode in modes),
                )
                for each in headers
            ],
            dtype=np.float64,
        )

    def scores(self, chosen: Mask, cases: Cases, seed: int) -> Floats:
        """Logit of the share that the trees give YES."""
        # On one thread: more take longer for so few images, and add the votes in another order each time.
        forest = RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed)
        forest.fit(self._features[chosen], cases.labels[chosen], sample_weight=cases.weights[chosen])
        share = forest.predict_proba(self._features)[:, 1]
        margin = 1 / (2 * TREES)  # half a tree's vote: certainty has no logit
        return np.asarray(logit(np.clip(share, margin, 1 - margin)), dtype=np.float64)


class NearestNeighbour:
    """The class of the scan that looks most alike, by Euclidean distance of the pixels."""

    def __init__(self, scans: Sequence[Scan]) -> None:
        pixels = _pixels(scans)
        squares = (pixels**2).sum(axis=1)
        between = squares[:, None] + squares[None] - 2 * pixels @ pixels.T
        self._distances = np.sqrt(np.maximum(between, 0))

    def scores(self, chosen: Mask, cases: Cases, seed: int) -> Floats:  # noqa: ARG002 - draws nothing
        """Distance to the nearest NO less that to the nearest YES."""
        no, yes = (self._distances[:, chosen & (cases.labels == label)].min(axis=1) for label in (0, 1))
        return np.asarray(no - yes, dtype=np.float64)


class PixelRegression:
    """A logistic regression on the pixels, each standardised over the training side."""

    def __init__(self, scans: Sequence[Scan]) -> None:
        self._pixels = _pixels(scans)

    def scores(self, chosen: Mask, cases: Cases, seed: int) -> Floats:  # noqa: ARG002 - draws nothing
        """Log-odds of YES."""
        regression = make_pipeline(StandardScaler(), LogisticRegression(C=1 / PENALTY, max_iter=1000))
        regression.fit(
            self._pixels[chosen],
            cases.labels[chosen],
            logisticregression__sample_weight=cases.weights[chosen],
        )
        return np.asarray(regression.decision_function(self._pixels), dtype=np.float64)


BASELINES: dict[str, Callable[[Sequence[Scan]], Baseline]] = {
    "majority": Majority,
    "metadata-only forest": MetadataForest,
    f"1-NN on {SIDE}x{SIDE} pixels": NearestNeighbour,
    f"logistic regression on {SIDE}x{SIDE} pixels": PixelRegression,
}
"""From a name for people to what is made of all scans, once, and then fitted for each fold."""


def _pixels(scans: Sequence[Scan]) -> Floats:
    """Grey values in [0, 1], shape (n, SIDE * SIDE): each image squeezed, so that no bars tell its shape."""
    size = (SIDE, SIDE)
    small = [np.asarray(scan.image().resize(size, Image.Resampling.BOX)).ravel() for scan in scans]
    return np.stack(small) / 255.0
