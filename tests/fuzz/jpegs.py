"""JPEG files with changed segments, as no encoder would write them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from PIL import Image

from model.data import phantom
from tests.container.samples import jpeg, scan, scans_bomb

if TYPE_CHECKING:
    from collections.abc import Iterator

START, END, SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))  # SOF markers


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Find the markers of a file, and where their segments begin and end, up to the first scan."""
    start = 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        end = start + 2 + int(struct.unpack_from(">H", data, start + 2)[0])
        yield data[start + 1], start, end
        if data[start + 1] == SCAN:
            return
        start = end


def between(data: bytes, *extra: bytes) -> bytes:
    """Insert segments at a file's beginning."""
    return data[:2] + b"".join(extra) + data[2:]


def odd_files() -> dict[str, bytes]:
    """Return files that stress a reader, by what is odd about them."""
    base = jpeg(phantom.draw(seed=3, lesion=True))
    return (
        dict(_encodings())
        | dict(_frames(base))
        | dict(_segments(base))
        | dict(_metadata(base))
        | dict(_ends(base))
    )


def _encodings() -> Iterator[tuple[str, bytes]]:
    colour = phantom.draw(seed=4, lesion=False).convert("RGB")
    for options in ({"progressive": True}, {"quality": 1}, {"quality": 100}, {"restart_marker_blocks": 1}):
        yield f"JPEG, {options}", jpeg(colour, **options)
    for sampling in ("4:4:4", "4:2:2", "4:1:1"):
        yield f"JPEG, {sampling}", jpeg(colour, subsampling=sampling)
    yield "JPEG, one pixel", jpeg(Image.new("L", (1, 1)))
    yield "JPEG, one row", jpeg(Image.new("L", (65_500, 1)))
    yield "JPEG, 25 megapixels", jpeg(Image.new("L", (5000, 5000)))
    yield "JPEG, 25 megapixels, progressive", jpeg(Image.new("RGB", (5000, 5000)), progressive=True)
    yield "JPEG, thousands of scans", scans_bomb()


def _frames(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Change the frame header: the process, precision, size and components."""
    _, start, end = next(each for each in segments(base) if each[0] in FRAMES)
    old = base[start + 4 : end]

    def framed(content: bytes, marker: int = 0xC0) -> bytes:
        return base[:start] + segment(marker, content) + base[end:]

    for marker in (*FRAMES, 0xC4, 0xC8, 0xCC):  # including arithmetic coding, lossless, hierarchical
        yield f"JPEG, frame of kind {marker:x}", framed(old, marker)
    for depth in (0, 1, 12, 16, 255):
        yield f"JPEG, {depth} bits", framed(bytes([depth]) + old[1:])
    for width in (0, 1, 5_001, 65_535):
        for height in (0, 1, 5_001, 65_535):
            size = struct.pack(">HH", height, width)
            yield f"JPEG, {width} x {height} by its header", framed(old[:1] + size + old[5:])
    for count in (0, 2, 4, 255):
        yield f"JPEG, {count} components", framed(old[:5] + bytes([count]) + b"\1\x11\0" * count)
        yield f"JPEG, {count} components announced", framed(old[:5] + bytes([count]) + old[6:])
    yield "JPEG, sampling of 0", framed(old[:7] + b"\0" + old[8:])
    yield "JPEG, two frames", framed(old) + segment(0xC0, old) + base[end:]


def _segments(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Leave one segment out, repeat it, or add one of another kind; `images.broken` changes their content."""
    for marker, start, end in segments(base):
        yield f"JPEG, no {marker:x}", base[:start] + base[end:]
        yield f"JPEG, two {marker:x}", base[:end] + base[start:]
    for marker in (1, *range(0xC0, 0xE4), 0xED, 0xEE, 0xEF, 0xF7, 0xFE):
        yield f"JPEG, {marker:x} first", between(base, segment(marker, bytes(20)))


def _metadata(base: bytes) -> Iterator[tuple[str, bytes]]:
    for orientation in (*range(10), 65_535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"JPEG, orientation {orientation}", jpeg(scan(200, 120), exif=exif.tobytes())
    loop = b"MM\0*\0\0\0\x08\0\x10" + b"\x87\x69\0\x04\0\0\0\x01\0\0\0\x08" * 16
    for name, content in {
        "nothing": b"",
        "half a header": b"Exif\0\0MM\0*",
        "a far offset": b"Exif\0\0MM\0*\xff\xff\xff\xff",
        "a loop": b"Exif\0\0" + loop,
        "a text as orientation": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\4abc\0\0\0\0\0",
    }.items():
        yield f"JPEG, EXIF of {name}", between(base, segment(0xE1, content))
    yield "JPEG, an unknown Adobe transform", between(base, segment(0xEE, b"Adobe\0\x64\0\0\0\0\xff"))
    yield "JPEG, MPO that points into itself", between(base, segment(0xE2, b"MPF\0" + loop))
    yield "JPEG, half a million segments", between(base, segment(0xE5, b"") * 500_000)
    yield "JPEG, 3 MB of comments", between(base, segment(0xFE, bytes(65_000)) * 48)


def _ends(base: bytes) -> Iterator[tuple[str, bytes]]:
    *_, (_, _, pixels) = segments(base)
    yield "JPEG, no end", base[:-2]
    yield "JPEG, its beginning and its end", START + END
    yield "JPEG, fill bytes", START + b"\xff" * 100_000 + base[2:]
    yield "JPEG, a megabyte behind it", base + bytes(2**20)
    yield "JPEG, pixels of ones", base[:pixels] + b"\xff" * 5000 + END
    yield "JPEG, restarts for pixels", base[:pixels] + b"\xff\xd0\xff\xd7" * 5000 + END
    yield "JPEG, no pixels", base[:pixels] + END
