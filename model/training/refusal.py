"""Refusal of images that are not brain MRIs, and the familiarity of those that are.

The refusal's head is trained on the training images, on scrambled ones, on `negatives` and on the sources'
images to refuse. In use it meets kinds that were not foreseen, so each is tested by a head trained without
it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model.evaluation.report import Refusal, Reliability
from model.networks.architectures import Head
from model.networks.familiarity import FEWEST, fit_familiarity

if TYPE_CHECKING:
    from model.arrays import Floats, Floats32, Indices, Mask, Names

STRENGTH = 0.001  # inverse strength of the head's penalty
TOLERANCE = 1e-3  # of the optimiser
WRONGLY_REFUSED = 0.02
"""Share of brain MRIs below the threshold, by heads that saw neither them nor their source."""
UNFAMILIAR = 0.08
"""Share of images of known views whose answers are called unreliable, out of fold."""
FOLDS = 5
MOST = 24000  # brain MRIs in all views to which a head is fitted, for its time


def fit_refusal(
    scans: Floats32,
    parts: Names,
    *,
    without: dict[str, Mask],
    others: dict[str, Floats32],
    scrambled: Floats32,
    origins: Indices,
    counts: dict[str, int],
) -> Refusal:
    """Fit, and measure on the brain MRIs of each part, and on each kind of other images, left out.

    Parameters
    ----------
    scans, parts
        Floats32 of the brain MRIs in each view, unchanged first, (views, n, features), and the part in which
        each is left out, (n,): its source or, of a single source, its fold.
    without
        The mask of the brain MRIs that have nothing to do with a part, (n,), by the part.
    others, counts
        Floats32 of each kind's images that pass the rules of `container.rules`, (views, m, features), and the
        number of images of each kind before those rules.
    scrambled, origins
        Floats32 of scrambled brain MRIs, (k, features), and the indices of those, (k,).
    """
    scores = np.empty(scans.shape[1])
    for part, rest in without.items():
        own = parts == part
        head = _fit(scans[:, rest], others, scrambled[rest[origins]])
        scores[own] = expit(head.logits(scans[0, own]))
    left_out = {
        part: float(np.mean(scores[parts == part] < _threshold(scores[rest], parts[rest])))
        for part, rest in without.items()
    }
    threshold = _threshold(scores, parts)
    refused = dict.fromkeys(counts, 1.0)
    for kind, features in others.items():
        known = {name: each for name, each in others.items() if name != kind}
        found = expit(_fit(scans, known, scrambled).logits(features[0]))
        refused[kind] -= float(np.sum(found >= threshold)) / counts[kind]
    return Refusal(_fit(scans, others, scrambled), threshold, refused, counts, left_out, scores)


def fit_reliability(
    features: Floats32,
    groups: Indices,
    views: Names,
    planes: Names,
    contrasts: Names,
) -> Reliability:
    """Fit the familiarity and its threshold, and measure both on unknown and on known views.

    Given are the unchanged images' features, (n, features), their groups, what view each shows, and in which
    plane and contrast, "" where unknown, each (n,).
    """
    folds = np.unique(groups, return_inverse=True)[1] % FOLDS

    def out_of_fold(chosen: Mask) -> Floats:
        found = np.full(len(features), np.nan)
        for fold in range(FOLDS):
            own, rest = chosen & (folds == fold), chosen & (folds != fold)
            if own.any():
                found[own] = fit_familiarity(features[rest], views[rest]).of(features[own])
        return found

    known = out_of_fold(np.ones(len(features), dtype=bool))
    # A fold is judged by the quantile of the others: of its own, this share is below by definition.
    least = np.array([np.quantile(known[folds != fold], UNFAMILIAR) for fold in range(FOLDS)])
    unknown = {}
    for values in (planes, contrasts):
        for value in np.unique(values[values != ""]):
            own = values == value
            rest = (values != "") & ~own & ~np.isin(groups, groups[own])
            if len(np.unique(values[rest])) > 0 and own.sum() >= FEWEST:
                lowest = np.nanquantile(out_of_fold(rest), UNFAMILIAR)
                found = fit_familiarity(features[rest], views[rest]).of(features[own])
                unknown[str(value)] = float(np.mean(found < lowest))
    threshold = float(np.quantile(known, UNFAMILIAR))
    unreliable = float(np.mean(known < least[folds]))
    return Reliability(fit_familiarity(features, views), threshold, unreliable, unknown)


def _fit(scans: Floats32, others: dict[str, Floats32], scrambled: Floats32) -> Head:
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


def _threshold(scores: Floats, parts: Names) -> float:
    """Quantile `WRONGLY_REFUSED` of the scores of brain MRIs, of which each part weighs the same."""
    _, part, sizes = np.unique(parts, return_inverse=True, return_counts=True)
    return float(np.quantile(scores, WRONGLY_REFUSED, weights=1 / sizes[part], method="inverted_cdf"))
