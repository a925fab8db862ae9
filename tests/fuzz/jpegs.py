"""JPEG files whose segments were changed by hand, as no encoder would."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from PIL import Image

from model import phantom
from tests.container.pictures import jpeg, scan, scans_bomb

if TYPE_CHECKING:
    from collections.abc import Iterator

START, END, SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))  # SOF markers

OPTIONS: dict[str, dict[str, object]] = {
    "progressive": {"progressive": True},
    "optimized": {"optimize": True},
    "of quality 1": {"quality": 1},
    "of quality 100": {"quality": 100},
    "restarting at each row": {"restart_marker_rows": 1},
    "restarting at each block": {"restart_marker_blocks": 1},
    "a profile of garbage": {"icc_profile": bytes(range(256)) * 700},
}


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The markers of a file with where their segments begin and end, up to the first scan."""
    start = 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        end = start + 2 + int(struct.unpack_from(">H", data, start + 2)[0])
        yield data[start + 1], start, end
        if data[start + 1] == SCAN:
            return
        start = end


def between(data: bytes, *extra: bytes) -> bytes:
    """The same file with more segments at its beginning."""
    return data[:2] + b"".join(extra) + data[2:]


def odd_files() -> dict[str, bytes]:
    """Files that stress a reader, by what is odd about them."""
    base = jpeg(phantom.draw(seed=3, lesion=True))
    return {
        **dict(_forms()),
        **dict(_frames(base)),
        **dict(_segments(base)),
        **dict(_notes(base)),
        **dict(_ends(base)),
        "JPEG, thousands of scans": scans_bomb(),
    }


def _forms() -> Iterator[tuple[str, bytes]]:
    drawn = phantom.draw(seed=4, lesion=False)
    colour = drawn.convert("RGB")
    for name, options in OPTIONS.items():
        yield f"JPEG, {name}", jpeg(drawn, **options)
        yield f"JPEG, {name}, colour", jpeg(colour, **options)
    for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
        yield f"JPEG, {sampling}", jpeg(colour, subsampling=sampling)
    yield "JPEG, CMYK", jpeg(drawn.convert("CMYK"))
    yield "JPEG, CMYK, progressive", jpeg(drawn.convert("CMYK"), progressive=True)
    yield "JPEG, kept RGB", jpeg(colour, keep_rgb=True)
    yield "JPEG, one pixel", jpeg(Image.new("L", (1, 1)))
    yield "JPEG, one row", jpeg(Image.new("L", (65_500, 1)))
    yield "JPEG, 25 megapixels", jpeg(Image.new("L", (5000, 5000)))
    yield "JPEG, 25 megapixels, progressive", jpeg(Image.new("RGB", (5000, 5000)), progressive=True)


def _frames(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files with another frame header: other processes, precisions, sizes and components."""
    _, start, end = next(each for each in segments(base) if each[0] in FRAMES)
    old = base[start + 4 : end]

    def framed(content: bytes, marker: int = 0xC0) -> bytes:
        return base[:start] + segment(marker, content) + base[end:]

    for marker in (*FRAMES, 0xC4, 0xC8, 0xCC):  # among them arithmetic coding, lossless, hierarchical
        yield f"JPEG, frame of kind {marker:x}", framed(old, marker)
    for depth in (0, 1, 7, 9, 12, 16, 255):
        for marker in (0xC0, 0xC1, 0xC2, 0xC9):
            yield f"JPEG, {depth} bits, kind {marker:x}", framed(bytes([depth]) + old[1:], marker)
    for width in (0, 1, 5_001, 65_535):
        for height in (0, 1, 5_001, 65_535):
            size = struct.pack(">HH", height, width)
            yield f"JPEG, {width} x {height} by its header", framed(old[:1] + size + old[5:])
    for count in (0, 2, 3, 4, 5, 255):
        yield f"JPEG, {count} components", framed(old[:5] + bytes([count]) + b"\1\x11\0" * count)
        yield f"JPEG, {count} components announced", framed(old[:5] + bytes([count]) + old[6:])
    for factor in (0x00, 0x01, 0x44, 0xF1, 0xFF):
        yield f"JPEG, sampling {factor:x}", framed(old[:7] + bytes([factor]) + old[8:])
    yield "JPEG, two frames", framed(old) + segment(0xC0, old) + base[end:]
    yield "JPEG, frame without an end", framed(old[:3])


def _segments(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files of which one segment is missing, double, short, long, empty or garbage."""
    for marker, start, end in segments(base):
        before, whole, after = base[:start], base[start:end], base[end:]
        yield f"JPEG, no {marker:x}", before + after
        yield f"JPEG, two {marker:x}", before + whole * 2 + after
        yield f"JPEG, empty {marker:x}", before + segment(marker, b"") + after
        yield f"JPEG, garbage {marker:x}", before + segment(marker, bytes(range(256)) * 2) + after
        for length in (0, 1, 65_535):
            yield (
                f"JPEG, {marker:x} of length {length}",
                (before + whole[:2] + struct.pack(">H", length) + whole[4:] + after),
            )
    for marker in (1, *range(0xC0, 0xD0), 0xD0, 0xD7, *range(0xD8, 0xE4), 0xED, 0xEE, 0xEF, 0xF7, 0xFE):
        yield f"JPEG, {marker:x} first", between(base, segment(marker, bytes(20)))
        yield f"JPEG, {marker:x} without a length", between(base, bytes([0xFF, marker]))


def _notes(base: bytes) -> Iterator[tuple[str, bytes]]:
    """Files with odd notes: EXIF, Adobe's, MPO's, profiles, comments."""
    for orientation in (*range(10), 65_535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"JPEG, turned {orientation}", jpeg(scan(200, 120), exif=exif.tobytes())
    loop = b"MM\0*\0\0\0\x08\0\x10" + b"\x87\x69\0\x04\0\0\0\x01\0\0\0\x08" * 16
    for name, content in {
        "nothing": b"",
        "its name": b"Exif\0\0",
        "half a header": b"Exif\0\0MM\0*",
        "a far offset": b"Exif\0\0MM\0*\xff\xff\xff\xff",
        "a loop": b"Exif\0\0" + loop,
        "text for a turn": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\4abc\0\0\0\0\0",
        "4 billion turns": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\xff\xff\xff\xff\0\0\0\x08\0\0\0\0",
        "a turn by nothing": b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\5\0\0\0\1\0\0\0\x1a\0\0\0\0" + bytes(8),
    }.items():
        yield f"JPEG, EXIF of {name}", between(base, segment(0xE1, content))
    for transform in (0, 1, 2, 3, 255):
        yield (
            f"JPEG, Adobe's {transform}",
            between(base, segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))),
        )
    yield "JPEG, MPO of garbage", between(base, segment(0xE2, b"MPF\0" + bytes(range(200))))
    yield "JPEG, MPO of itself", between(base, segment(0xE2, b"MPF\0" + loop))
    for part in (b"\0\0", b"\1\0", b"\0\1", b"\xff\xff"):
        yield (
            f"JPEG, profile part {part.hex()}",
            between(base, segment(0xE2, b"ICC_PROFILE\0" + part + bytes(99))),
        )
    yield "JPEG, Photoshop's garbage", between(base, segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 999))
    yield "JPEG, a flood of notes", between(base, segment(0xE5, b"") * 500_000)
    yield "JPEG, 3 MB of comments", between(base, segment(0xFE, bytes(65_000)) * 48)
    yield "JPEG, JFIF of no density", between(base, segment(0xE0, b"JFIF\0\1\2\1\0\0\0\0\0\0"))


def _ends(base: bytes) -> Iterator[tuple[str, bytes]]:
    yield "JPEG, no end", base[:-2]
    yield "JPEG, nothing but its beginning", START
    yield "JPEG, its beginning and its end", START + END
    yield "JPEG, its magic", b"\xff\xd8\xff"
    yield "JPEG, fill bytes", START + b"\xff" * 100_000 + base[2:]
    yield "JPEG, another behind it", base * 2
    yield "JPEG, a megabyte behind it", base + bytes(2**20)
    yield "JPEG, a PNG behind its magic", b"\xff\xd8\xff" + b"\x89PNG\r\n\x1a\n" + bytes(100)
    *_, (_, _, pixels) = segments(base)
    yield "JPEG, pixels of zeros", base[:pixels] + bytes(5000) + END
    yield "JPEG, pixels of ones", base[:pixels] + b"\xff" * 5000 + END
    yield "JPEG, restarts for pixels", base[:pixels] + b"\xff\xd0\xff\xd7" * 5000 + END
    yield "JPEG, no pixels", base[:pixels] + END
