"""The pixels of a training, prepared once: as they are, harmlessly changed, or disturbed to learn from."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from tqdm import tqdm

from container import imaging

from .disturb import disturbed
from .robustness import AS_IT_IS, CHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    Pixels = NDArray[np.float32]


class Decodable(Protocol):
    """What has an image."""

    def image(self) -> Image.Image:
        """Decode it, mode L."""


class Pictures:
    """A data set's images for networks of any input size.

    Parameters
    ----------
    scans
        The images, in the order of the cases.
    seed
        Decides how each is disturbed.
    """

    def __init__(self, scans: Sequence[Decodable], *, seed: int) -> None:
        self.scans = scans
        self._seed = seed
        self._made: dict[tuple[int, str], Pixels] = {}

    def __len__(self) -> int:
        return len(self.scans)

    def pixels(self, size: int, change: str = AS_IT_IS) -> Pixels:
        """Every image under one of `robustness.CHANGES`: (n, size, size, 1) in [0, 1]."""
        return self._prepared(size, change, CHANGES[change])

    def view(self, size: int, number: int) -> Pixels:
        """Every image disturbed in its own way, another way for each number: (n, size, size, 1) in [0, 1]."""
        rng = np.random.default_rng([self._seed, number])
        return self._prepared(size, f"view {number}", lambda image: disturbed(image, rng))

    def _prepared(self, size: int, key: str, change: Callable[[Image.Image], Image.Image]) -> Pixels:
        if (size, key) not in self._made:
            self._made[size, key] = preprocessed(map(change, self._images), size=size, total=len(self))
        return self._made[size, key]

    @cached_property
    def _images(self) -> list[Image.Image]:
        """Every image decoded exactly as serving does; mode L."""
        return [scan.image() for scan in tqdm(self.scans, desc="decoding images", unit="image", leave=False)]


def preprocessed(images: Iterable[Image.Image], *, size: int, total: int | None = None) -> Pixels:
    """Preprocess grey images exactly as serving does: (n, size, size, 1) in [0, 1]."""
    bar = tqdm(images, desc="preparing images", unit="image", total=total, leave=False)
    return np.stack([imaging.preprocess(image, size=size) for image in bar])
