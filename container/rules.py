"""Simple rules that refuse what cannot be one brain-MRI slice, each with its reason.

Each limit is far from the extreme, noted beside it, among 3,117 brain MRIs of many scanners and sources, so
that a real scan is not refused. For what passes them, the network's brain score decides.
"""

from __future__ import annotations

from http import HTTPStatus

import numpy as np
from PIL import Image

from .grey_levels import levels
from .problem import Problem

MIN_SIDE = 32  # pixels; smallest found: 128
MAX_ASPECT = 3.0  # longer side over shorter; largest found: 1.8
MIN_CONTRAST = 30  # grey levels between the 1st and the 99th percentile; smallest found: 71
MAX_COLOURED = 0.15  # share of coloured pixels; largest found: 0.05 (coloured marks on a grey slice)
COLOURED = 32  # levels between a pixel's strongest and weakest channel; JPEG's own noise stays below

# Side in pixels of the copy on which colour is measured; contrast is measured on up to twice that.
_SAMPLE = 64
_CONTRAST_BETWEEN = (0.01, 0.99)  # shares of the pixels: a few bright or dark ones are not contrast
_COLOURLESS_MODES = frozenset({"1", "L", "LA", "I;16"})


def reason_to_refuse(image: Image.Image, grey: Image.Image) -> str | None:
    """Return why an image cannot be one brain-MRI slice, None if it may be one.

    `image` is from `imaging.read`, with its colours, and `grey` the same from `imaging.grey`.
    """
    shorter, longer = sorted(grey.size)
    if shorter < MIN_SIDE:
        return f"The image has a side of {shorter} pixels, fewer than {MIN_SIDE}: too small to show a brain."
    if longer > MAX_ASPECT * shorter:
        return "The image is more than three times as long as wide: send one slice, not a strip."
    if _contrast(grey) < MIN_CONTRAST:
        return "The image is blank or nearly so: there is no brain to be seen."
    if _coloured_share(image) > MAX_COLOURED:
        return "The image is colourful like a photograph or a drawing, which a brain MRI is not."
    return None


def out_of_distribution(*, score: float, threshold: float) -> Problem:
    """Return the refusal of an image whose brain score is below the threshold, both from 0 to 1."""
    # More digits where two would hide that the score is below the threshold.
    digits = 2 if round(score, 2) < round(threshold, 2) else 4
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"The image does not look like a brain MRI: its score is {score:.{digits}f}, at least "
        f"{threshold:.{digits}f} is needed. Send one whole slice, uncropped, exported as JPEG or PNG.",
        extensions={"score": round(score, 4), "score_threshold": round(threshold, 4)},
    )


def _contrast(grey: Image.Image) -> int:
    # `reduce` averages whole pixels, a third of the time of a resize to an exact size.
    low, high = levels(grey.reduce(max(1, min(grey.size) // _SAMPLE)), _CONTRAST_BETWEEN)
    return high - low


def _coloured_share(image: Image.Image) -> float:
    if image.mode in _COLOURLESS_MODES:
        return 0.0
    pixels = np.asarray(image.resize((_SAMPLE, _SAMPLE), Image.Resampling.NEAREST).convert("RGB"))
    return float(np.mean(np.ptp(pixels, axis=-1) > COLOURED))
