"""Histograms of the training images, by source, of all that is watched of images in use.

The images are those that the model would answer; probabilities and scores are out of fold.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from container.imaging import Format, content_box, format_of
from container.statistics import measure
from model.data.image_cache import GREY_LEVELS
from model.data.scan import read_file
from model.progress import progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.training.plan import TrainingPlan

    Floats = NDArray[np.float64]

FORMATS: tuple[str, ...] = get_args(Format)
BINS = 20
SHARES = np.arange(1, BINS) / BINS
"""Edges of the probability and of the score, which are learnt: their quantiles differ between two fits."""


def reference(
    plan: TrainingPlan, *, probabilities: Floats, scores: Floats, threshold: float
) -> dict[str, Any]:
    """Return the content of `reference.json`.

    Parameters
    ----------
    probabilities, scores, threshold
        Each image's probability and brain score, (n,), and the score from which an image is answered.
    """
    answered = np.flatnonzero(scores >= threshold)
    measured, formats = [], []
    for index in progress(answered, "measuring images"):
        grey = plan.images.decoded[index]
        pixels = plan.images.views.greys[0, index].astype(np.float32) / GREY_LEVELS
        measured.append(measure(grey, pixels, content_box(grey)))
        formats.append(format_of(read_file(plan.dataset.scans[index].path)))
    sources = plan.sources[answered]
    columns = {name: np.array([each[name] for each in measured]) for name in measured[0]}  # type: ignore[literal-required]
    shares = {"probability": probabilities[answered], "score": scores[answered]}
    statistics = {name: _histogram(values, _quantiles(values), sources) for name, values in columns.items()}
    statistics |= {name: _histogram(values, SHARES, sources) for name, values in shares.items()}
    found: Counter[tuple[str, str]] = Counter(zip(sources, formats, strict=True))
    counts = {str(source): [found[source, each] for each in FORMATS] for source in np.unique(sources)}
    return {"schema": 1, "statistics": {**statistics, "format": {"values": list(FORMATS), "counts": counts}}}


def _quantiles(values: Floats) -> Floats:
    """Return edges whose outermost bins hold what is below and above all values."""
    edges = np.quantile(values, np.arange(BINS - 1) / (BINS - 2))
    edges[-1] = np.nextafter(edges[-1], np.inf)
    return edges


def _histogram(values: Floats, edges: Floats, sources: NDArray[np.str_]) -> dict[str, Any]:
    bins = np.searchsorted(edges, values, side="right")
    counts = {
        str(source): np.bincount(bins[sources == source], minlength=BINS).tolist()
        for source in np.unique(sources)
    }
    return {"edges": edges.tolist(), "counts": counts}
