"""Whether the heatmap points at the tumour: the evidence of images with an outline against that outline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from model.evaluation.metrics import weighted_estimate

if TYPE_CHECKING:
    from model.arrays import Floats, Floats32, Greys, Mask
    from model.data.cases import Cases
    from model.evaluation.metrics import Estimate

MEASURES = ("strongest_point_inside", "concentration", "share_of_maximum")
HEAD = 15  # grey level above which a pixel belongs to the head
NEAR = 0.05  # distance from the outline, in sides of the image, at which a point still counts as inside


@dataclass(frozen=True)
class Localisation:
    """The measures over images called YES that have an outline."""

    images: int
    strongest_point_inside: Estimate  # share of the images
    concentration: Estimate  # median; 1 where the evidence is spread evenly over the head
    share_of_maximum: float  # median share of the image that has the largest value


def locate(evidence: Floats | Floats32, greys: Greys, outlines: Mask) -> dict[str, Floats]:
    """Compare maps of the evidence above that of no opinion with images and outlines, (n, size, size).

    Returns each of `MEASURES`, (n,): whether the strongest point lies inside the outline or near it, the
    share of the evidence inside over the outline's share of the head, and that of the image with the largest
    value.
    """
    measures = {name: np.empty(len(evidence)) for name in MEASURES}
    for number, (cells, grey, outline) in enumerate(zip(evidence, greys, outlines, strict=True)):
        smooth = Image.fromarray(cells.astype(np.float32)).resize(grey.shape, Image.Resampling.BILINEAR)
        heat = np.maximum(np.asarray(smooth), 0)
        head = grey > HEAD
        distance = ndimage.distance_transform_edt(~outline)
        strongest = (heat == heat.max()) & (heat > 0)
        measures["strongest_point_inside"][number] = (distance[strongest] <= NEAR * len(grey)).any()
        share = (outline & head).sum() / max(1, head.sum())
        inside = heat[outline].sum() / max(heat.sum(), np.finfo(float).tiny)
        measures["concentration"][number] = inside / share if share else 0.0
        measures["share_of_maximum"][number] = strongest.mean()
    return measures


def summarise(measures: dict[str, Floats], cases: Cases) -> Localisation:
    """Summarise over the cases; intervals by a bootstrap over groups."""
    median = partial(np.quantile, q=0.5, method="inverted_cdf")
    return Localisation(
        len(cases),
        weighted_estimate(measures["strongest_point_inside"], cases, np.average),
        weighted_estimate(measures["concentration"], cases, median),
        float(np.median(measures["share_of_maximum"])),
    )
