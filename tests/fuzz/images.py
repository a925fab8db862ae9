"""Images that may be sent: whole ones in every form that files come in, odd ones, and ways to break them."""

from __future__ import annotations

import functools
import struct

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from container.limits import MAX_IMAGE_BYTES
from model import phantom
from tests.container.pictures import chunk, encoded, jpeg, png
from tests.fuzz import jpegs, pngs

# What numbers in headers are set to.
NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    12,
    16,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
LONGEST_CHANGE = 64  # bytes
MAGICS = (pngs.MAGIC, b"\xff\xd8\xff")


@functools.cache
def whole() -> dict[str, bytes]:
    """Images that must be judged: a drawn head in every mode of both formats."""
    grey = phantom.draw(seed=1, lesion=True)
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    seen = grey.point(lambda level: 255 if level > 20 else 0)
    see_through = Image.merge("LA", (grey, seen))
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "PNG, L": png(grey),
        "PNG, LA": png(see_through),
        "PNG, RGB": png(grey.convert("RGB")),
        "PNG, RGBA": png(see_through.convert("RGBA")),
        "PNG, P": png(grey.convert("P")),
        "PNG, P of 16": png(grey.quantize(16)),
        "PNG, P, transparent": png(grey.convert("P"), transparency=0),
        "PNG, P, half transparent": png(grey.convert("P"), transparency=bytes(range(256))),
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
    """Files that stress a reader, whole or not, and other formats."""
    grey = phantom.draw(seed=2, lesion=False)
    Image.init()  # else only the commonest formats are known
    others: dict[str, bytes] = {
        form: encoded(grey, form)
        for form in ("GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM", "ICO", "TGA", "PDF", "AVIF")
        if form in Image.SAVE
    }
    texts = {"text": b"not an image at all\n" * 20, "zeros": bytes(5000), "one byte": b"\xff", "nothing": b""}
    sizes = {
        "one byte too many": bytes(MAX_IMAGE_BYTES + 1),
        "just not too many bytes": bytes(MAX_IMAGE_BYTES),
    }
    files: dict[str, bytes] = {**others, **texts, **sizes, **pngs.odd_files(), **jpegs.odd_files()}
    return {name: data for name, data in files.items() if len(data) <= MAX_IMAGE_BYTES + 1}


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """An image that is broken in one to four places, its checksums then mended or not."""
    data = draw(st.sampled_from(seeds()))
    for _ in range(draw(st.integers(1, 4))):
        data = draw(st.sampled_from(CHANGES))(draw, data)
    if data.startswith(pngs.MAGIC) and draw(st.booleans()):
        data = pngs.with_checksums(data)
    return data[:MAX_IMAGE_BYTES]


@functools.cache
def seeds() -> list[bytes]:
    """Images small enough to be broken anywhere: a place drawn at random is then a place that matters."""
    small = {**whole(), **{name: data for name, data in odd().items() if len(data) < 30_000}}
    return list(small.values())


def _flip_bits(draw: st.DrawFn, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 8))):
        if changed:
            changed[draw(_place(data, before=1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)


def _cut_off(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: draw(_place(data))]


def _cut_out(draw: st.DrawFn, data: bytes) -> bytes:
    start = draw(_place(data))
    return data[:start] + data[start + draw(st.integers(1, 2000)) :]


def _insert(draw: st.DrawFn, data: bytes) -> bytes:
    start = draw(_place(data))
    return data[:start] + draw(st.binary(min_size=1, max_size=LONGEST_CHANGE)) + data[start:]


def _repeat(draw: st.DrawFn, data: bytes) -> bytes:
    start = draw(_place(data))
    piece = data[start : start + draw(st.integers(1, 500))]
    return data[:start] + piece * draw(st.integers(2, 50)) + data[start:]


def _overwrite(draw: st.DrawFn, data: bytes) -> bytes:
    start, count = draw(_place(data)), draw(st.integers(1, LONGEST_CHANGE))
    written = draw(st.sampled_from([b"\0", b"\xff", b"\x7f", b"\xff\xda", b"\xff\xd8"])) * count
    return data[:start] + written[:count] + data[start + count :]


def _set_number(draw: st.DrawFn, data: bytes) -> bytes:
    start, form = draw(_place(data)), draw(st.sampled_from([">B", ">H", ">I", "<I"]))
    size = struct.calcsize(form)
    written = struct.pack(form, draw(st.sampled_from(NUMBERS)) % 256**size)
    return data[:start] + written + data[start + size :]


def _splice(draw: st.DrawFn, data: bytes) -> bytes:
    """The beginning of one image and the end of another, of either format."""
    other = draw(st.sampled_from(seeds()))
    return data[: draw(_place(data))] + other[draw(_place(other)) :]


def _swap_chunks(draw: st.DrawFn, data: bytes) -> bytes:
    """Exchange two chunks or segments."""
    places = _parts(data)
    if len(places) < 2:
        return data
    (a, b), (c, d) = sorted(
        draw(st.lists(st.sampled_from(places), min_size=2, max_size=2, unique_by=lambda place: place[0]))
    )
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _change_content(draw: st.DrawFn, data: bytes) -> bytes:
    """Make one chunk or segment longer, shorter or another, its length right."""
    places = _parts(data)
    if not places:
        return data
    start, end = draw(st.sampled_from(places))
    is_png = data.startswith(pngs.MAGIC)
    content = data[start + 8 : end - 4] if is_png else data[start + 4 : end]
    content = draw(st.sampled_from(INSIDE))(draw, content)
    if is_png:
        return data[:start] + chunk(data[start + 4 : start + 8], content) + data[end:]
    return data[:start] + jpegs.segment(data[start + 1], content[:65_533]) + data[end:]


def _parts(data: bytes) -> list[tuple[int, int]]:
    """Where the chunks of a PNG or the segments of a JPEG begin and end."""
    if data.startswith(pngs.MAGIC):
        return list(pngs.chunks(data))
    return [(start, end) for _, start, end in jpegs.segments(data) if end <= len(data)]


def _place(data: bytes, *, before: int = 0) -> st.SearchStrategy[int]:
    """A place in the data: as often in its first bytes, where the headers are, as anywhere else.

    Not in its magic: without that it is no image, and nothing reads it.
    """
    last = max(0, len(data) - before)
    first = next((len(magic) for magic in MAGICS if data.startswith(magic)), 0)
    return st.one_of(st.integers(min(first, last), min(200, last)), st.integers(min(first, last), last))


INSIDE = (_flip_bits, _cut_off, _cut_out, _insert, _repeat, _overwrite, _set_number)
CHANGES = (*INSIDE, _splice, _swap_chunks, _change_content, _change_content)


def largest() -> list[bytes]:
    """The images that take the most memory, twice each, so that every process of the server has seen some."""
    names = ("PNG, 25 megapixels of 16-bit RGBA", "JPEG, 25 megapixels, progressive", "PNG, 25 megapixels")
    return [odd()[name] for name in names for _ in range(2)]
