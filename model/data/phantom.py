"""Brain-like slices drawn from a seed, with or without a lesion: data that needs no download or licence.

A drawing, not a simulation: scalp, skull, folded cortex, white matter, deep nuclei and ventricles in the
grey levels of T1, T2 or FLAIR, with a bias field and Rician noise. A seed determines the head, so that the
images with and without `lesion` differ only by the lesion. Some lesions are faint and some healthy heads
have white spots: the task can be learnt but is not trivial.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image

from model.progress import progress

if TYPE_CHECKING:
    from pathlib import Path

Plane = NDArray[np.float32]

MARKER = ".phantom"
"""Name of the file that marks a folder drawn by this module."""

ABOVE_VENTRICLES = 0.15
"""Share of the slices above the ventricles."""


@dataclass(frozen=True)
class Contrast:
    """Grey levels of the tissues, in [0, 1]."""

    csf: float
    grey: float
    white: float
    scalp: float


CONTRASTS = (
    Contrast(csf=0.10, grey=0.40, white=0.60, scalp=0.85),  # T1
    Contrast(csf=0.74, grey=0.48, white=0.34, scalp=0.70),  # T2
    Contrast(csf=0.08, grey=0.54, white=0.40, scalp=0.75),  # FLAIR
)


def draw(*, seed: int, lesion: bool, size: int = 225) -> Image.Image:
    """Draw the slice of a seed: mode L, `size` pixels high and 0.74 to 1 times as wide."""
    anatomy, pathology, scanner = (default_rng([seed, stream]) for stream in range(3))
    width = round(size * anatomy.uniform(0.74, 1.0))
    head = Head(anatomy, width=width, height=size)
    tissue = head.tissue()
    if lesion:
        tissue = _add_lesion(tissue, head, pathology)
    return Image.fromarray(_scan(tissue, scanner))


def png(*, seed: int, lesion: bool, size: int = 225) -> bytes:
    """Draw one slice as `draw` does and encode it as a PNG file."""
    buffer = io.BytesIO()
    draw(seed=seed, lesion=lesion, size=size).save(buffer, format="PNG")
    return buffer.getvalue()


def write_folder(folder: Path, *, count: int, seed: int) -> None:
    """Write `count` slices of different heads into `folder/yes` and `folder/no`, half each, and the marker.

    The marker is written last, so that a folder that has it is complete.
    """
    sizes = default_rng(seed).integers(180, 300, size=count)
    for index in progress(range(count), "drawing phantoms"):
        lesion = index % 2 == 0
        path = folder / ("yes" if lesion else "no") / f"phantom-{seed + index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed=seed + index, lesion=lesion, size=int(sizes[index])))
    origin = f"{count} slices drawn by model/data/phantom.py from seed {seed}\n"
    (folder / MARKER).write_text(origin, encoding="utf-8")


class Head:
    """The coordinate system of one head, and its tissues.

    `x` and `y` run from -1 to 1 across the head, front up; `depth` is 0 in the centre and 1 at the skin.
    """

    def __init__(self, rng: Generator, *, width: int, height: int) -> None:
        self.rng = rng
        self.shape = (height, width)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        share = rng.uniform(0.84, 0.99)  # of the image that the head fills
        x = (columns - width * rng.uniform(0.48, 0.52)) / (width / 2 * share)
        y = (rows - height * rng.uniform(0.48, 0.52)) / (height / 2 * share)
        tilt = rng.normal(0, 0.25)
        self.x = x * math.cos(tilt) + y * math.sin(tilt)
        self.y = y * math.cos(tilt) - x * math.sin(tilt)
        wobble = smooth(rng, self.shape, cells=4) * 0.012
        narrow_front = 1 + self.y * rng.uniform(0.02, 0.12)
        self.depth = np.hypot(self.x * narrow_front, self.y) + wobble
        self.pixel = 2 / (height * share)  # one pixel in head coordinates
        self.contrast = CONTRASTS[int(rng.integers(len(CONTRASTS)))]
        self.brain_edge = rng.uniform(0.80, 0.92)

    def tissue(self) -> Plane:
        """Grey levels of the head in [0, 1], before the scanner's artifacts."""
        rng, contrast = self.rng, self.contrast
        skull = (self.brain_edge + 1) / 2
        plane = contrast.scalp * rng.uniform(0.2, 1.15) * self.inside(self.depth, 1.0)
        plane = self.paint(plane, self.inside(self.depth, skull + 0.03), 0.05)
        plane = self.paint(plane, self.inside(self.depth, self.brain_edge), contrast.csf)
        plane = self.paint(plane, self.inside(self.depth, self.brain_edge - 0.03), self._brain())
        for mask in (self._sulci(), self._fissure()):
            plane = self.paint(plane, mask, contrast.csf)
        plane = self._deep_structures(plane)
        return self._white_spots(plane)

    def inside(self, distance: Plane, edge: Plane | float, *, softness: float = 1.5) -> Plane:
        """Mask that falls from 1 to 0 where `distance` exceeds `edge`, over `softness` pixels."""
        mask: Plane = np.clip((edge - distance) / (softness * self.pixel) + 0.5, 0, 1)
        return mask

    def paint(self, plane: Plane, mask: Plane, level: Plane | float) -> Plane:
        """Blend `level` over `plane` by `mask`."""
        return plane + mask * (level - plane)

    def ellipse(
        self, *, x: float, y: float, width: float, height: float, tilt: float = 0.0, bend: float = 0.0
    ) -> Plane:
        """Distance from the centre of a tilted, bent ellipse in units of its radius: 1 on its edge."""
        dx, dy = self.x - x, self.y - y
        along = dy * math.cos(tilt) + dx * math.sin(tilt)
        across = dx * math.cos(tilt) - dy * math.sin(tilt) + bend * along * along
        distance: Plane = np.hypot(across / width, along / height)
        return distance

    def _brain(self) -> Plane:
        """White matter, a folded ribbon of cortex, and texture."""
        folds = smooth(self.rng, self.shape, cells=18)
        ribbon = self.brain_edge - 0.16 + 0.13 * folds
        white = self.inside(self.depth, ribbon, softness=6)
        fine, coarse = smooth(self.rng, self.shape, cells=40), smooth(self.rng, self.shape, cells=7)
        matter = self.contrast.grey + white * (self.contrast.white - self.contrast.grey)
        textured: Plane = matter + 0.025 * fine + 0.07 * coarse
        return textured

    def _sulci(self) -> Plane:
        """Winding clefts near the surface: the zero lines of a smooth field."""
        lines = np.abs(smooth(self.rng, self.shape, cells=15))
        clefts = np.clip(1 - lines / self.rng.uniform(0.10, 0.45), 0, 1)
        reach = np.clip((self.depth - self.rng.uniform(0.48, 0.62)) / 0.15, 0, 1)
        mask: Plane = 0.85 * clefts * reach * self.inside(self.depth, self.brain_edge)
        return mask

    def _fissure(self) -> Plane:
        """The cleft between the hemispheres, at the front and the back."""
        bend = 0.03 * smooth(self.rng, self.shape, cells=4)
        line = np.clip(1 - np.abs(self.x + bend) / self.rng.uniform(0.018, 0.035), 0, 1)
        ends = np.clip((np.abs(self.y) - 0.30) / 0.1, 0, 1)
        mask: Plane = line * ends * self.inside(self.depth, self.brain_edge)
        return mask

    def _deep_structures(self, plane: Plane) -> Plane:
        """Basal nuclei, the four horns of the lateral ventricles, and the third ventricle."""
        rng, contrast = self.rng, self.contrast
        if rng.random() < ABOVE_VENTRICLES:
            return plane
        room, spread, length = rng.uniform(0.6, 1.6), rng.uniform(0.06, 0.10), rng.uniform(0.17, 0.27)
        front_tilt, back_tilt = rng.uniform(0.1, 0.35), rng.uniform(0.3, 0.6)
        for side in (-1, 1):
            x, width = side * spread, 0.05 * room * rng.uniform(0.85, 1.15)
            nucleus = self.ellipse(x=side * 0.27, y=0.0, width=0.09, height=0.2, tilt=side * 0.3)
            front = self.ellipse(
                x=x, y=-0.20, width=width, height=length, tilt=side * front_tilt, bend=-side * 1.2
            )
            back = self.ellipse(
                x=1.6 * x, y=0.22, width=width, height=length, tilt=-side * back_tilt, bend=-side * 0.8
            )
            plane = self.paint(plane, 0.6 * self.inside(nucleus, 1, softness=30), contrast.grey)
            for horn in (front, back):
                plane = self.paint(plane, self.inside(horn, 1, softness=30), contrast.csf)
        third = self.ellipse(x=0, y=0.03, width=0.022 * room, height=0.10)
        return self.paint(plane, self.inside(third, 1, softness=40), contrast.csf)

    def _white_spots(self, plane: Plane) -> Plane:
        """A few small bright spots, as in older brains; they are not lesions."""
        for _ in range(int(self.rng.poisson(0.5))):
            angle, far = self.rng.uniform(0, 2 * math.pi), self.rng.uniform(0.3, 0.55)
            radius = self.rng.uniform(0.012, 0.028)
            spot = np.hypot(self.x - far * math.cos(angle), self.y - far * math.sin(angle))
            plane = self.paint(plane, 0.6 * self.inside(spot, radius, softness=4), 0.85)
        return plane


def smooth(rng: Generator, shape: tuple[int, int], *, cells: int) -> Plane:
    """Smooth random field of about unit variance, with bumps of 1/`cells` of the image."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    height, width = shape
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _add_lesion(plane: Plane, head: Head, rng: Generator) -> Plane:
    """Add oedema around an irregular mass that is bright, dark, or dark with a bright rim."""
    angle, far = rng.uniform(0, 2 * math.pi), head.brain_edge * math.sqrt(rng.uniform(0.05, 0.45))
    dx, dy = head.x - far * math.cos(angle), head.y - far * math.sin(angle)
    direction = np.arctan2(dy, dx)
    outline = np.ones_like(direction)
    for lobes in (2, 3, 5):
        outline += rng.uniform(0, 0.16) * np.cos(lobes * direction + rng.uniform(0, 2 * math.pi))
    distance = np.hypot(dx, dy) / outline
    radius, strength = rng.uniform(0.16, 0.34), float(rng.choice([0.5, 0.8, 1.0], p=[0.1, 0.2, 0.7]))
    within = head.inside(head.depth, head.brain_edge - 0.02)

    oedema = within * np.clip(1.6 - distance / (radius * rng.uniform(1.0, 1.6)), 0, 1) * strength
    plane = head.paint(plane, 0.4 * oedema, head.contrast.csf)
    mottled = 0.06 * smooth(rng, head.shape, cells=24)
    mass = within * head.inside(distance, radius, softness=4) * strength
    kind = rng.choice(["bright", "dark", "ring"], p=[0.55, 0.10, 0.35])
    if kind == "bright":
        return head.paint(plane, mass, rng.uniform(0.9, 1.1) + mottled)
    plane = head.paint(plane, mass, rng.uniform(0.05, 0.2) + mottled)
    if kind == "ring":
        rim = mass * np.clip(2 - np.abs(distance - radius * 0.85) / (radius * 0.12), 0, 1)
        plane = head.paint(plane, rim, rng.uniform(0.8, 1.0))
    return plane


def _scan(plane: Plane, rng: Generator) -> NDArray[np.uint8]:
    """Apply the scanner's artifacts: coil bias, Rician noise, window and brightness."""
    bias = 1 + 0.25 * smooth(rng, plane.shape, cells=3)
    sigma = rng.uniform(0.01, 0.035)
    real, imaginary = rng.standard_normal((2, *plane.shape), dtype=np.float32) * sigma
    magnitude = np.hypot(plane * bias + real, imaginary)
    windowed = magnitude ** rng.uniform(0.85, 1.25) * rng.uniform(0.6, 1.05)
    return np.asarray(np.clip(windowed * 255, 0, 255), dtype=np.uint8)
