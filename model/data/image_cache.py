"""The images of a training, each decoded, augmented and preprocessed once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from container import imaging
from model.data.augmentation import augment
from model.data.perturbations import PERTURBATIONS
from model.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from model.arrays import Floats, Greys, Indices, Mask
    from model.data.scan import Scan

STRIDE = 16  # pixels of the preprocessed image in a cell of the evidence map
GREY_LEVELS = 255


class Views(NamedTuple):
    """Every image unchanged, and in augmented views."""

    greys: Greys  # the preprocessed images, (1 + views, n, size, size, 1)
    shares: NDArray[np.float16]  # of each cell inside the tumour's outline, (1 + views, n, cells, cells)


class ImageCache:
    """A data set's preprocessed images of `size` pixels a side, a multiple of `STRIDE`."""

    def __init__(self, scans: Sequence[Scan], *, size: int, views: int, seed: int) -> None:
        self.size = size
        self._scans = scans
        self._views = views
        self._seed = seed

    def __len__(self) -> int:
        return len(self._scans)

    @cached_property
    def decoded(self) -> list[Image.Image]:
        """Every image in mode L, decoded exactly as serving does."""
        return [scan.image() for scan in progress(self._scans, "decoding images")]

    @cached_property
    def outlined(self) -> Mask:
        """Whether it is known of every cell of an image whether it shows tumour: (n,)."""
        return np.array([scan.label == 0 or bool(scan.mask or scan.boxes) for scan in self._scans])

    @cached_property
    def areas(self) -> Floats:
        """Share of each image inside its tumour's outline, NaN without one: (n,)."""
        outlines = (scan.outline() for scan in progress(self._scans, "reading outlines"))
        return np.array([np.nan if each is None else np.mean(np.asarray(each) > 0) for each in outlines])

    @cached_property
    def outlines(self) -> dict[int, Mask]:
        """The tumour in each preprocessed image whose outline is not empty, (size, size), by its index."""
        found = {}
        for number, scan in enumerate(self._scans):
            if (outline := scan.outline()) is not None:
                box = imaging.content_box(self.decoded[number])
                moved = outline.resize((self.size, self.size), Image.Resampling.BOX, box=box)
                inside = np.asarray(moved) > GREY_LEVELS // 2
                if inside.any():
                    found[number] = inside
        return found

    @cached_property
    def views(self) -> Views:
        """The images unchanged and augmented; each view is drawn anew for each image."""
        cells = self.size // STRIDE
        shape = (1 + self._views, len(self))
        greys = np.empty((*shape, self.size, self.size, 1), dtype=np.uint8)
        shares = np.zeros((*shape, cells, cells), dtype=np.float16)
        for number, scan in enumerate(progress(self._scans, "augmenting images")):
            rng = np.random.default_rng([self._seed, number])
            image, outline = self.decoded[number], scan.outline()
            for view in range(1 + self._views):
                changed, moved = augment(image, outline, rng) if view else (image, outline)
                greys[view, number] = preprocessed([changed], size=self.size)[0]
                if moved is not None:
                    box = imaging.content_box(changed)
                    inside = moved.resize((cells, cells), Image.Resampling.BOX, box=box)
                    shares[view, number] = np.asarray(inside) / np.float16(GREY_LEVELS)
        return Views(greys, shares)

    def perturbed(self, name: str, chosen: Indices) -> Greys:
        """The images of these indices under one of `PERTURBATIONS`: (chosen, size, size, 1)."""
        return preprocessed((PERTURBATIONS[name](self.decoded[index]) for index in chosen), size=self.size)


def preprocessed(images: Iterable[Image.Image], *, size: int) -> Greys:
    """Preprocess mode L images as serving does, which yields whole grey levels: (n, size, size, 1)."""
    whole = [np.rint(GREY_LEVELS * imaging.preprocess(image, size=size)) for image in images]
    return np.stack(whole).astype(np.uint8)
