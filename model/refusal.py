"""Whether an image is a brain MRI at all: a second head on the same trunk, and the score that refuses.

It learns from the training images and from pictures of `negatives`. What it will meet is of kinds that nobody
thought of, so it is measured that way: each kind is judged by a head that never saw one of that kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .transfer import fit_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .network import Head

    Floats = NDArray[np.float64]
    Features = NDArray[np.float32]

STRENGTH = 0.01  # inverse strength of the head's penalty
WRONGLY_REFUSED = 0.01
"""Share of brain MRIs that the threshold may turn away, out of fold; the gate allows twice as much."""


@dataclass(frozen=True)
class Refusal:
    """A fitted refusal and what cross-validation says of it.

    Attributes
    ----------
    head
        Its logit's sigmoid is the score of being a brain MRI.
    threshold
        Scores below it are refused.
    scans, pictures
        How many brain MRIs and other pictures it was measured on.
    wrongly_refused
        Share of the brain MRIs that were refused.
    refused
        Share of each kind's pictures that were refused, by the simple rules or by a head that had seen none
        of that kind.
    """

    head: Head
    threshold: float
    scans: int
    pictures: int
    wrongly_refused: float
    refused: dict[str, float]

    @property
    def rightly_refused(self) -> float:
        """Share of all pictures that were refused."""
        return float(np.mean(list(self.refused.values())))

    def figures(self) -> dict[str, float]:
        """As MLflow and `metadata.json` keep them."""
        kinds = {f"refused_{kind}": share for kind, share in self.refused.items()}
        return {"refused_mri": self.wrongly_refused, "refused_other": self.rightly_refused} | kinds


def fit_refusal(
    scans: Features,
    groups: NDArray[np.int64],
    pictures: dict[str, Features],
    *,
    drawn: dict[str, int],
    more: Features | None = None,
) -> Refusal:
    """Fit and cross-validate.

    Parameters
    ----------
    scans
        Features of versions of the brain MRIs, as they are first: (versions, n, features).
    groups
        Near-duplicates, which are never on both sides; shape (n,).
    pictures
        Features of each kind's pictures that the simple rules of `container.refusal` let through:
        (m, features).
    drawn
        How many pictures of each kind there were before those rules.
    more
        Features of other brain MRIs, which are only learnt from: (k, features).
    """
    kinds = list(pictures)
    folds = np.unique(groups, return_inverse=True)[1] % len(kinds)
    said = np.empty(scans.shape[1])
    others: dict[str, Floats] = {}
    for number, kind in enumerate(kinds):
        own = folds == number
        known = {name: features for name, features in pictures.items() if name != kind}
        head = _fit(scans[:, ~own], known, more)
        said[own] = _scores(head, scans[0, own])
        others[kind] = _scores(head, pictures[kind])
    # What judges a fold, its threshold too, comes from the other folds.
    thresholds = np.array([_threshold(said[folds != number]) for number in range(len(kinds))])
    accepted = {
        kind: int(np.sum(others[kind] >= threshold))
        for kind, threshold in zip(kinds, thresholds, strict=True)
    }
    return Refusal(
        head=_fit(scans, pictures, more),
        threshold=_threshold(said),
        scans=len(said),
        pictures=sum(drawn.values()),
        wrongly_refused=float(np.mean(said < thresholds[folds])),
        refused={kind: 1 - accepted.get(kind, 0) / count for kind, count in drawn.items()},
    )


def _fit(scans: Features, pictures: dict[str, Features], more: Features | None) -> Head:
    """Fit a head for which brain MRIs and other pictures weigh the same."""
    yes = [scans.reshape(-1, scans.shape[-1]), *([more] if more is not None else [])]
    no = list(pictures.values())
    labels = np.repeat([1, 0], [sum(map(len, yes)), sum(map(len, no))])
    weights = np.where(labels == 1, 1 / np.sum(labels == 1), 1 / np.sum(labels == 0)) * len(labels) / 2
    rows = np.concatenate([*yes, *no])
    return fit_head(rows, labels=labels, weights=weights, groups=labels, strengths=(STRENGTH,))


def _scores(head: Head, features: Features) -> Floats:
    return 0.5 * (1 + np.tanh(0.5 * head.logits(features)))


def _threshold(scores: Floats) -> float:
    """Score below which `WRONGLY_REFUSED` of the brain MRIs lie."""
    return float(np.quantile(scores, WRONGLY_REFUSED, method="lower"))
