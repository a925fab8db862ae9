"""PNG files assembled chunk by chunk, as no encoder would."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from tests.container.samples import chunk, zeros

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
GREY = bytes(level for level in range(256) for _ in range(3))  # a palette
KNOWN = (  # chunks that Pillow's reader knows by name
    *("IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "iCCP", "sRGB", "sBIT", "bKGD", "hIST"),
    *("pHYs", "sPLT", "tIME", "tEXt", "zTXt", "iTXt", "eXIf", "acTL", "fcTL", "fdAT"),
)
LARGEST = 2**32 - 1


def header(
    width: int, height: int, *, depth: int = 8, colour: int = 0, rest: tuple[int, int, int] = (0, 0, 0)
) -> bytes:
    """Make an IHDR chunk; `rest` is compression, filter and interlacing."""
    return chunk(b"IHDR", struct.pack(">IIBB3B", width, height, depth, colour, *rest))


def file(*chunks: bytes) -> bytes:
    """Make a file of these chunks and an IEND."""
    return MAGIC + b"".join(chunks) + chunk(b"IEND", b"")


def drawn(
    side: int = 96, *, depth: int = 8, colour: int = 0, interlaced: bool = False, filters: int = 1
) -> bytes:
    """Draw a bright disc on black in any depth and colour type, also in those that do not exist."""
    palette = [chunk(b"PLTE", GREY)] if colour == 3 else []
    pixels = b"".join(scanlines(side, depth=depth, colour=colour, interlaced=interlaced, filters=filters))
    head = header(side, side, depth=depth, colour=colour, rest=(0, 0, int(interlaced)))
    return file(head, *palette, chunk(b"IDAT", zlib.compress(pixels)))


def scanlines(side: int, *, depth: int, colour: int, interlaced: bool, filters: int) -> Iterator[bytes]:
    channels = CHANNELS.get(colour, 1)
    top = (1 << min(depth, 16)) - 1
    for x0, y0, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns = range(x0, side, across)
        for y in range(y0, side, down):
            bits = 0
            for x in columns:
                bright = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 3) ** 2
                level = top * (x + y) // (2 * side) if bright else 0
                for _ in range(channels):
                    bits = bits << depth | level
            size = len(columns) * channels * depth
            if size:
                yield bytes([y % filters]) + (bits << -size % 8).to_bytes((size + 7) // 8, "big")


def chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Find where the chunks of a file begin and end, as far as their lengths make sense."""
    start = len(MAGIC)
    while start + 12 <= len(data):
        end = start + 12 + int(struct.unpack_from(">I", data, start)[0])
        if end > len(data):
            return
        yield start, end
        start = end


def with_checksums(data: bytes) -> bytes:
    """Correct every checksum, so that what was changed is read at all."""
    corrected = bytearray(data)
    for start, end in chunks(data):
        corrected[end - 4 : end] = struct.pack(">I", zlib.crc32(corrected[start + 4 : end - 4]))
    return bytes(corrected)


def between(data: bytes, *extra: bytes) -> bytes:
    """Insert chunks behind a file's header."""
    return data[:33] + b"".join(extra) + data[33:]


def odd_files() -> dict[str, bytes]:
    """Return files that stress a reader, by what is odd about them."""
    base = drawn()
    return dict(_variants()) | dict(_chunks(base)) | dict(_sizes()) | dict(_floods(base)) | dict(_pixels())


def _variants() -> Iterator[tuple[str, bytes]]:
    for depth in (0, 1, 2, 3, 4, 8, 16, 32):
        for colour in (*CHANNELS, 1, 7):
            yield f"PNG, depth {depth}, colour {colour}", drawn(40, depth=depth, colour=colour)
    for colour in CHANNELS:
        yield f"PNG, interlaced, colour {colour}", drawn(depth=16, colour=colour, interlaced=True)
        yield f"PNG, invalid filters, colour {colour}", drawn(colour=colour, filters=9)
    for size in (0, 1, 3, 900):
        pixels = chunk(b"IDAT", zlib.compress(bytes([0, *range(64)]) * 64))
        head = header(64, 64, colour=3)
        yield f"PNG, palette of {size} bytes", file(head, chunk(b"PLTE", bytes(size)), pixels)


def _chunks(base: bytes) -> Iterator[tuple[str, bytes]]:
    for name in KNOWN:
        kind = name.encode()
        yield f"PNG, empty {name}", between(base, chunk(kind, b""))
        yield f"PNG, empty {name} first", file(chunk(kind, b""), base[8:33], base[33:-12])
        yield f"PNG, garbage {name}", between(base, chunk(kind, bytes(range(256)) * 3))
        yield f"PNG, two {name}", between(base, *(chunk(kind, bytes(13)) for _ in range(2)))
    for number, (_, end) in enumerate(chunks(base)):
        yield f"PNG, wrong checksum {number}", base[: end - 1] + bytes([base[end - 1] ^ 1]) + base[end:]
    frame = chunk(b"fcTL", struct.pack(">5IHHBB", 0, 2**31 - 1, 2**31 - 1, 2**31, 2**31, 1, 1, 0, 0))
    for count in (0, 2, LARGEST):
        animation = chunk(b"acTL", struct.pack(">II", count, 0))
        yield f"PNG, {count} frames outside of the image", between(base, animation, frame)


def _sizes() -> Iterator[tuple[str, bytes]]:
    sides = (0, 1, 5_000, 5_001, 2**31 - 1, LARGEST)
    for width in sides:
        for height in sides:
            declared = file(header(width, height), chunk(b"IDAT", zeros(1000)))
            yield f"PNG, {width} x {height} by its header", declared
    yield "PNG, 25 megapixels", file(header(5000, 5000), chunk(b"IDAT", zeros(5000 * 5001)))
    deep = file(header(5000, 5000, depth=16, colour=6), chunk(b"IDAT", zeros(5000 * 40_001)))
    yield "PNG, 25 megapixels of 16-bit RGBA", deep
    yield "PNG, 25 megapixels in a column", file(header(1, 25_000_000), chunk(b"IDAT", zeros(50_000_000)))


def _floods(base: bytes) -> Iterator[tuple[str, bytes]]:
    for name in ("tEXt", "prVt", "IDAT", "fcTL", "PLTE", "IHDR"):
        yield f"PNG, 100,000 empty {name}", between(base, chunk(name.encode(), b"") * 100_000)
    bomb = zeros(32 * 2**20)
    for name, prefix in (("zTXt", b"k\0\0"), ("iCCP", b"k\0\0"), ("iTXt", b"k\0\1\0\0\0")):
        yield f"PNG, 32 MB of {name}", between(base, chunk(name.encode(), prefix + bomb))
    yield "PNG, a thousand times too many pixels", file(header(64, 64), chunk(b"IDAT", bomb))
    loop = b"MM\0*\0\0\0\x08\0\xff" + b"\x87\x69\0\x04\0\0\0\x01\0\0\0\x08" * 255
    yield "PNG, EXIF that points into itself", between(base, chunk(b"eXIf", loop))


def _pixels() -> Iterator[tuple[str, bytes]]:
    head, pixels = header(64, 64), zlib.compress(bytes([0, *range(64)]) * 64)
    yield "PNG, pixels byte by byte", file(head, *(chunk(b"IDAT", bytes([byte])) for byte in pixels))
    yield "PNG, no pixels", file(head)
    yield "PNG, nothing but its magic", MAGIC
    yield "PNG, wrong Adler checksum", file(head, chunk(b"IDAT", pixels[:-1] + b"\0"))
    yield "PNG, uncompressed pixels", file(head, chunk(b"IDAT", bytes(64 * 65)))
    yield "PNG, preset dictionary", file(head, chunk(b"IDAT", b"\x78\xbb\0\0\0\1" + pixels[2:]))
    yield "PNG, a megabyte behind it", drawn() + bytes(2**20)
    yield "PNG, unknown critical chunk", between(drawn(), chunk(b"CRIT", b"x"))
