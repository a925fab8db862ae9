"""Histograms of the training images, by source, of all that is watched of images in use.

The images are those that the model would answer; probabilities and scores are out of fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from container.imaging import Format, content_box, format_of
from container.statistics import measure
from model.data.image_cache import GREY_LEVELS
from model.data.scan import read_file
from model.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from model.arrays import Floats
    from model.training.plan import TrainingPlan

FORMATS: tuple[str, ...] = get_args(Format)
BINS = 20
SHARES = np.arange(1, BINS) / BINS
"""Edges of the probability and of the score, which are learnt: their quantiles differ between two fits."""


def reference(
    plan: TrainingPlan, *, probabilities: Floats, scores: Floats, threshold: float
) -> dict[str, Any]:
    """Return the content of `reference.json`, given each image's probability and brain score, (n,).

    Images are answered from the threshold of the score on.
    """
    answered = np.flatnonzero(scores >= threshold)
    measured, formats = [], []
    for index in progress(answered, "measuring images"):
        grey = plan.images.decoded[index]
        pixels = plan.images.views.greys[0, index].astype(np.float32) / GREY_LEVELS
        measured.append(measure(grey, pixels, content_box(grey)))
        formats.append(format_of(read_file(plan.dataset.scans[index].path)))
    columns = {name: np.array([each[name] for each in measured]) for name in measured[0]}  # type: ignore[literal-required]
    columns |= {"probability": probabilities[answered], "score": scores[answered]}
    return histograms(columns | {"format": np.array(formats)}, plan.sources[answered])


def histograms(columns: Mapping[str, NDArray[Any]], sources: NDArray[np.str_]) -> dict[str, Any]:
    """Count each statistic of images, (n,), by source, as `reference.json` has it."""
    statistics = {}
    for name, values in columns.items():
        if name == "format":
            bins, numbers = {"values": list(FORMATS)}, np.array([FORMATS.index(each) for each in values])
        else:
            edges = SHARES if name in {"probability", "score"} else _quantiles(values)
            bins, numbers = {"edges": edges.tolist()}, np.searchsorted(edges, values, side="right")
        size = len(FORMATS) if name == "format" else BINS
        by_source = {str(source): numbers[sources == source] for source in np.unique(sources)}
        counts = {source: np.bincount(own, minlength=size).tolist() for source, own in by_source.items()}
        statistics[name] = bins | {"counts": counts}
    return {"schema": 1, "statistics": statistics}


def _quantiles(values: Floats) -> Floats:
    """Return edges whose outermost bins hold what is below and above all values."""
    edges = np.quantile(values, np.arange(BINS - 1) / (BINS - 2))
    edges[-1] = np.nextafter(edges[-1], np.inf)
    return edges
