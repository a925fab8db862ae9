"""From the bytes of a file to what the network sees. The only copy: training imports it.

Whatever a scan arrives as (grey, colour, palette, CMYK, 16 bits, transparent, turned by its camera), it
leaves as one upright 8-bit grey image: the same picture gives the same answer in any of these forms.
"""

from __future__ import annotations

import struct
import zlib
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from .problem import Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_IMAGE_BYTES = 4 * 1024 * 1024  # below it every hop and SageMaker's serverless variant work
MAX_IMAGE_PIXELS = 25_000_000
# Encoders write about 10 scans. One of 42 bytes was measured to cost 0.05 s at 25 megapixels: 4 MiB of them
# would take over an hour. libjpeg-turbo advises applications to set such a limit.
MAX_JPEG_SCANS = 100

# The bytes decide, never the file's name: what a file starts with, and what reads it. The plain JPEG reader
# takes the first picture of a multi-picture file (MPO); the PNG reader the first frame of an animated one.
_READERS: dict[bytes, type[JpegImageFile | PngImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
}
# What Pillow's readers raise on bytes that are not what they claim.
_BROKEN = (
    *(ArithmeticError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError),
    *(struct.error, zlib.error),
)
_START_OF_SCAN = b"\xff\xda"


def decode(data: bytes) -> Image.Image:
    """Decode a JPEG or PNG file into an upright 8-bit grey image (mode L).

    Raises
    ------
    Problem
        As `read` does.
    """
    return grey(read(data))


def read(data: bytes) -> Image.Image:
    """Decode a JPEG or PNG file, its colours and its orientation as they are stored.

    Raises
    ------
    Problem
        400 for no bytes and for a truncated or broken file, 413 for one beyond `MAX_IMAGE_BYTES` or
        `MAX_IMAGE_PIXELS` (judged by its header, before a pixel is decoded), 415 for any other format.
    """
    if not data:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is empty: send the bytes of a JPEG or PNG image.")
    if len(data) > MAX_IMAGE_BYTES:
        raise too_many_bytes()
    reader = next((reader for magic, reader in _READERS.items() if data.startswith(magic)), None)
    if reader is None:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The bytes are neither a JPEG nor a PNG image: convert the image to one of these.",
        )
    try:
        image = reader(BytesIO(data))
        _check_cost(image, data)
        image.load()
        reader(BytesIO(data)).verify()  # a PNG's checksums and its end, which decoding alone overlooks
        if image.mode == "P" and image.palette is None:
            raise ValueError("no palette")
    except _BROKEN as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"The image is truncated or broken ({error}).") from error
    return image


def grey(image: Image.Image) -> Image.Image:
    """Turn a read image upright and into 8-bit grey (mode L); transparency shows the black behind it."""
    return _upright(_grey(image))


def preprocess(image: Image.Image, *, size: int) -> NDArray[np.float32]:
    """Fit a grey image into a square of the network's input size, its shape kept, on black.

    Parameters
    ----------
    image
        Mode L, any size.
    size
        The square's side in pixels.

    Returns
    -------
    Shape (size, size, 1), values from 0 (black) to 1 (white).
    """
    left, top, right, bottom = content_box(image.width, image.height, size)
    square = Image.new("L", (size, size))
    # Bicubic with Pillow's support scaled to the reduction: every source pixel counts, nothing aliases.
    square.paste(image.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
    return (np.asarray(square, dtype=np.float32) / np.float32(255))[..., np.newaxis]


def content_box(width: int, height: int, size: int) -> tuple[int, int, int, int]:
    """Return where `preprocess` puts an image inside its square: left, top, right, bottom, in its pixels."""
    scale = size / max(width, height)
    inner_width = max(1, round(width * scale))
    inner_height = max(1, round(height * scale))
    left, top = (size - inner_width) // 2, (size - inner_height) // 2
    return left, top, left + inner_width, top + inner_height


def too_many_bytes() -> Problem:
    """Return the refusal of a file beyond `MAX_IMAGE_BYTES`."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The image has more than {MAX_IMAGE_BYTES // 1024**2} MiB: send it smaller or more compressed.",
    )


def _check_cost(image: Image.Image, data: bytes) -> None:
    """Refuse by its header what would cost too much memory or time to decode."""
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The image has {image.width} x {image.height} pixels, "
            f"more than {MAX_IMAGE_PIXELS // 10**6} megapixels: send it smaller.",
        )
    if isinstance(image, JpegImageFile) and data.count(_START_OF_SCAN) > MAX_JPEG_SCANS:
        raise ValueError(f"more than {MAX_JPEG_SCANS} scans")


def _grey(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        return _grey_of_16_bits(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return ImageChops.multiply(rgba.convert("L"), rgba.getchannel("A"))
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return image.convert("L")


def _grey_of_16_bits(image: Image.Image) -> Image.Image:
    """Scale 65535 to 255, where Pillow's own conversion would clip."""
    wide = np.asarray(image)
    narrow = np.rint(wide / np.float32(257)).astype(np.uint8)
    narrow[wide == image.info.get("transparency", -1)] = 0
    scaled = Image.fromarray(narrow)
    scaled.info = image.info  # where the orientation is
    return scaled


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        return image  # unreadable EXIF says nothing about the pixels: shown as stored, as browsers do
