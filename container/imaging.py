"""From the bytes of a file to the network's input, for serving and training alike.

A scan in any form (DICOM, grey, colour, palette, CMYK, 16 bits, transparent, rotated by EXIF) becomes the
same upright 8-bit grey image, so that every form gets the same prediction.
"""

from __future__ import annotations

import struct
import zlib
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageChops, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from .grey_levels import narrowed, spread, stretched
from .problem import (
    MAX_IMAGE_BYTES,
    MAX_IMAGE_PIXELS,
    Problem,
    check_frame,
    no_bytes,
    too_many_bytes,
    too_many_pixels,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # left, top, right and bottom in pixels of the upright image
Format = Literal["dicom", "jpeg", "png"]

# Encoders write about 10 scans. A scan of 42 bytes costs 0.05 s at 25 megapixels, so 4 MiB of scans would
# take over an hour. libjpeg-turbo advises applications to set such a limit.
MAX_JPEG_SCANS = 100

# The first bytes of a file, and its reader. The plain JPEG reader takes the first picture of a multi-picture
# file (MPO), the PNG reader the first frame of an animated one.
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
# Markers of a JPEG's frame header, which Pillow reads with 8 bits, and those of JPEG lossless and JPEG-LS.
_BASELINE, _LOSSLESS = (0xC0, 0xC1, 0xC2), (0xC3, 0xF7)

_DICOM, _DICOM_AT = b"DICM", 128  # after the preamble (PS3.10, 7.1)
# What comes first in a DICOM data set without a preamble: group 2, character set, image type or class.
_BARE_DICOM = (b"\x02\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")

_SMALL = 96  # side in pixels of the small copy in which content is searched
_THIN = 2  # pixels of that copy: half the width of the widest stroke that is not content
_MIN_CONTENT = 0.1  # share of the image that content must fill
_ENDS = (0.01, 0.995)  # shares of the pixels that become black, and that do not become white


def decode(data: bytes) -> Image.Image:
    """Decode an image file into an upright 8-bit grey image (mode L); errors as of `read` and `grey`."""
    return grey(read(data))


def is_dicom(data: bytes) -> bool:
    """Whether a file begins as DICOM does."""
    return data[_DICOM_AT : _DICOM_AT + len(_DICOM)] == _DICOM


def format_of(data: bytes) -> Format:
    """Return the format of a file that `read` takes, by its first bytes."""
    if is_dicom(data):
        return "dicom"
    return "jpeg" if data.startswith(b"\xff\xd8\xff") else "png"


def read(data: bytes, *, frame: int | None = None) -> Image.Image:
    """Decode a JPEG or PNG file, with its stored colours and orientation, or a frame of a DICOM file.

    Raises `Problem`: 400 for an empty, truncated or broken file, 413 beyond `MAX_IMAGE_BYTES` or, by its
    header, `MAX_IMAGE_PIXELS`, 415 for any other format, 422 for a frame that is not there; for a DICOM file
    also as `dicom.read`.
    """
    if not data:
        raise no_bytes()
    if len(data) > MAX_IMAGE_BYTES:
        raise too_many_bytes()
    if is_dicom(data):
        from . import dicom  # noqa: PLC0415 - only a DICOM file pays for the import

        return dicom.read(data, frame=frame)
    check_frame(frame, 1)
    reader = next((reader for magic, reader in _READERS.items() if data.startswith(magic)), None)
    if reader is None:
        detail = "The bytes are no JPEG, PNG or DICOM image: convert the image to one of these."
        if data.startswith(_BARE_DICOM):
            detail = "The bytes are a DICOM data set without the preamble of a file: save it as a DICOM file."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    try:
        image = reader(BytesIO(data))
        _check_cost(image, data)
        image.load()
        reader(BytesIO(data)).verify()  # a PNG's checksums and its end, which decoding alone overlooks
        if image.mode == "P" and image.palette is None:
            raise ValueError("no palette")
    except _BROKEN as error:
        if reader is JpegImageFile and _is_medical(data):
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "The JPEG is lossless or has more than 8 bits, which is supported within DICOM files only: "
                "save it as a common JPEG or as PNG.",
            ) from error
        raise _broken(error) from error
    return image


def grey(image: Image.Image) -> Image.Image:
    """Convert a read image to upright 8-bit grey (mode L); transparent pixels become black.

    Raises `Problem` with 400 for invalid colours, such as transparency of more colours than the palette has.
    """
    try:
        return _upright(_grey(image))
    except _BROKEN as error:
        raise _broken(error) from error


def preprocess(image: Image.Image, *, size: int, box: Box | None = None) -> NDArray[np.float32]:
    """Scale the content of a mode L image to shape (size, size, 1), values from 0 (black) to 1 (white).

    Margins, the shape of the file and its brightness depend on the source, not on tumours: they are removed.
    `box` is that of `content_box`, where it is known.
    """
    # Bicubic with Pillow's support scaled to the reduction: every source pixel counts, nothing aliases.
    box = box or content_box(image)
    square = spread(image).resize((size, size), Image.Resampling.BICUBIC, box=box)
    return (np.asarray(stretched(square, _ENDS), dtype=np.float32) / np.float32(255))[..., np.newaxis]


def content_box(image: Image.Image) -> Box:
    """Find the bright content of a mode L image, without margins, letters and thin lines.

    Returns left, top, right and bottom in pixels: of the whole image if too little of it is bright.
    """
    small = spread(image).resize((_SMALL, _SMALL), Image.Resampling.BOX)
    framed = np.ones((_SMALL + 2, _SMALL + 2), dtype=bool)
    bright = framed[1:-1, 1:-1]
    bright[:] = np.asarray(small) > otsu(small) / 2
    for _ in range(_THIN):  # strokes as thin as this vanish
        bright &= framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if len(rows) == 0:
        return (0, 0, *image.size)
    top, bottom = rows[0] - _THIN, rows[-1] + 1 + _THIN
    left, right = columns[0] - _THIN, columns[-1] + 1 + _THIN
    if (right - left) * (bottom - top) < _MIN_CONTENT * _SMALL**2:
        return (0, 0, *image.size)
    across, down = image.width / _SMALL, image.height / _SMALL
    return (
        max(0.0, left * across),
        max(0.0, top * down),
        min(float(image.width), right * across),
        min(float(image.height), bottom * down),
    )


def otsu(image: Image.Image) -> float:
    """Return the grey level that best separates dark from bright in a mode L image (Otsu 1979)."""
    counts = np.array(image.histogram(), dtype=np.float64)
    below, mass = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    spread = below * (below[-1] - below)
    between = (mass * below[-1] - mass[-1] * below) ** 2 / np.maximum(spread, 1)
    return float(np.argmax(between))


def _broken(error: Exception) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"The image is truncated or broken ({error}).")


def _check_cost(image: Image.Image, data: bytes) -> None:
    """Refuse by its header an image that would cost too much memory or time to decode."""
    if image.width * image.height > MAX_IMAGE_PIXELS:
        raise too_many_pixels(f"{image.width} x {image.height}")
    if isinstance(image, JpegImageFile) and data.count(_START_OF_SCAN) > MAX_JPEG_SCANS:
        raise ValueError(f"more than {MAX_JPEG_SCANS} scans")


def _is_medical(data: bytes) -> bool:
    """Whether a JPEG's frame header names a form that only medical software writes."""
    at = 2
    while data[at : at + 1] == b"\xff" and len(data) > at + 4:
        marker, precision = data[at + 1], data[at + 4]
        if marker in _BASELINE or marker in _LOSSLESS:
            return marker in _LOSSLESS or precision > 8  # noqa: PLR2004 - bits
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return False


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
    wide = np.asarray(image)
    narrow = narrowed(wide)
    narrow[wide == image.info.get("transparency", -1)] = 0
    scaled = Image.fromarray(narrow)
    scaled.info = image.info  # where the orientation is
    return scaled


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        return image  # the pixels are fine without readable EXIF; browsers show them as stored
