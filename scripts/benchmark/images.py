"""The images that every server is asked about: one phantom, drawn in three sizes, as JPEG and as PNG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

from model import phantom

Format = Literal["jpeg", "png"]
SIZES = (225, 512, 1200)  # pixels of the height; the width follows from the head
FORMATS: tuple[Format, ...] = ("jpeg", "png")
SEED = 7
JPEG_QUALITY = 90


@dataclass(frozen=True)
class Image:
    """One image file."""

    name: str
    size: int
    format: Format
    data: bytes

    @property
    def media_type(self) -> str:
        """Its Content-Type."""
        return f"image/{self.format}"


def name_of(size: int, kind: Format) -> str:
    """Name an image as points and tables do, such as ``jpeg-512``."""
    return f"{kind}-{size}"


NAMES = tuple(name_of(size, kind) for kind in FORMATS for size in SIZES)


def draw(size: int, kind: Format) -> Image:
    """Draw the phantom; the same size and format always give the same bytes."""
    picture = phantom.draw(seed=SEED, lesion=True, size=size)
    buffer = io.BytesIO()
    if kind == "jpeg":
        picture.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    else:
        picture.save(buffer, format="PNG")
    return Image(name_of(size, kind), size, kind, buffer.getvalue())


def all_images() -> dict[str, Image]:
    """Draw every image, by name."""
    drawn = [draw(size, kind) for kind in FORMATS for size in SIZES]
    return {image.name: image for image in drawn}
