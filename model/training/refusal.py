"""Refusal of images that are not brain MRIs, and the familiarity of those that are.

The refusal's head is trained on the training images, on `negatives` and on the sources' images to refuse. In
use it meets kinds of images that were not foreseen, so each is tested by a head trained without it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model.evaluation.report import Refusal, Reliability
from model.networks.architectures import Head
from model.networks.familiarity import fit_familiarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Features = NDArray[np.float32]

STRENGTH = 0.001  # inverse strength of the head's penalty
TOLERANCE = 1e-3  # of the optimiser; 1e-4 gave the same metrics in three times the time
WRONGLY_REFUSED = 0.0175
"""Share of brain MRIs below the threshold, by heads that saw neither them nor their source."""
UNFAMILIAR = 0.08
"""Share of images of known views whose answers are called unreliable, out of fold."""
FOLDS = 5
MOST = 24000  # brain MRIs in all views to which a head is fitted, for its time


def fit_refusal(
    scans: Features,
    parts: NDArray[np.str_],
    others: dict[str, Features],
    scrambled: Features,
    origins: NDArray[np.int64],
    *,
    drawn: dict[str, int],
) -> Refusal:
    """Fit, and measure on the brain MRIs of each part, and on each kind of other images, left out.

    Parameters
    ----------
    scans, parts
        Features of the brain MRIs in each view, unchanged first, (views, n, features), and the part in which
        each is left out, (n,): its source or, of a single source, its fold.
    others, drawn
        Features of each kind's images that pass the rules of `container.rules`, (views, m, features), and the
        number of images of each kind before those rules.
    scrambled, origins
        Features of scrambled brain MRIs, (k, features), and the indices of those, (k,).
    """
    scores = np.empty(scans.shape[1])
    for part in np.unique(parts):
        own = parts == part
        head = _fit(scans[:, ~own], others, scrambled[~own[origins]])
        scores[own] = _scores(head, scans[0, own])
    # The threshold by which a part is judged, like its head, comes from the other parts.
    left_out = {
        str(part): float(np.mean(scores[parts == part] < _threshold(scores, parts, parts != part)))
        for part in np.unique(parts)
    }
    threshold = _threshold(scores, parts)
    refused = dict.fromkeys(drawn, 1.0)
    for kind, features in others.items():
        known = {name: each for name, each in others.items() if name != kind}
        accepted = np.sum(_scores(_fit(scans, known, scrambled), features[0]) >= threshold)
        refused[kind] -= float(accepted) / drawn[kind]
    return Refusal(_fit(scans, others, scrambled), threshold, refused, drawn, left_out)


def fit_reliability(
    features: Features, groups: NDArray[np.int64], views: NDArray[np.str_], planes: NDArray[np.str_]
) -> Reliability:
    """Fit the familiarity and its threshold, and measure both on unknown and on known views.

    Parameters
    ----------
    features, groups, views, planes
        The unchanged images' features, (n, features), their groups, what view each shows, and in which plane,
        "" where unknown, each (n,).
    """
    folds = np.unique(groups, return_inverse=True)[1] % FOLDS

    def out_of_fold(chosen: NDArray[np.bool_]) -> Floats:
        found = np.full(len(features), np.nan)
        for fold in range(FOLDS):
            own, rest = chosen & (folds == fold), chosen & (folds != fold)
            if own.any():
                found[own] = fit_familiarity(features[rest], views[rest]).of(features[own])
        return found[chosen]

    everything = np.ones(len(features), dtype=bool)
    known = out_of_fold(everything)
    threshold = float(np.quantile(known, UNFAMILIAR))
    unknown = {}
    for plane in np.unique(planes[planes != ""]):
        own = planes == plane
        if len(np.unique(planes[~own & (planes != "")])) > 0:
            least = np.quantile(out_of_fold(~own), UNFAMILIAR)
            found = fit_familiarity(features[~own], views[~own]).of(features[own])
            unknown[str(plane)] = float(np.mean(found < least))
    return Reliability(
        fit_familiarity(features, views), threshold, float(np.mean(known < threshold)), unknown
    )


def _fit(scans: Features, others: dict[str, Features], scrambled: Features) -> Head:
    """Fit a logistic regression, giving brain MRIs and other images the same total weight."""
    width = scans.shape[-1]
    own = scans.reshape(-1, width)
    own = own[:: math.ceil(len(own) / MOST)]
    rows = np.concatenate([own, *(each.reshape(-1, width) for each in others.values()), scrambled])
    labels = (np.arange(len(rows)) < len(own)).astype(np.int64)
    weights = len(labels) / 2 / np.bincount(labels, minlength=2)[labels]
    scaler, regression = StandardScaler(), LogisticRegression(C=STRENGTH, tol=TOLERANCE, max_iter=1000)
    make_pipeline(scaler, regression).fit(rows, labels, logisticregression__sample_weight=weights)
    slopes = regression.coef_[0] / scaler.scale_
    return Head(weights=slopes, bias=float(regression.intercept_[0] - slopes @ scaler.mean_))


def _scores(head: Head, features: Features) -> Floats:
    return 0.5 * (1 + np.tanh(0.5 * head.logits(features)))


def _threshold(scores: Floats, parts: NDArray[np.str_], chosen: NDArray[np.bool_] | None = None) -> float:
    """Quantile `WRONGLY_REFUSED` of the scores of brain MRIs, of which each part weighs the same."""
    chosen = np.ones(len(scores), dtype=bool) if chosen is None else chosen
    _, part, sizes = np.unique(parts[chosen], return_inverse=True, return_counts=True)
    weights = 1 / sizes[part]
    return float(np.quantile(scores[chosen], WRONGLY_REFUSED, weights=weights, method="inverted_cdf"))
