"""Images to send: whole ones of every mode, odd ones, and ways to break them."""

from __future__ import annotations

import functools
import struct

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from container.problem import MAX_IMAGE_BYTES
from model.data import phantom
from tests.container.samples import chunk, encoded, jpeg, png, scan
from tests.dicom_files import SYNTAXES, dicom
from tests.fuzz import jpegs, pngs

NUMBERS = (  # for headers
    *(0, 1, 2, 4, 8, 16, 127, 128, 255, 256, 32_767, 65_535),
    *(2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1),
)
MAGICS = (pngs.MAGIC, b"\xff\xd8\xff", bytes(128) + b"DICM")


@functools.cache
def whole() -> dict[str, bytes]:
    """Return images that must be classified: a drawn head in every mode of both formats."""
    grey = phantom.draw(seed=1, lesion=True)
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    transparent = Image.merge("LA", (grey, grey.point(lambda level: 255 if level > 20 else 0)))
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "PNG, L": png(grey),
        "PNG, LA": png(transparent),
        "PNG, RGB": png(grey.convert("RGB")),
        "PNG, RGBA": png(transparent.convert("RGBA")),
        "PNG, P": png(grey.convert("P")),
        "PNG, P, transparent": png(grey.convert("P"), transparency=bytes(range(256))),
        "PNG, I;16": png(wide),
        "PNG, 1": png(grey.convert("1")),
        "PNG, turned": png(grey, exif=turned),
        "PNG, animated": png(grey, save_all=True, append_images=[grey, Image.new("L", grey.size)]),
        "PNG, with a profile": png(grey, icc_profile=bytes(500)),
        "JPEG, L": jpeg(grey),
        "JPEG, RGB": jpeg(grey.convert("RGB")),
        "JPEG, CMYK": jpeg(grey.convert("CMYK")),
        "JPEG, progressive": jpeg(grey, progressive=True),
        "JPEG, turned": jpeg(grey, exif=turned.tobytes()),
        "JPEG, MPO": encoded(grey, "MPO", save_all=True, append_images=[grey]),
    }


@functools.cache
def odd() -> dict[str, bytes]:
    """Return files that stress a reader, whole or not, and files of other formats."""
    grey = phantom.draw(seed=2, lesion=False)
    Image.init()  # registers all formats, not only the most common
    formats = ("GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM", "ICO", "TGA", "PDF", "AVIF")
    others = {form: encoded(grey, form) for form in formats if form in Image.SAVE}
    others |= {"text": b"not an image at all\n" * 20, "one byte": b"\xff", "nothing": b""}
    others |= {f"{size} zeros": bytes(size) for size in (MAX_IMAGE_BYTES, MAX_IMAGE_BYTES + 1)}
    files = {**others, **pngs.odd_files(), **jpegs.odd_files()}
    return {name: data for name, data in files.items() if len(data) <= MAX_IMAGE_BYTES + 1}


def largest() -> list[bytes]:
    """Return the images that take the most memory, each twice, so that every worker decodes some.

    A DICOM file comes first, for which a worker imports a library that it keeps.
    """
    names = ("PNG, 25 megapixels of 16-bit RGBA", "JPEG, 25 megapixels, progressive", "PNG, 25 megapixels")
    return [each for each in (dicom_files()[0], *(odd()[name] for name in names)) for _ in range(2)]


@functools.cache
def small() -> list[bytes]:
    """Return images so small that a place drawn at random is likely to matter."""
    return [*whole().values(), *(data for data in odd().values() if len(data) < 30_000)]


@functools.cache
def dicom_files() -> list[bytes]:
    """Return files in every transfer syntax, and of several frames."""
    frame = scan(64, 48)
    one = [dicom(frame, syntax=syntax, bits=8) for syntax in SYNTAXES]
    return [*one, *(dicom(np.stack([np.asarray(frame)] * 2), syntax=syntax) for syntax in SYNTAXES[:5])]


@st.composite
def broken(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """Break an image in one to four places; its checksums are then corrected or not."""
    data = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 4))):
        data = draw(st.sampled_from(CHANGES))(draw, data)
    if data.startswith(pngs.MAGIC) and draw(st.booleans()):
        data = pngs.with_checksums(data)
    return data[:MAX_IMAGE_BYTES]


def _replace(draw: st.DrawFn, data: bytes) -> bytes:
    """Replace up to 64 bytes by up to 64 others."""
    start = draw(_place(data))
    return data[:start] + draw(st.binary(max_size=64)) + data[start + draw(st.integers(0, 64)) :]


def _cut_off(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: draw(_place(data))]


def _repeat(draw: st.DrawFn, data: bytes) -> bytes:
    start = draw(_place(data))
    piece = data[start : start + draw(st.integers(1, 500))]
    return data[:start] + piece * draw(st.integers(2, 50)) + data[start:]


def _set_number(draw: st.DrawFn, data: bytes) -> bytes:
    start, form = draw(_place(data)), draw(st.sampled_from([">B", ">H", ">I", "<H", "<I"]))
    size = struct.calcsize(form)
    return data[:start] + struct.pack(form, draw(st.sampled_from(NUMBERS)) % 256**size) + data[start + size :]


def _splice(draw: st.DrawFn, data: bytes) -> bytes:
    """Join the beginning of one image and the end of another, of either format."""
    other = draw(st.sampled_from(small()))
    return data[: draw(_place(data))] + other[draw(_place(other)) :]


def _change_content(draw: st.DrawFn, data: bytes) -> bytes:
    """Change the content of one chunk or segment, and correct its length."""
    is_png = data.startswith(pngs.MAGIC)
    places = pngs.chunks(data) if is_png else ((start, end) for _, start, end in jpegs.segments(data))
    inside = [(start, end) for start, end in places if end <= len(data)]
    if not inside:
        return data
    start, end = draw(st.sampled_from(inside))
    content = data[start + 8 : end - 4] if is_png else data[start + 4 : end]
    content = draw(st.sampled_from(CONTENT_CHANGES))(draw, content)
    if is_png:
        return data[:start] + chunk(data[start + 4 : start + 8], content) + data[end:]
    return data[:start] + jpegs.segment(data[start + 1], content[:65_533]) + data[end:]


def _place(data: bytes) -> st.SearchStrategy[int]:
    """A place in the data: as often in the first bytes behind its magic, which are headers, as anywhere.

    Never in the magic, without which nothing reads the file as an image.
    """
    first = next((len(magic) for magic in MAGICS if data.startswith(magic)), 0)
    return st.one_of(
        st.integers(first, max(first, min(first + 400, len(data)))), st.integers(first, len(data))
    )


CONTENT_CHANGES = (_replace, _cut_off, _repeat, _set_number)
CHANGES = (*CONTENT_CHANGES, _splice, _change_content, _change_content)
